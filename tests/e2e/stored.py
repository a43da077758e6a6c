"""Reads the stored data with AWS's Python SDK."""

import collections
import gzip
import json
from collections.abc import Iterator

from emulator import client


class Stored:
    """A bucket and the two tables."""

    def __init__(self, url: str, bucket: str, items: str, ledger: str) -> None:
        self.url, self.bucket, self.table, self.ledger = url, bucket, items, ledger
        self.s3, self.dynamodb = client("s3", url), client("dynamodb", url)

    def items(self, table: str | None = None) -> dict[tuple[str, str], dict]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table or self.table, ConsistentRead=True)
        items = (item for page in pages for item in page["Items"])
        return {(item["pk"]["S"], item["sk"]["S"]): item for item in items}

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def objects(self, prefix: str) -> Iterator[bytes]:
        for key in self.keys(prefix):
            yield self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def archive(self) -> list[dict]:
        return [json.loads(line) for found in self.objects("events/") for line in gzip.decompress(found).splitlines()]

    def archived(self) -> collections.Counter:
        return collections.Counter((line["tenant"], line["id"]) for line in self.archive())

    def quarantined(self) -> list[dict]:
        return [json.loads(line) for found in self.objects("errors/") for line in found.splitlines()]

    def empty(self) -> None:
        """Deletes everything that the functions wrote."""
        for key in self.keys(""):
            self.s3.delete_object(Bucket=self.bucket, Key=key)
        for table in (self.table, self.ledger):
            for pk, sk in self.items(table):
                self.dynamodb.delete_item(TableName=table, Key={"pk": {"S": pk}, "sk": {"S": sk}})
