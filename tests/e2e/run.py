"""`make e2e`: deploys the stack of `cdk/` to an emulator of AWS, sends traffic to its Function URL, changes it, inspects it,
destroys it. Then it runs `tidegate accept` against each recipe's deployment.

It prints a transcript and fails at the first difference from what is expected.
"""

import argparse
import contextlib
import gzip
import json
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator

from crash_on_poison import POISON
from deployment import CONTRACT, ROOT, Deployment
from doctor import LEFT_OUT, examine
from emulator import CREDENTIALS, client, free_port, ministack
from faults import Faults
from options import Options
from prod import Prod
from recipes import accept_each
from sender import DEADLINE_S, JSON, Sender, eventually
from transcript import LINES, NAMES, heading, run, running, say, write_into
from verify import Verify

TESTS = pathlib.Path(__file__).parent.parent
BINARIES = [function["binary"] for function in CONTRACT["functions"].values()]
CONSUMER = CONTRACT["functions"]["consumer"]["binary"]
FAILURES = CONTRACT["mapping"]["failurePrefix"]
# The version of `provided.al2023`.
GLIBC = (2, 34)
REQUESTS = 200
# Settings that this run changes: `tidegate mapping` replaces Lambda's mapping, and fewer retries save time.
CHANGED = {"consumer's mapping: State", "consumer's mapping: MaximumRetryAttempts"}


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--functions", type=pathlib.Path, required=True, help="the folder of `cargo lambda build`")
    arguments.add_argument("--tidegate", type=pathlib.Path, required=True, help="`tidegate` with its AWS commands")
    arguments.add_argument("--transcripts", type=pathlib.Path, help="the folder with the pages whose last block is replaced")
    given = arguments.parse_args()
    functions, tidegate = given.functions.resolve(), given.tidegate.resolve()

    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        NAMES.update({str(tidegate): "tidegate", str(folder): "$TMP", str(ROOT): "."})
        heading("The binaries")
        for name in BINARIES:
            check_glibc(name, functions / name / "bootstrap")
        with emulated(folder, "dev") as (deployment, faults):
            Run(deployment, faults, functions, tidegate, folder, given.transcripts).all()
        # One of its own: an emulator's alarms add up the errors of all functions that it has seen.
        with emulated(folder / "prod", "prod") as (deployment, _):
            Prod(deployment, functions, tidegate).all()
        say("\nAll as expected.")
        if given.transcripts:
            write_into(given.transcripts / "e2e.md")
        accept_each(functions, tidegate, folder / "recipes")
        if given.transcripts:
            write_into(given.transcripts / "recipes/accepted-emulator.md")


@contextlib.contextmanager
def emulated(folder: pathlib.Path, stage: str) -> Iterator[tuple[Deployment, Faults]]:
    folder.mkdir(exist_ok=True)
    port = free_port()
    faults = Faults(port)
    with ministack(folder / "ministack.log", port, faults.url) as url:
        NAMES[url] = "$AWS"
        yield Deployment(url, faults.url, folder, stage), faults


