"""AWS's own package that makes aggregates of the Kinesis Producer Library, in the program that docs/senders.md shows."""

import base64
import contextlib
import http.server
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from local_run import ROOT, LocalRun
from stored import stored

EVENTS = 300


def send(run: LocalRun) -> tuple[int, str]:
    """Runs the program twice, as a producer puts records again after a time-out."""
    page = (ROOT / "docs/senders.md").read_text()
    program = re.search(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    with kinesis(run) as url:
        settings = {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
        environment = os.environ | settings | {"AWS_ENDPOINT_URL_KINESIS": url, "NO_PROXY": "127.0.0.1"}
        for _ in range(2):
            subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    for tenant in range(3):
        stored(run, f"kpl-{tenant}", EVENTS // 3)
    return EVENTS, f"{EVENTS} user records of 3 tenants in aggregates, put twice"


@contextlib.contextmanager
def kinesis(run: LocalRun) -> Iterator[str]:
    """`PutRecord` of Kinesis for the local stream, which has no API of AWS."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            put = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["X-Amz-Target"].endswith(".PutRecord"), self.headers
            number = insert(run, put["PartitionKey"], base64.b64decode(put["Data"]))
            answer = json.dumps({"ShardId": "shardId-000000000000", "SequenceNumber": str(number)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def insert(run: LocalRun, partition_key: str, data: bytes) -> int:
    record = "INSERT INTO records (shard, partition_key, arrival_ms, data) VALUES ('shardId-000000000000', ?, ?, ?)"
    database = sqlite3.connect(run.folder / ".tidegate/tidegate.sqlite", timeout=30)
    with database:
        number = database.execute(record, (partition_key, time.time_ns() // 1_000_000, data)).lastrowid
    database.close()
    return number
