# SPDX-License-Identifier: MIT
"""Random requests and what botocore signs them as.

    python3 sigv4_cases.py SEED COUNT

writes COUNT cases to stdout. A case is a run of fields, each as its length in decimal, a newline and its bytes:
method, host, path, query, key id, secret, token, region, service, date in ms, flags (1: S3, 2: body not signed),
number of headers, name and value of each, body, canonical request, signature, authorization.
"""
import datetime
import hashlib
import random
import string
import sys
from urllib.parse import quote

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


class Unnormalised(SigV4Auth):
    """S3's treatment of the path alone, without the headers that its signer adds."""
    _normalize_url_path = S3SigV4Auth._normalize_url_path


def text(rng, alphabet, low, high):
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(low, high)))


def case(rng):
    plain = string.ascii_letters + string.digits
    any_text = plain + "-._~ %+&=?#/:;,@!$'()*\"<>[]{}|\\^`\u00e9\u20ac\U0001f600"
    segments = [rng.choice([quote(text(rng, any_text, 1, 8), safe="-._~"), text(rng, plain, 1, 6), ".", "..", ""])
                for _ in range(rng.randint(0, 6))]
    path = "/" + "/".join(segments)
    pairs = []
    for _ in range(rng.choice([0, 0, 1, 2, 5])):
        key = quote(text(rng, any_text, 1, 4), safe="-._~")
        pairs.append(key + rng.choice(["", "=", "=" + quote(text(rng, any_text, 0, 4), safe="-._~")]))
    rng.shuffle(pairs)
    query = "&".join(pairs)
    host = text(rng, string.ascii_lowercase, 1, 12) + ".example.com" + rng.choice(["", ":8443", ":8080"])
    names = {"content-type", "accept"} if rng.random() < 0.7 else set()
    pool = ["x-amz-meta-test", "x-amz-meta-test-two", "x-amz-meta-tes", "X-Amzn-SageMaker-Custom-Attributes", "Range",
            "User-Agent", "Expect", "X-Amzn-Trace-Id", "X-Zeta", "a", "If-Match", "X-Amz-Target"]
    names |= set(rng.sample(pool, rng.randint(0, 6)))
    blank = plain + " \t  \t,;=\"'/"
    headers = [(name, text(rng, blank, 0, 20)) for name in sorted(names)]
    rng.shuffle(headers)
    if headers and rng.random() < 0.2:
        headers.append((headers[0][0], text(rng, blank, 0, 9)))
    body = rng.randbytes(rng.choice([0, 1, 64, 1000]))
    keys = Credentials(text(rng, plain, 4, 20), text(rng, plain + "/+", 8, 60),
                       text(rng, plain + "/+=", 4, 300) if rng.random() < 0.5 else None)
    region, service = rng.choice(["us-east-1", "eu-west-1", "cn-north-1"]), rng.choice(["sagemaker", "s3", "sts"])
    when = datetime.datetime.utcfromtimestamp(rng.randint(1, 4102444799))
    flags = rng.choice([0, 0, 0, 1]) | rng.choice([0, 0, 0, 2])
    method = rng.choice(["POST", "GET", "PUT", "DELETE"])

    request = AWSRequest(method=method, url="https://" + host + path + ("?" + query if query else ""), data=body)
    for name, value in headers:
        request.headers.add_header(name, value)
    request.headers["x-amz-date"] = request.context["timestamp"] = when.strftime("%Y%m%dT%H%M%SZ")
    request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD" if flags & 2 else hashlib.sha256(body).hexdigest()
    if keys.token:
        request.headers["x-amz-security-token"] = keys.token
    signer = (Unnormalised if flags & 1 else SigV4Auth)(keys, service, region)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    signer._inject_signature_to_request(request, signature)
    ms = int(when.replace(tzinfo=datetime.timezone.utc).timestamp()) * 1000 + rng.randint(0, 999)
    fields = [method, host, path, query, keys.access_key, keys.secret_key, keys.token or "", region, service, str(ms),
              str(flags), str(len(headers))]
    for name, value in headers:
        fields += [name, value]
    return fields + [body, canonical, signature, request.headers["Authorization"]]


def main():
    rng = random.Random(int(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        for field in case(rng):
            data = field if isinstance(field, bytes) else field.encode()
            sys.stdout.buffer.write(b"%d\n" % len(data) + data)


main()
