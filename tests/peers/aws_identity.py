#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Stand-ins for what gives out AWS credentials: STS, an instance's metadata (IMDSv2), the endpoint of containers, and
the portal of single sign-on. Keys come from a Keyring, so whatever they sign can be verified.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
    https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
    https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html
"""
import json
import os
import sys
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import aws_verify  # noqa: E402
from stand_in import Service  # noqa: E402

ROLE = "arn:aws:iam::111111111111:role/patchbay"


class Identity(Service):
    def __init__(self, port=0, ring=None):
        super().__init__(port)
        self.ring = ring or aws_verify.Keyring()
        self.lifetime = 3600      # of what is given out, seconds
        self.down = False         # everything answers 503
        self.v1_only = False      # an instance's metadata of the first version
        self.container_token = None
        self.web_token = "web-identity-token"
        self.sso_token = "sso-access-token"
        self.external_id = None
        self.metadata_tokens = set()
        self.roles = []           # who took which role: (key id, arn, session)

    def error(self, handler, status, code, message):
        handler.entry.note = "%s: %s" % (code, message)
        handler.reply(status, ("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>"
                               "<Code>%s</Code><Message>%s</Message></Error><RequestId>x</RequestId></ErrorResponse>"
                               % (code, message)).encode(), "text/xml")

    def answer(self, handler, entry):
        if self.down:
            return handler.reply(503, b"down", "text/plain")
        parts = urlsplit(entry.path)
        if parts.path.startswith("/latest/"):
            return self.metadata(handler, entry, parts.path)
        if parts.path.startswith("/container/"):
            return self.container(handler, entry)
        if parts.path == "/federation/credentials":
            return self.sso(handler, entry, parse_qs(parts.query))
        return self.sts(handler, entry)

    def sts(self, handler, entry):
        form = {k: v[0] for k, v in parse_qs(entry.body.decode(), strict_parsing=True).items()}
        action = form.get("Action")
        if action == "AssumeRole":
            wrong = aws_verify.fault(entry, self.ring, ("sts",))
            if wrong:
                return self.error(handler, 403, *wrong)
            if self.external_id and form.get("ExternalId") != self.external_id:
                return self.error(handler, 403, "AccessDenied", "not authorized to perform: sts:AssumeRole")
            who = entry.headers["authorization"].split("Credential=")[1].split("/")[0]
        elif action == "AssumeRoleWithWebIdentity":
            if "authorization" in entry.headers:
                return self.error(handler, 400, "ValidationError", "this call is not signed")
            if form.get("WebIdentityToken") != self.web_token:
                return self.error(handler, 400, "InvalidIdentityToken", "the token is &quot;not&quot; known")
            who = "web"
        else:
            return self.error(handler, 400, "InvalidAction", "could not find operation %s" % action)
        if form.get("Version") != "2011-06-15" or not form.get("RoleArn", "").startswith("arn:aws"):
            return self.error(handler, 400, "ValidationError", "version or role")
        self.roles.append((who, form["RoleArn"], form["RoleSessionName"]))
        key, secret, token, end = self.ring.issue(self.lifetime)
        return handler.reply(200, (
            "<%(a)sResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><%(a)sResult><AssumedRoleUser><Arn>"
            "%(arn)s</Arn></AssumedRoleUser><Credentials><AccessKeyId>%(k)s</AccessKeyId><SecretAccessKey>%(s)s"
            "</SecretAccessKey><SessionToken>%(t)s</SessionToken><Expiration>%(e)s</Expiration></Credentials></%(a)sResult>"
            "<ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></%(a)sResponse>"
            % {"a": action, "arn": form["RoleArn"], "k": key, "s": secret, "t": token, "e": end}).encode(), "text/xml")

    def document(self, token_name="Token"):
        key, secret, token, end = self.ring.issue(self.lifetime)
        return {"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": key, "SecretAccessKey": secret, token_name: token,
                "Expiration": end}

    def metadata(self, handler, entry, path):
        if path == "/latest/api/token":
            if self.v1_only:
                return handler.reply(404, b"", "text/plain")
            if entry.method != "PUT" or not entry.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "").isdigit():
                return handler.reply(400, b"", "text/plain")
            token = "token-%d" % (len(self.metadata_tokens) + 1)
            self.metadata_tokens.add(token)
            return handler.reply(200, token.encode(), "text/plain")
        if not self.v1_only and entry.headers.get("x-aws-ec2-metadata-token") not in self.metadata_tokens:
            return handler.reply(401, b"", "text/plain")
        if path == "/latest/meta-data/iam/security-credentials/":
            return handler.reply(200, b"instance-role", "text/plain")
        if path == "/latest/meta-data/iam/security-credentials/instance-role":
            return handler.reply(200, json.dumps(self.document()).encode(), "text/plain")
        if path == "/latest/meta-data/placement/region":
            return handler.reply(200, aws_verify.REGION.encode(), "text/plain")
        return handler.reply(404, b"", "text/plain")

    def container(self, handler, entry):
        if self.container_token and entry.headers.get("authorization") != self.container_token:
            return handler.reply(401, b'{"message": "unauthorized"}')
        return handler.reply(200, json.dumps(self.document()).encode())

    def sso(self, handler, entry, query):
        if entry.headers.get("x-amz-sso_bearer_token") != self.sso_token:
            return handler.reply(401, b'{"message": "Session token not found or invalid"}')
        if query != {"role_name": ["Data Scientist"], "account_id": ["111111111111"]}:
            return handler.reply(404, b'{"message": "No access"}')
        key, secret, token, _ = self.ring.issue(self.lifetime)
        end = int(self.ring.get(key)[2] * 1000)
        return handler.reply(200, json.dumps({"roleCredentials": {
            "accessKeyId": key, "secretAccessKey": secret, "sessionToken": token, "expiration": end}}).encode())

