# SPDX-License-Identifier: MIT
"""Whether a request is signed as AWS asks for: computed anew by botocore from the request as it came, for any service,
with the keys of a ring. Keys can expire, as those that STS gives out do."""
import datetime
import hashlib
import re
import secrets
import threading
import time

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-west-1"


class _S3(S3SigV4Auth):
    """S3's way with paths, without the headers that its signer adds."""

    def _modify_request_before_signing(self, request):
        pass


class Keyring:
    """Key ids with their secrets, session tokens and ends."""

    def __init__(self):
        self.lock = threading.Lock()
        self.keys = {KEY: (SECRET, None, None)}

    def add(self, key, secret, token=None, expires=None):
        with self.lock:
            self.keys[key] = (secret, token, expires)

    def issue(self, seconds):
        """Temporary keys, good for so long: (id, secret, token, expiration as text)."""
        key, secret, token = "ASIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30), secrets.token_urlsafe(60)
        end = time.time() + seconds
        self.add(key, secret, token, end)
        return key, secret, token, datetime.datetime.utcfromtimestamp(end).strftime("%Y-%m-%dT%H:%M:%SZ")

    def revoke_all(self, temporary_only=True):
        """From now on what was given out has expired."""
        with self.lock:
            for key, (secret, token, _) in list(self.keys.items()):
                if token or not temporary_only:
                    self.keys[key] = (secret, token, 0)

    def get(self, key):
        with self.lock:
            return self.keys.get(key)


def fault(entry, ring, services, region=REGION, skew=0):
    """None, or (error code, sentence). services: the names that may stand in the scope; skew: this clock is ahead."""
    m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
                     r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})", entry.headers.get("authorization", ""))
    if not m:
        return "MissingAuthenticationTokenException", "no AWS4-HMAC-SHA256 authorization"
    key, day, got_region, service, names, signature = m.groups()
    known = ring.get(key)
    if not known:
        return "UnrecognizedClientException", "The security token included in the request is invalid."
    secret, token, expires = known
    if service not in services or (region and got_region != region):
        return "InvalidSignatureException", "Credential should be scoped to %s/%s, not %s/%s" % (
            region, services, got_region, service)
    names = names.split(";")
    must = {"host", "x-amz-date"} | {n for n in entry.headers if n.startswith("x-amz-")}
    must |= {"content-type"} if "content-type" in entry.headers else set()
    must |= {"x-amz-security-token"} if token else set()
    if missing := must - set(names):
        return "InvalidSignatureException", "not signed: %s" % sorted(missing)
    if names != sorted(names):
        return "InvalidSignatureException", "signed headers are not sorted"
    if entry.headers.get("x-amz-security-token") != token:
        return "UnrecognizedClientException", "another session token"
    stamp = entry.headers["x-amz-date"]
    when = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
    here = datetime.datetime.utcnow() + datetime.timedelta(seconds=skew)
    if not stamp.startswith(day):
        return "InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date"
    if abs((here - when).total_seconds()) > 300:
        return "InvalidSignatureException", "Signature expired: %s is now %s" % (stamp, here)
    declared = entry.headers.get("x-amz-content-sha256")
    if declared and declared not in ("UNSIGNED-PAYLOAD", hashlib.sha256(entry.body).hexdigest()):
        return "InvalidSignatureException", "x-amz-content-sha256 is of another body"
    request = AWSRequest(method=entry.method, url="http://%s%s" % (entry.headers["host"], entry.path), data=entry.body,
                         headers={n: entry.headers[n] for n in names if n in entry.headers})
    request.context["timestamp"] = stamp
    signer = (_S3 if service == "s3" else SigV4Auth)(Credentials(key, secret, token), service, got_region)
    wanted = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    if wanted != signature:
        return "InvalidSignatureException", "The request signature we calculated does not match: %s, not %s" % (
            signature, wanted)
    if expires is not None and expires <= time.time():
        return "ExpiredTokenException", "The security token included in the request is expired"
    return None
