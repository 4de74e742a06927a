# SPDX-License-Identifier: MIT
"""Bodies of Qlik Cloud webhooks about reloads, in the three envelopes that have been or are sent: CloudEvents 1.0, the
older one of Qlik's own (removed on or after 2026-10-06), and both at once (from 2025-11 on). Fields and samples:
https://qlik.dev/apis/event/, /apis/event/reloads, /apis/event/apps; signatures: /apis/event/verify-webhook-signatures-hmac."""
import hashlib
import hmac
import json
import time
import uuid

RELOAD, APP_RELOAD = "com.qlik.v1.reload.finished", "com.qlik.v1.app.reload.finished"
ENVELOPES = ("cloudevents", "hybrid", "legacy")
TENANT = "UkeLb6ICti8OA8f3LueRI5kVNtuHc15f"


def stamp(seconds=None):
    now = time.time() if seconds is None else seconds
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + ".%03dZ" % (now * 1000 % 1000)


def signature(secret, body):
    """Qlik-Signature: lower-case hex, HMAC-SHA256 over the body as it is sent."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def envelope(kind, form, data, app, tenant=TENANT, user="user-1", space=None, event_id=None, when=None):
    """An event as a dict, in one of ENVELOPES."""
    event_id, when = event_id or str(uuid.uuid4()), when or stamp()
    source = "com.qlik/reloads" if kind == RELOAD else "com.qlik/engine"
    cloud = {"id": event_id, "time": when, "type": kind, "source": source, "specversion": "1.0", "userid": user,
             "ownerid": user, "tenantid": tenant, "toplevelresourceid": app, "host": "acme.eu.qlikcloud.com",
             "datacontenttype": "application/json", "authtype": "token", "originip": "192.0.2.1"}
    older = {"cloudEventsVersion": "0.1", "source": source, "contentType": "application/json", "eventId": event_id,
             "eventTime": when, "eventTypeVersion": "1.0.0", "eventType": kind,
             "extensions": {"ownerId": user, "tenantId": tenant, "userId": user, "topLevelResourceId": app}}
    if space:
        cloud["spaceid"] = older["extensions"]["spaceId"] = space
    return dict({"cloudevents": cloud, "legacy": older, "hybrid": {**older, **cloud}}[form], data=data)


def reload_finished(app, reload_id, status="SUCCEEDED", form="cloudevents", with_status=True, **more):
    """com.qlik.v1.reload.finished: the final result; data.id is the reload's."""
    data = {"id": reload_id, "appId": app, "userId": "user-1", "type": "external", "weight": 1, "partial": False,
            "succeeded": status == "SUCCEEDED", "durationSeconds": 3, **more.pop("data", {})}
    if with_status:
        data["status"] = status
    return envelope(RELOAD, form, data, app, **more)


def app_reload_finished(app, reload_id, status="ok", form="cloudevents", name="App", **more):
    """com.qlik.v1.app.reload.finished: one attempt of the engine."""
    data = {"name": name, "size": {"memory": 42}, "errors": [], "status": status, "endTime": stamp(), "duration": 3000,
            "reloadId": reload_id, "rowLimit": -1, "warnings": [], "statements": [], "isSkipStore": False,
            "isSessionApp": False, "isPartialReload": False, "peakMemoryBytes": 42, "isDirectQueryMode": False,
            "endedWithMemoryConstraint": False, "usage": "ANALYTICS", **more.pop("data", {})}
    return envelope(APP_RELOAD, form, data, app, **more)


def encode(event):
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
