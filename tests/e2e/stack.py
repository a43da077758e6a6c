"""The resources of a deployment, by SDK calls, and what is found in them afterwards."""

import collections
import gzip
import io
import json
import zipfile
from collections.abc import Iterator

from emulator import client

BUCKET, TABLE, LEDGER = "tidegate-data", "tidegate-items", "tidegate-ledger"


class Stack:
    """A bucket and a table; streams and functions as they are asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.kinesis, self.s3, self.dynamodb, self.functions, self.iam, sqs = (
            client(service, url) for service in ("kinesis", "s3", "dynamodb", "lambda", "iam", "sqs")
        )
        self.spill_queue = sqs.create_queue(QueueName="tidegate-spill")["QueueUrl"]
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        for table in (TABLE, LEDGER):
            self.dynamodb.create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            )
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}]}
        self.role = self.iam.create_role(RoleName="tidegate", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]

    def create_stream(self, name: str) -> None:
        self.kinesis.create_stream(StreamName=name, ShardCount=1)
        self.kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})

    def create_function(self, name: str, stream: str, files: dict[str, bytes], **environment: str) -> None:
        self.functions.create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Architectures=["x86_64"],
            Handler="bootstrap",
            Role=self.role,
            Timeout=60,
            MemorySize=1024,
            Code={"ZipFile": zipped(files)},
            Environment={"Variables": self.variables(stream) | environment},
        )
        self.functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})

    def variables(self, stream: str) -> dict[str, str]:
        """What tells the functions their resources."""
        return {
            "TIDEGATE_STREAM": stream,
            "TIDEGATE_BUCKET": BUCKET,
            "TIDEGATE_ITEMS_TABLE": TABLE,
            "TIDEGATE_LEDGER_TABLE": LEDGER,
            "TIDEGATE_SPILL_QUEUE": self.spill_queue,
        }

    def create_url(self, name: str) -> str:
        url = self.functions.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
        # The emulator serves `https://<id>.lambda-url.…/` under a path of its own.
        return f"{self.url}/_aws/lambda-url/{url.split('//')[1].split('.')[0]}"

    def items(self, table: str = TABLE) -> dict[tuple[str, str], dict]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        items = (item for page in pages for item in page["Items"])
        return {(item["pk"]["S"], item["sk"]["S"]): item for item in items}

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def objects(self, prefix: str) -> Iterator[bytes]:
        for key in self.keys(prefix):
            yield self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def archive(self) -> list[dict]:
        return [json.loads(line) for found in self.objects("events/") for line in gzip.decompress(found).splitlines()]

    def archived(self) -> collections.Counter:
        return collections.Counter((line["tenant"], line["id"]) for line in self.archive())

    def quarantined(self) -> list[dict]:
        return [json.loads(line) for found in self.objects("errors/") for line in found.splitlines()]

    def empty(self) -> None:
        """Takes out what functions wrote."""
        for key in self.keys(""):
            self.s3.delete_object(Bucket=BUCKET, Key=key)
        for table in (TABLE, LEDGER):
            for pk, sk in self.items(table):
                self.dynamodb.delete_item(TableName=table, Key={"pk": {"S": pk}, "sk": {"S": sk}})


def zipped(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            out.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return archive.getvalue()
