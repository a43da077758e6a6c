"""`tidegate verify` against the emulator. What differs there is the emulator's, by name; all else is as documented."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

from deployment import Deployment
from emulator import CREDENTIALS, client
from sender import DEADLINE_S, Sender
from transcript import NAMES, run, say

TENANT = "verify-tidegate"
OTHERS = ["stack", "cold-start", "encodings", "sizes", "freshness", "alarm", "metrics"]
LONGER = ["retries", "partial", "record-age", "athena"]
# The longest that a check waits: what the emulator does not do at once, it never does. A record of the probe becomes too old in a minute,
# and a query takes seconds.
LIMIT_S, LONGER_LIMIT_S = 20, 150
# How long they take depends on this machine, not on the emulator.
TIMED = ("cold-start", "freshness")
# This run has replaced the stream's mapping. The emulator reads no metrics from logs, and has none of mappings. So no alarm on such a
# metric fires.
DIFFERS = {
    "stack: the event source mapping",
    "metrics: Tidegate EventsAccepted",
    "metrics: Tidegate EventsStored",
    "metrics: AWS/Lambda InvokedEventCount",
    "alarm: the alarm fires",
}
NOT_CHECKED = {"alarm: the alarm clears"}


class Verify:
    def __init__(self, deployment: Deployment, sender: Sender, tidegate: pathlib.Path) -> None:
        self.deployment, self.tidegate = deployment, tidegate
        NAMES.update({deployment.ingest_url(): "$URL", deployment.gateway: "$PROXY"})
        headers = deployment.folder / "headers"
        headers.write_text("".join(f"{header}\n" for header in ["X-Customer-Tier: pro", *sender.key(TENANT)]))
        of_stack = [tidegate, "verify", "--stack", deployment.name, "--url", deployment.ingest_url(), "--config", deployment.configuration]
        self.command = [*of_stack, "--headers", headers, "--tenant", TENANT]
        self.findings = deployment.folder / "verified.json"

    def all(self) -> None:
        at = ["--endpoint-url", self.deployment.url]
        refused = run([*self.command, *at])
        assert refused.returncode == 2 and "--dispatch" in refused.stderr, "dispatch is on, and its target is not ours to use"
        before = self.left()
        self.run(1, DIFFERS, NOT_CHECKED, *at, "--only", ",".join(OTHERS), "--dispatch", "--limit", LIMIT_S)
        say("What differs is the emulator's; everything else is as documented.\n")
        with self.mapped():
            # The proxy creates the probe's mappings disabled.
            self.run(0, set(), set(), "--endpoint-url", self.deployment.gateway, "--only", ",".join(LONGER), "--dispatch", "--limit", LONGER_LIMIT_S)
        assert self.left() == before, "it deletes what it made"
        self.ended_early([*self.command, *at], before)

    def run(self, code: int, differs: set[str], not_checked: set[str], *options: object) -> None:
        ran = run([*self.command, *map(str, options), "--json", self.findings])
        assert ran.returncode == code, ran.returncode
        found = json.loads(self.findings.read_text())["findings"]
        found = [finding for finding in found if (finding["check"] in TIMED, finding["verdict"]) != (True, "differs")]
        for verdict, expected in (("differs", differs), ("not_checked", not_checked)):
            seen = {f"{finding['check']}: {finding['what']}" for finding in found if finding["verdict"] == verdict}
            assert seen == expected, f"{verdict}: {seen ^ expected}"

    @contextlib.contextmanager
    def mapped(self) -> Iterator[None]:
        """`tidegate mapping` replaces the emulator's mappings of the probe, which do not follow AWS's documentation."""
        started: list[subprocess.Popen] = []
        ended = threading.Event()

        def watch() -> None:
            while not started and not ended.wait(0.2):
                for stack in self.stacks():
                    if stack["StackName"].startswith(f"{self.deployment.name}-verify-") and stack["StackStatus"] == "CREATE_COMPLETE":
                        ids = [output["OutputValue"] for output in stack["Outputs"] if output["OutputKey"].endswith("Mapping")]
                        started.extend(self.mapping(mapping) for mapping in ids)

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            yield
        finally:
            ended.set()
            watching.join()
            for process in started:
                process.kill()
                process.wait()

    def mapping(self, mapping: str) -> subprocess.Popen:
        # It polls nothing, but says that it is enabled.
        client("lambda", self.deployment.url).update_event_source_mapping(UUID=mapping, Enabled=False)
        folder = self.deployment.folder / mapping
        command = [self.tidegate, "mapping", "--mapping", mapping, "--endpoint-url", self.deployment.url, "--data", folder]
        return subprocess.Popen(command, env=os.environ | CREDENTIALS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ended_early(self, command: list, before: tuple) -> None:
        """A run that is stopped deletes what it has made. What one has left that is killed, `--clean` deletes."""
        stopped = self.with_probe(command, before)
        stopped.send_signal(signal.SIGINT)
        output, _ = stopped.communicate(timeout=DEADLINE_S)
        assert stopped.returncode == 2 and "deleted the stack" in output, output
        assert self.left() == before, "nothing is left"
        killed = self.with_probe(command, before)
        killed.kill()
        killed.wait()
        say("Ctrl-C: the probe is deleted. Another run is killed after it has made the probe.")
        cleaned = run([*command, "--clean"])
        assert cleaned.returncode == 0 and "deleted the stack" in cleaned.stdout, cleaned.stderr
        assert self.left() == before, "nothing is left"

    def with_probe(self, command: list, before: tuple) -> subprocess.Popen:
        """A run that has just made the probe's stack."""
        process = subprocess.Popen([*command, "--only", "retries"], env=os.environ | CREDENTIALS, stdout=subprocess.PIPE, text=True)
        while self.left() == before:
            assert process.poll() is None, "it makes a stack"
            time.sleep(0.2)
        return process

    def left(self) -> tuple[list[str], list[str], list[str]]:
        """The stacks, the items of the tenant, and the quarantine objects."""
        stored = self.deployment.stored()
        items = sorted(sort for partition, sort in stored.items() if partition == f"tenants/{TENANT}")
        return sorted(stack["StackName"] for stack in self.stacks()), items, stored.keys("errors/")

    def stacks(self) -> list[dict]:
        pages = client("cloudformation", self.deployment.url).get_paginator("describe_stacks").paginate()
        return [stack for page in pages for stack in page["Stacks"] if stack["StackStatus"] != "DELETE_COMPLETE"]
