"""The consumer as AWS's samples write it in Python. It does the same work as Tidegate's and stores the same; what can fail is
not handled.

`consumer.py FILE` runs it each time that it reads a line, as `work serve consumer FILE` does.
"""

import base64
import gzip
import hashlib
import json
import pathlib
import sys
import urllib.parse
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from rules import redact
from serve import serve

HELD_BYTES = 150_000
DAYS = {"free": 30, "pro": 90, "enterprise": 365}


def handler(event: dict, table: dict) -> bytes:
    """Stores the items in `table`, and returns the archive object."""
    now = datetime.now(UTC)
    tenants = {}
    for record in event["Records"]:
        kinesis = record["kinesis"]
        shard = record["eventID"].split(":")[0]
        arrival = iso(datetime.fromtimestamp(kinesis["approximateArrivalTimestamp"], UTC))
        for position, line in enumerate(lines(base64.b64decode(kinesis["data"]))):
            origin = {"shard": shard, "sequence_number": kinesis["sequenceNumber"], "position": position}
            message = read(json.loads(line), origin, arrival)
            redacted = redact(message["text"])
            item = make_item(message, redacted, origin, now)
            key = item["pk"], item["sk"]
            if key in table:
                assert table[key]["hash"] == item["hash"], "the id was used again"
                continue
            table[key] = item
            archived = json.dumps({**message, "text": redacted, "processed_at": iso(now), **origin})
            tenants.setdefault(message["tenant"], []).append(archived + "\n")
    return b"".join(gzip.compress("".join(tenants[tenant]).encode(), 3, mtime=0) for tenant in sorted(tenants))


def lines(data: bytes) -> list[bytes]:
    """The lines of a record: plain, in gzip, or an aggregate of the Kinesis Producer Library."""
    if data.startswith(b"\xf3\x89\x9a\xc2"):
        records = (value for number, value in fields(data[4:-16]) if number == 3)
        return [line for record in records for number, value in fields(record) if number == 3 for line in lines(value)]
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    return [line for line in data.split(b"\n") if line]


def fields(message: bytes):
    """The fields of a message of Protocol Buffers that has only varints and bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        value = varint()
        if tag & 7 == 2:
            at += value
            value = message[at - value : at]
        yield tag >> 3, value


def read(message: dict, origin: dict, arrival: str) -> dict:
    """An event line; or a foreign producer's object, which is made one."""
    if "admission_id" in message:
        return message
    def taken(*names: str) -> str | None:
        return next((message.pop(name) for name in names if name in message), None)

    tenant, text = taken("tenant_id"), taken("text", "payload", "body", "message")
    digest = hashlib.sha256(f"{origin['shard']}\n{origin['sequence_number']}\n{origin['position']}".encode()).digest()
    bits = bytearray(digest[:16])
    bits[6], bits[8] = bits[6] & 0x0F | 0x80, bits[8] & 0x3F | 0x80
    admission_id = str(uuid.UUID(bytes=bytes(bits)))
    return {
        "v": 1,
        "id": taken("event_id", "log_id", "id") or admission_id,
        "admission_id": admission_id,
        "tenant": tenant,
        "tier": "free",
        "source": "json_upload",
        "received_at": arrival,
        "text": text,
        "fields": message,
    }


def make_item(message: dict, redacted: str, origin: dict, now: datetime) -> dict:
    text = message["text"]
    lives_from = max(datetime.fromisoformat(message["received_at"]), now)
    item = {
        "pk": f"tenants/{message['tenant']}",
        "sk": f"processed_logs/{urllib.parse.quote(message['id'], safe='')}",
        "source": message["source"],
        "original_text": held(text),
        "modified_data": held(redacted),
        "processed_at": iso(now),
        "received_at": message["received_at"],
        "tier": message["tier"],
        "origin": short_origin(**origin),
        "admission": base64.urlsafe_b64encode(uuid.UUID(message["admission_id"]).bytes).rstrip(b"=").decode(),
        "hash": content_hash(message),
        "expires_at": int(lives_from.timestamp()) + DAYS[message["tier"]] * 86_400,
    }
    if fields := message.get("fields"):
        item["fields"] = json.dumps(fields, separators=(",", ":"))
    for name in ("event_time", "trace"):
        if name in message:
            item[name] = message[name]
    for name, whole in (("original_text", text), ("modified_data", redacted)):
        if item[name] is not whole:
            item["truncated"] = True
            item[f"{name}_bytes"] = len(whole.encode())
    return item


def short_origin(shard: str, sequence_number: str, position: int) -> str:
    line = f".{position}" if position else ""
    return f"{int(shard.removeprefix('shardId-'))}:{sequence_number}{line}"


def held(text: str) -> str:
    if len(text) * 4 <= HELD_BYTES or len(encoded := text.encode()) <= HELD_BYTES:
        return text
    return encoded[:HELD_BYTES].decode(errors="ignore")


def content_hash(message: dict) -> str:
    """By value, not by spelling."""
    content = message["text"].encode() + b"\xff" + canonical(message.get("fields", {})) + message.get("event_time", "").encode()
    return hashlib.sha256(content).hexdigest()[:32]


def canonical(value) -> bytes:
    match value:
        case None | True | False:
            return {None: b"n", True: b"t", False: b"f"}[value]
        case str():
            return b'"%b\xff' % value.encode()
        case int():
            return b"i" + value.to_bytes(8, "little", signed=True)
        case list():
            return b"[%b]" % b"".join(map(canonical, value))
        case dict():
            members = sorted((canonical(name), canonical(member)) for name, member in value.items())
            out = b"{%b}" % b"".join(name + member for name, member in members)
            return b"#" + hashlib.sha256(out).digest() if len(out) > 1024 else out
    raise TypeError(f"{value!r}: inputs have integers only")


def iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main() -> None:
    payload = pathlib.Path(sys.argv[1]).read_bytes()

    def round() -> Callable[[pathlib.Path], None]:
        table = {}
        archive = handler(json.loads(payload), table)

        def write(folder: pathlib.Path) -> None:
            (folder / "items.ndjson").write_text("\n".join(map(json.dumps, table.values())))
            (folder / "archive.ndjson.gz").write_bytes(archive)

        return write

    serve(round)


if __name__ == "__main__":
    main()
