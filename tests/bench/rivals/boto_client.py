#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""InvokeEndpoint of one row by boto3: one client for all threads and as many connections as threads, as its documentation
advises; responses are read. Prints {"seconds": s}.

    boto_client.py URL ENDPOINT N THREADS
"""
import json
import sys
import threading
import time

import boto3
from botocore.config import Config

url, endpoint, count, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
client = boto3.client("sagemaker-runtime", region_name="eu-west-1", endpoint_url=url, aws_access_key_id="AKIDEXAMPLE",
                      aws_secret_access_key="bench-secret", config=Config(max_pool_connections=threads))


def run(n):
    def work():
        for _ in range(n // threads):
            client.invoke_endpoint(EndpointName=endpoint, ContentType="text/csv", Body=b"34,52000,9,3\n")["Body"].read()
    all_threads = [threading.Thread(target=work) for _ in range(threads)]
    for t in all_threads:
        t.start()
    for t in all_threads:
        t.join()


run(max(threads, 50))
began = time.monotonic()
run(count)
print(json.dumps({"seconds": (time.monotonic() - began) * count / (count // threads * threads)}))
