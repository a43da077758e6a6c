"""The function of the probe. It writes down which records each invocation has, then does what the records say."""

import base64
import json
import os
import time

import boto3

S3 = boto3.client("s3")


def handler(event, context):
    records = event["Records"]
    said = [base64.b64decode(record["kinesis"]["data"]).decode() for record in records]
    stream = records[0]["eventSourceARN"].rpartition("/")[2]
    key = f"invocations/{stream}/{time.time_ns()}-{context.aws_request_id}"
    S3.put_object(Bucket=os.environ["BUCKET"], Key=key, Body=json.dumps(said).encode())
    if "crash" in said:
        raise RuntimeError("a record says so")
    reported = [record["kinesis"]["sequenceNumber"] for record, word in zip(records, said) if word == "report"]
    return {"batchItemFailures": [{"itemIdentifier": number} for number in reported]}
