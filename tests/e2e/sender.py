"""Requests to the Function URL, and what must be stored after them."""

import concurrent.futures
import json
import subprocess
import time
from collections.abc import Callable

from deployment import Deployment
from emulator import client
from transcript import say

JSON = "Content-Type: application/json"
DEADLINE_S = 180


class Sender:
    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        # Every accepted event, and every event put on the stream: (tenant, id).
        self.expected: set[tuple[str, str]] = set()
        # API keys by tenant, where the deployment asks for them.
        self.keys: dict[str, str] = {}

    def send(self, prefix: str, requests: int) -> None:
        """Requests by eight concurrent senders. Each must be answered 202."""

        def one(number: int) -> tuple[str, str]:
            tenant, event = f"tenant-{number % 10}", f"{prefix}{number}"
            body = json.dumps({"tenant_id": tenant, "id": event, "text": f"event {number}"})
            status, answer = self.request("/ingest", body, JSON, *self.key(tenant))
            assert status == 202, answer
            return tenant, event

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.expected |= set(pool.map(one, range(requests)))

    def key(self, tenant: str) -> list[str]:
        return [f"X-Api-Key: {self.keys[tenant]}"] if self.keys else []

    def put(self, *records: bytes) -> None:
        kinesis = client("kinesis", self.deployment.url)
        put = kinesis.put_records(StreamName=self.deployment.outputs["Stream"], Records=[{"PartitionKey": "acme", "Data": data} for data in records])
        assert put["FailedRecordCount"] == 0, put

    def all_archived(self):
        """Waits until every event is in the archive. Each must be there once, and nothing else."""
        stored = self.deployment.stored()
        archived = eventually("every event in the archive", stored.archived, lambda found: len(found) >= len(self.expected))
        assert set(archived) == self.expected and set(archived.values()) == {1}, "the archive holds every event once"
        return stored

    def curl(self, path: str, body: str | None, *headers: str) -> tuple[int, dict]:
        """The same as `request`, printed."""
        options = [f"-H '{header}'" for header in headers] + ([] if body is None else [f"--data-binary '{body}'"])
        say(f"$ curl '$URL{path}' -H 'X-Customer-Tier: pro' {' '.join(options)}")
        status, answer = self.request(path, body, *headers)
        say(status, json.dumps(answer))
        return status, answer

    def request(self, path: str, body: str | None, *headers: str) -> tuple[int, dict]:
        given = [argument for header in ("X-Customer-Tier: pro", *headers) for argument in ("-H", header)]
        given += [] if body is None else ["--data-binary", body]
        command = ["curl", "--silent", "--show-error", "--max-time", "60", self.deployment.ingest_url() + path, *given, "--write-out", "\n%{http_code}"]
        answer, status = subprocess.run(command, check=True, capture_output=True, text=True).stdout.rsplit("\n", 1)
        return int(status), json.loads(answer)


def eventually(what: str, look: Callable, good: Callable):
    end = time.monotonic() + DEADLINE_S
    while not good(found := look()):
        assert time.monotonic() < end, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.5)
    return found