def check_glibc(name: str, bootstrap: pathlib.Path) -> None:
    versions = subprocess.run(["readelf", "--version-info", "--wide", bootstrap], check=True, capture_output=True, text=True)
    needed = max(tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([0-9.]+)", versions.stdout))
    say(f"{name}: {bootstrap.stat().st_size:,} bytes, needs glibc {'.'.join(map(str, needed))}")
    assert needed <= GLIBC, f"{name} needs glibc {needed}, provided.al2023 has {GLIBC}"


class Run:
    """The life of one stack."""

    def __init__(
        self,
        deployment: Deployment,
        faults: Faults,
        functions: pathlib.Path,
        tidegate: pathlib.Path,
        folder: pathlib.Path,
        transcripts: pathlib.Path | None,
    ) -> None:
        self.deployment, self.faults, self.functions, self.tidegate = deployment, faults, functions, tidegate
        self.folder, self.transcripts = folder, transcripts
        self.sender = Sender(deployment)

    def all(self) -> None:
        self.deploy()
        command = [*self.on_stack("mapping"), "--data", self.folder / "data"]
        with running(command, DEADLINE_S):
            self.traffic()
            self.read_back()
            self.poison()
            self.stream_unavailable()
            self.change()
        self.audit()
        self.status()
        self.doctor()
        # What `doctor` had to find.
        self.deployment.update_mapping(BisectBatchOnFunctionError=True, MaximumBatchingWindowInSeconds=3)
        self.verify(command)
        self.destroy()

    def deploy(self) -> None:
        """Wraps the consumer in a bootstrap that crashes on one certain record. The shipped consumer crashes on none."""
        heading("cdk bootstrap, cdk deploy")
        wrapped = self.folder / "functions"
        for name in BINARIES:
            (wrapped / name).mkdir(parents=True)
            (wrapped / name / "bootstrap").symlink_to(self.functions / name / "bootstrap")
        variables = {"CONSUMER": self.functions / CONSUMER / "bootstrap", "INVOCATIONS": self.folder / "invocations"}
        settings = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in variables.items())
        consumer = wrapped / CONSUMER / "bootstrap"
        consumer.unlink()
        consumer.write_text(f"#!/bin/sh\nexec env {settings} python3 {shlex.quote(str(TESTS / 'e2e/crash_on_poison.py'))}\n")
        consumer.chmod(0o755)
        self.deployment.bootstrap()
        status = self.deployment.deploy(wrapped, self.deployment.configure({}))
        say(f"{self.deployment.name}: {status}, {len(self.deployment.resources())} resources")
        for name, value in self.deployment.outputs.items():
            say(f"  {name} = {value}")
        refused = run(self.on_stack("mapping"))
        assert refused.returncode == 1 and "is enabled" in refused.stderr, "two mappings at the same time are refused"
        self.deployment.update_mapping(Enabled=False, MaximumRetryAttempts=2)
        say("Lambda's mapping is disabled through its API, with 2 retries instead of 30")

    def traffic(self) -> None:
        heading("Mixed traffic")
        event = '{"tenant_id":"acme","log_id":"123","text":"User 555-0199 accessed /reports"}'
        assert self.sender.curl("/ingest", event, JSON) == (202, {"status": "success", "event_id": "123"})
        status, answer = self.sender.curl("/ingest", "call 555-0199", "Content-Type: text/plain", "X-Tenant-ID: beta_inc", "Idempotency-Key: t1")
        assert (status, answer["event_id"]) == (202, "t1")
        (self.folder / "z1.gz").write_bytes(gzip.compress(b'{"tenant_id":"acme","log_id":"z1","text":"came as gzip"}\n'))
        packed = f"@{self.folder / 'z1.gz'}"
        assert self.sender.curl("/ingest", packed, "Content-Type: application/x-ndjson", "Content-Encoding: gzip")[0] == 202
        # As AWS does, the emulator takes a body of `application/json` for text, whatever its encoding.
        assert self.sender.curl("/ingest", packed, JSON, "Content-Encoding: gzip")[1]["code"] == "body_mangled"
        webhook = '{"event_timestamp":"2024-01-11T01:42:50.234200+00:00","body":"what is the capital of India?","id":"w1"}'
        assert self.sender.curl("/v1/webhooks/gamma/events/new", webhook, JSON)[0] == 202
        status, answer = self.sender.curl("/ingest", '[{"tenant_id":"acme","id":1,"text":"x"},{"tenant_id":"beta_inc","id":1,"text":"y"}]', JSON)
        assert (status, answer["accepted"]) == (202, 2)
        assert self.sender.curl("/ingest", "{", JSON)[1]["code"] == "malformed_json"
        self.sender.expected |= {("acme", "123"), ("beta_inc", "t1"), ("acme", "z1"), ("gamma", "w1"), ("acme", "1"), ("beta_inc", "1")}
        self.sender.send("e", REQUESTS)
        say(f"{REQUESTS} requests by eight senders: all 202")

        aggregate = (TESTS / "fixtures/kpl/thousand.bin").read_bytes()
        self.sender.put(aggregate, b'{"tenant_id":"acme","id":"f1","payload":"from elsewhere"}', b"\x00garbage")
        say("put on the stream by foreign producers: a KPL aggregate of 1,000, a JSON object, a record of garbage")
        self.sender.expected |= {(f"t{n % 5}", f"k{n}") for n in range(1000)} | {("acme", "f1")}

    def read_back(self) -> None:
        heading("Read back")
        stored = self.sender.all_archived()
        items = stored.items()
        assert set(items) == {(f"tenants/{tenant}", f"processed_logs/{event}") for tenant, event in self.sender.expected}, "one item for each event"
        (line,) = (line for line in stored.archive() if (line["tenant"], line["id"]) == ("acme", "123"))
        assert line["text"] == "User [REDACTED] accessed /reports", line
        item = items["tenants/acme", "processed_logs/123"]
        (garbage,) = eventually("the garbage in quarantine", stored.quarantined, bool)
        assert (garbage["reason"], garbage["bytes"]) == ("unrecognised", "AGdhcmJhZ2U="), garbage
        say(f"{len(items)} items, {len(self.sender.expected)} archive lines in {len(stored.keys('events/'))} objects, none twice, each tenant's events apart")
        say(f"  {stored.keys('events/')[0]}\n  {json.dumps(line)}")
        say(f"  item tenants/acme processed_logs/123: {item['original_text']['S']!r} -> {item['modified_data']['S']!r}")
        say(f"  quarantine: {garbage['reason']}, bytes {garbage['bytes']}")

    def poison(self) -> None:
        """A record that crashes the function. It must be saved at the failure destination, the others stored."""
        heading("A record that crashes the function")
        (self.folder / "invocations").write_text("")
        others = [json.dumps({"tenant_id": "acme", "id": f"n{number}", "text": "another record"}).encode() for number in range(7)]
        self.sender.put(*others[:4], POISON, *others[4:])
        self.sender.expected |= {("acme", f"n{number}") for number in range(7)}
        stored = self.deployment.stored()
        (key,) = eventually("the record at the failure destination", lambda: stored.keys(FAILURES), bool)
        self.sender.all_archived()
        say("records an invocation:", ", ".join((self.folder / "invocations").read_text().splitlines()))
        failed = json.loads(next(stored.objects(FAILURES)))
        payload = json.loads(failed["payload"])
        assert failed["KinesisBatchInfo"]["batchSize"] == len(payload["Records"]) == 1, "only the poison record fails permanently"
        assert failed["requestContext"]["condition"] == "RetryAttemptsExhausted", failed
        assert key.startswith(f"{FAILURES}{self.deployment.outputs['Mapping']}/"), "the key has the id of Lambda's own mapping"
        say(f"the seven others are stored; the record is saved with its payload:\n  {key}")
        say(f"  {json.dumps(failed['requestContext'])}\n  {json.dumps(failed['KinesisBatchInfo'])}")
        say(f"  data {payload['Records'][0]['kinesis']['data']}")

    def stream_unavailable(self) -> None:
        """The stream refuses events. They go to the spill queue, and the deployed drain puts them on the stream later."""
        heading("The stream is unavailable")
        with self.faults.stream_unavailable():
            self.sender.send("s", 4)
        say(f"4 requests while the stream refused every PutRecords ({self.faults.refused} of them): all 202")
        assert self.faults.refused > 0, "the stream refused calls"
        self.sender.all_archived()
        say("the stream is available: the drain has put them there, and each is stored once")

    def change(self) -> None:
        """The shipped consumer, another transform, and everything that was off until now."""
        heading("A change is deployed")
        options = Options(self.deployment, self.sender, self.tidegate)
        configuration = self.deployment.configure(options.CHANGES | {'steps = ["redact"]': 'steps = ["redact", "uppercase"]'})
        status = self.deployment.deploy(self.functions, configuration, *options.context())
        say(f"{self.deployment.name}: {status}, {len(self.deployment.resources())} resources: texts in upper case, the shipped consumer,")
        say("API keys, reading back, dispatch, and notifications of new objects")
        self.alarms()
        options.listen()
        options.credentials()
        self.watched()
        (line,) = (line for line in self.sender.all_archived().archive() if line["id"] == "later")
        assert line["text"] == "USER [REDACTED] LEFT", line
        say(f"{REQUESTS} more requests, all 202; {len(self.sender.expected)} events in the archive, each once: {line['text']}")
        options.reads()
        options.dispatch()
        options.new_objects()

    def watched(self) -> None:
        """Requests while `tidegate tap` looks: it must tell of each event when it is accepted, and when it is stored."""
        log = self.folder / "tap"
        with running([*self.on_stack("tap"), "--json"], DEADLINE_S, log):

            def seen() -> set[tuple[str, str]]:
                return {(event["stage"], event["id"]) for event in map(json.loads, log.read_text().splitlines())}

            def seen_of_another() -> set[tuple[str, str]]:
                self.sender.send(f"tap{len(self.sender.expected)}-", 1)
                return seen()

            # It looks from when it has found the shards.
            eventually("an event that is tapped", seen_of_another, bool)
            self.sender.send("l", REQUESTS)
            wanted = {(stage, f"l{number}") for stage in ("accepted", "stored") for number in range(REQUESTS)}
            eventually("each event tapped at both stages", lambda: wanted - seen(), lambda missing: not missing)
        say(f"tap told of {REQUESTS} events, each when it was accepted and when it was stored")

    def alarms(self) -> None:
        """Everything is on: each alarm has its runbook, each runbook its alarm."""
        cloudwatch = client("cloudwatch", self.deployment.url)
        alarms = {alarm["AlarmDescription"].rpartition("docs/runbooks/")[2]: alarm for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}
        # One is for a local run, which has no alarms.
        pages = {page.name for page in (ROOT / "docs/runbooks").glob("*.md")} - {"README.md", "storage-failing.md"}
        assert set(alarms) == pages, set(alarms) ^ pages
        say(f"{len(alarms)} alarms, each with its runbook, and no other runbook")
        # The emulator adds up a metric of all functions, and the consumer has crashed.
        raised = {page: alarm["AlarmName"] for page, alarm in alarms.items() if alarm["StateValue"] == "ALARM"}
        assert set(raised) <= {"dispatch-errors.md"}, raised
        for name in raised.values():
            cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="these were the consumer's errors")

    def audit(self) -> None:
        """The accounts must balance. An item that is deleted by hand must be named."""
        heading("tidegate audit")
        assert run([*self.on_stack("audit"), "--config", self.deployment.configuration]).returncode == 0, "the accounts balance"
        total = self.balance(0)["total"]
        expected = {"stored": len(self.sender.expected), "quarantined": 1, "failed": 1, "in_flight": 0, "missing": 0}
        # Events of ingest and of foreign producers are counted separately.
        assert {name: sum(counts[name] for counts in total.values()) for name in expected} == expected, total

        items, name = client("dynamodb", self.deployment.url), {"pk": {"S": "tenants/acme"}, "sk": {"S": "processed_logs/123"}}
        table = self.deployment.outputs["ItemsTable"]
        item = items.delete_item(TableName=table, Key=name, ReturnValues="ALL_OLD")["Attributes"]
        (finding,) = self.balance(1)["findings"]
        assert (finding["kind"], finding["tenant"], finding["id"]) == ("missing", "acme", "123"), finding
        items.put_item(TableName=table, Item=item)
        say(f"An item deleted by hand is named: {finding['kind']} {finding['tenant']} {finding['id']}: {finding['detail']}")

        heading("tidegate cat, tidegate redrive")
        printed = subprocess.run([*self.on_stack("cat"), "--tenant", "acme"], check=True, capture_output=True, text=True, env=os.environ | CREDENTIALS)
        archived = {("acme", json.loads(line)["id"]) for line in printed.stdout.splitlines()}
        assert archived == {name for name in self.sender.expected if name[0] == "acme"}, archived
        say(f"$ tidegate cat --stack {self.deployment.name} --tenant acme > acme.ndjson\n{printed.stderr.strip()}")
        assert run(self.on_stack("redrive")).returncode == 0

    def status(self) -> None:
        """The emulator makes no metrics from logs, so this run puts one."""
        heading("tidegate status")
        minute = time.time() // 60 * 60
        metrics = CONTRACT["metrics"]
        requests = {"MetricName": "RequestsReceived", "Dimensions": [{"Name": metrics["dimension"], "Value": self.deployment.stage}], "Value": 120}
        data = [requests | {"Timestamp": minute - 60 * ago + 30} for ago in range(1, 4)]
        client("cloudwatch", self.deployment.url).put_metric_data(Namespace=metrics["namespace"], MetricData=data)
        ran = run(self.on_stack("status"))
        assert ran.returncode == 0 and "2 requests/s" in ran.stdout, ran

    def on_stack(self, command: str) -> list:
        return self.deployment.on_stack(self.tidegate, command)

    def balance(self, code: int) -> dict:
        """An audit that must end with this code, as JSON."""
        command = [*self.on_stack("audit"), "--config", self.deployment.configuration, "--json"]
        ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | CREDENTIALS)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    def doctor(self) -> None:
        heading("tidegate doctor")
        found = examine(self.tidegate, self.deployment)
        assert found == LEFT_OUT | CHANGED, found ^ (LEFT_OUT | CHANGED)
        say("These are the changes of this run and the settings that the emulator ignores; nothing else.\n")
        self.deployment.update_mapping(BisectBatchOnFunctionError=False, MaximumBatchingWindowInSeconds=0)
        alarms = client("cloudwatch", self.deployment.url)
        (alarm, *_) = (found["AlarmName"] for found in alarms.describe_alarms()["MetricAlarms"] if "consumer-lag" in found["AlarmDescription"])
        alarms.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
        say("Changed by hand: bisecting off, no window, an alarm.")
        more = examine(self.tidegate, self.deployment) - found
        expected = {"consumer's mapping: BisectBatchOnFunctionError", "consumer's mapping: MaximumBatchingWindowInSeconds", f"alarm {alarm}: state"}
        assert more == expected, more

    def verify(self, mapping: list) -> None:
        heading("tidegate verify")
        begin = len(LINES)
        with running(mapping, DEADLINE_S):
            Verify(self.deployment, self.sender, self.tidegate).all()
        if self.transcripts:
            write_into(self.transcripts / "first-hour.md", begin)
            say("Its transcript is in first-hour.md.")

    def destroy(self) -> None:
        heading("cdk destroy")
        outputs, url = self.deployment.outputs, self.deployment.url
        items = len(self.deployment.stored().items())
        self.deployment.destroy()
        stacks = [found["StackName"] for found in client("cloudformation", url).list_stacks(StackStatusFilter=["CREATE_COMPLETE", "UPDATE_COMPLETE"])["StackSummaries"]]
        assert self.deployment.name not in stacks, stacks
        assert client("lambda", url).list_functions()["Functions"] == [], "no function is left"
        assert client("kinesis", url).list_streams()["StreamNames"] == [], "no stream is left"
        tables = set(client("dynamodb", url).list_tables()["TableNames"])
        assert tables == {outputs["ItemsTable"], outputs["LedgerTable"]}, tables
        stored = self.deployment.stored()
        assert len(stored.items()) == items, "items stay"
        say(f"functions, stream, queues, alarms are deleted; these stay on purpose:\n  table {outputs['ItemsTable']}, {items} items")
        say(f"  table {outputs['LedgerTable']}\n  bucket {outputs['Bucket']}, {len(stored.keys(''))} objects")


if __name__ == "__main__":
    main()
