"""The ingest function as AWS's samples write it in Python: the event of a Function URL to records and an answer. It checks and
answers what Tidegate does for JSON without credentials. The stream is a list.

`ingest.py FILE` runs it on each line of the file, each time that it reads a line, as `work serve ingest FILE` does.
"""

import base64
import gzip
import json
import pathlib
import re
import sys
import unicodedata
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from serve import serve

TIERS = ("free", "pro", "enterprise")
TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
TEXT = ("text", "payload", "body", "message")
TIME = ("event_timestamp", "timestamp", "event_time")
ID = ("event_id", "log_id", "id")
# Kinesis bills a record by 25 KB begun.
PUT_UNIT_BYTES = 25_600


class Refused(Exception):
    pass


def handler(event: dict, stream: list) -> dict:
    try:
        headers = event["headers"]
        tier = headers.get("x-customer-tier")
        if tier not in TIERS:
            raise Refused(f"tier `{tier}` is not allowed")
        if headers.get("content-type", "").partition(";")[0] != "application/json":
            raise Refused("the content type is not supported")
        body = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"]
        value = json.loads(body)
        facts = {"tier": tier, "source": "json_upload", "received_at": now()}
        trace = headers.get("traceparent") or headers.get("x-amzn-trace-id")
        objects = value if isinstance(value, list) else [value]
        named = headers.get("x-tenant-id")
        lines = [make_line(item, facts, trace, named) for item in objects]
    except (Refused, ValueError) as error:
        return answer(400, {"status": "error", "detail": str(error)})
    put(lines, stream)
    if isinstance(value, dict):
        return answer(202, {"status": "success", "event_id": lines[0]["id"]})
    events = [{"index": index, "status": "accepted", "event_id": line["id"]} for index, line in enumerate(lines)]
    return answer(202, {"status": "success", "accepted": len(lines), "events": events})


def make_line(item: dict, facts: dict, trace: str | None, named: str | None) -> dict:
    if not isinstance(item, dict):
        raise Refused("not a JSON object")
    fields = dict(item)

    def taken(*names: str, read=lambda value: value):
        for name in names:
            if name in fields and (value := read(fields[name])) is not None:
                del fields[name]
                return value
        return None

    tenant = taken("tenant_id") or named
    if not isinstance(tenant, str) or not TENANT.fullmatch(tenant) or named not in (None, tenant):
        raise Refused(f"tenant id `{tenant}` is not allowed")
    id = taken(*ID) or str(uuid.uuid4())
    if not isinstance(id, str) or len(id.encode()) > 256 or any(unicodedata.category(char) == "Cc" for char in id):
        raise Refused(f"event id `{id}` is not allowed")
    time = taken(*TIME, read=event_time)
    text = taken(*TEXT, read=lambda value: value if isinstance(value, str) else None)
    line = {"v": 1, "id": id, "admission_id": str(uuid.uuid4()), "tenant": tenant, **facts}
    if time:
        line["event_time"] = time
    line["text"] = "" if text is None else text
    if fields:
        line["fields"] = fields
    if trace:
        line["trace"] = trace
    return line


def event_time(value) -> str | None:
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value).astimezone(UTC).isoformat().replace("+00:00", "Z")
        return datetime.fromtimestamp(value / 1000 if value >= 100_000_000_000 else value, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, TypeError, OverflowError):
        return None


def put(lines: list[dict], stream: list) -> None:
    """A record for each tenant, compressed if it is larger than what Kinesis bills at least."""
    tenants = {}
    for line in lines:
        tenants.setdefault(line["tenant"], []).append(json.dumps(line) + "\n")
    for tenant, texts in tenants.items():
        data = "".join(texts).encode()
        stream.append({"PartitionKey": tenant, "Data": gzip.compress(data, 1) if len(data) >= PUT_UNIT_BYTES else data})


def answer(status: int, body: dict) -> dict:
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main() -> None:
    payloads = pathlib.Path(sys.argv[1]).read_bytes().splitlines()

    def round() -> Callable[[pathlib.Path], None]:
        stream = []
        answers = [json.dumps(handler(json.loads(payload), stream)) for payload in payloads]

        def write(folder: pathlib.Path) -> None:
            (folder / "answers.ndjson").write_text("\n".join(answers))
            (folder / "lines.ndjson").write_text("\n".join(map(json.dumps, written(stream))))

        return write

    serve(round)


def written(stream: list) -> list[dict]:
    """The lines of all records, as `work serve` writes them."""
    return [
        {"partition_key": record["PartitionKey"], "line": json.loads(line)}
        for record in stream
        for data in [record["Data"]]
        for line in (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).splitlines()
    ]


if __name__ == "__main__":
    main()
