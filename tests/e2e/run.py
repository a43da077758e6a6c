"""`make e2e`: the functions as they ship, the event source mapping, and AWS's APIs by an emulator.

Prints a transcript, and ends with an error where something is not as it should be.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

from crash_on_poison import POISON
from emulator import CREDENTIALS, ministack
from stack import BUCKET, Stack

TESTS = pathlib.Path(__file__).parent.parent
# What `provided.al2023` has.
GLIBC = (2, 34)
REQUESTS = 200
DEADLINE_S = 120


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--functions", type=pathlib.Path, required=True, help="the folder of `cargo lambda build`")
    arguments.add_argument("--tidegate", type=pathlib.Path, required=True, help="`tidegate` with the feature `aws`")
    given = arguments.parse_args()
    bootstraps = {name: (given.functions / name / "bootstrap").read_bytes() for name in ("ingest-fn", "consumer-fn")}

    heading("The binaries")
    for name in bootstraps:
        check_glibc(name, given.functions / name / "bootstrap")

    with tempfile.TemporaryDirectory() as folder, ministack(pathlib.Path(folder) / "ministack.log") as url:
        folder = pathlib.Path(folder)
        stack = Stack(url)
        heading("The door to the object")
        door_to_object(stack, bootstraps, given.tidegate, folder)
        heading("A record that the function dies of")
        poison(stack, bootstraps, given.tidegate, folder)
    print("\nAll as it should be.")


def check_glibc(name: str, bootstrap: pathlib.Path) -> None:
    versions = subprocess.run(["readelf", "--version-info", "--wide", bootstrap], check=True, capture_output=True, text=True)
    asked = max(tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([0-9.]+)", versions.stdout))
    print(f"{name}: {bootstrap.stat().st_size:,} bytes, asks for glibc {'.'.join(map(str, asked))}")
    assert asked <= GLIBC, f"{name} asks for glibc {asked}, provided.al2023 has {GLIBC}"


def door_to_object(stack: Stack, bootstraps: dict[str, bytes], tidegate: pathlib.Path, folder: pathlib.Path) -> None:
    stack.create_stream("tidegate")
    # The emulator is slow, and the machine may be: a put gets more time than the 250 ms that are deployed.
    patience = {"TIDEGATE__PUBLISH__BUDGET_MS": "10000", "TIDEGATE__PUBLISH__ATTEMPT_MS": "5000"}
    stack.create_function("ingest-fn", "tidegate", {"bootstrap": bootstraps["ingest-fn"]}, **patience)
    stack.create_function("consumer-fn", "tidegate", {"bootstrap": bootstraps["consumer-fn"]})
    url = stack.create_url("ingest-fn")
    with mapping(stack, tidegate, folder, "tidegate", "consumer-fn"):
        event = '{"tenant_id":"acme","log_id":"123","text":"User 555-0199 accessed /reports"}'
        json_type = "Content-Type: application/json"
        assert curl(url, "/ingest", event, json_type) == (202, {"status": "success", "event_id": "123"})
        status, answer = curl(url, "/ingest", "call 555-0199", "Content-Type: text/plain", "X-Tenant-ID: beta_inc", "Idempotency-Key: t1")
        assert (status, answer["event_id"]) == (202, "t1")
        webhook = '{"event_timestamp":"2024-01-11T01:42:50.234200+00:00","body":"what is the capital of India?","id":"w1"}'
        assert curl(url, "/v1/webhooks/gamma/events/new", webhook, json_type)[0] == 202
        status, answer = curl(url, "/ingest", '[{"tenant_id":"acme","id":1,"text":"x"},{"tenant_id":"beta_inc","id":1,"text":"y"}]', json_type)
        assert (status, answer["accepted"]) == (202, 2)
        assert curl(url, "/ingest", "{", json_type)[1]["code"] == "malformed_json"
        expected = {("acme", "123"), ("beta_inc", "t1"), ("gamma", "w1"), ("acme", "1"), ("beta_inc", "1")}

        def send(number: int) -> tuple[str, str]:
            tenant = f"tenant-{number % 10}"
            body = json.dumps({"tenant_id": tenant, "id": f"e{number}", "text": f"event {number}"})
            status, answer = request(url, "/ingest", body, json_type)
            assert status == 202, answer
            return tenant, f"e{number}"

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            expected |= set(pool.map(send, range(REQUESTS)))
        print(f"{REQUESTS} requests by eight senders: all 202")

        aggregate = (TESTS / "fixtures/kpl/thousand.bin").read_bytes()
        others = [("any", aggregate), ("any", b'{"tenant_id":"acme","id":"f1","payload":"from elsewhere"}'), ("any", b"\x00poison")]
        put = stack.kinesis.put_records(StreamName="tidegate", Records=[{"PartitionKey": key, "Data": data} for key, data in others])
        assert put["FailedRecordCount"] == 0, put
        print("put on the stream by others: a KPL aggregate of 1,000, a JSON object, a record of garbage")
        expected |= {(f"t{n % 5}", f"k{n}") for n in range(1000)} | {("acme", "f1")}

        archived = eventually("every event in the archive", stack.archived, lambda found: len(found) >= len(expected))
        eventually("the garbage in quarantine", stack.quarantined, bool)
    assert set(archived) == expected and set(archived.values()) == {1}, "the archive holds every event once"
    items = stack.items()
    assert set(items) == {(f"tenants/{tenant}", f"processed_logs/{event}") for tenant, event in expected}, "an item each"
    (line,) = (line for line in stack.archive() if (line["tenant"], line["id"]) == ("acme", "123"))
    assert line["text"] == "User [REDACTED] accessed /reports", line
    item = items["tenants/acme", "processed_logs/123"]
    (garbage,) = stack.quarantined()
    assert (garbage["reason"], garbage["bytes"]) == ("unrecognised", "AHBvaXNvbg=="), garbage
    print(f"read back: {len(items)} items, {sum(archived.values())} archive lines in {len(stack.keys('events/'))} objects, none doubled, tenants apart")
    print(f"  {stack.keys('events/')[0]}\n  {json.dumps(line)}")
    print(f"  item tenants/acme processed_logs/123: {item['original_text']['S']!r} -> {item['modified_data']['S']!r}")
    print(f"  quarantine: {garbage['reason']}, bytes {garbage['bytes']}")


def poison(stack: Stack, bootstraps: dict[str, bytes], tidegate: pathlib.Path, folder: pathlib.Path) -> None:
    """The consumer behind a bootstrap that dies of one record. The others must be stored, that one kept."""
    stack.empty()
    stack.create_stream("poisoned")
    invocations = folder / "invocations"
    crashing = {
        "bootstrap": b'#!/bin/sh\nexec python3 "$(dirname "$0")/crash_on_poison.py"\n',
        "crash_on_poison.py": (pathlib.Path(__file__).parent / "crash_on_poison.py").read_bytes(),
        "consumer-fn": bootstraps["consumer-fn"],
    }
    stack.create_function("consumer-fn-that-dies", "poisoned", crashing, INVOCATIONS=str(invocations))
    events = [json.dumps({"tenant_id": "acme", "id": f"n{number}", "text": "a neighbour"}).encode() for number in range(7)]
    records = [*events[:4], POISON, *events[4:]]
    put = stack.kinesis.put_records(StreamName="poisoned", Records=[{"PartitionKey": "acme", "Data": data} for data in records])
    assert put["FailedRecordCount"] == 0, put
    with mapping(stack, tidegate, folder, "poisoned", "consumer-fn-that-dies", "--retries", "2", "--window-ms", "1000", "--drain"):
        pass
    print("records an invocation:", ", ".join(invocations.read_text().splitlines()))
    assert sorted(stack.archived()) == [("acme", f"n{number}") for number in range(7)], "the neighbours are stored"
    assert set(stack.archived().values()) == {1}
    (key,) = stack.keys("aws/lambda/")
    kept = json.loads(next(stack.objects("aws/lambda/")))
    payload = json.loads(kept["payload"])
    assert kept["KinesisBatchInfo"]["batchSize"] == len(payload["Records"]) == 1, "only the poison is given up"
    assert kept["requestContext"]["condition"] == "RetryAttemptsExhausted", kept
    print(f"the seven neighbours are stored; the record is kept, with its payload:\n  {key}")
    print(f"  {json.dumps(kept['requestContext'])}\n  {json.dumps(kept['KinesisBatchInfo'])}")
    print(f"  data {payload['Records'][0]['kinesis']['data']}")


@contextlib.contextmanager
def mapping(stack: Stack, tidegate: pathlib.Path, folder: pathlib.Path, stream: str, function: str, *more: str) -> Iterator[None]:
    """Our event source mapping, for as long as the block lasts; it drains at the end."""
    command = [tidegate, "mapping", "--endpoint-url", stack.url, "--stream", stream, "--function", function, "--on-failure", BUCKET]
    print("$", " ".join(str(part) for part in ["tidegate", *command[1:], *more]))
    command += ["--data", folder / "data", *more]
    process = subprocess.Popen(command, env=os.environ | CREDENTIALS)
    try:
        yield
        if "--drain" not in more:
            process.terminate()
        assert process.wait(DEADLINE_S) == 0, "the mapping ends well"
    finally:
        process.kill()


def curl(url: str, path: str, body: str, *headers: str) -> tuple[int, dict]:
    """The same as `request`, and shown."""
    shown = " ".join(f"-H '{header}'" for header in headers)
    print(f"$ curl $URL{path} -H 'X-Customer-Tier: pro' {shown} -d '{body}'")
    status, answer = request(url, path, body, *headers)
    print(f"{status} {json.dumps(answer)}")
    return status, answer


def request(url: str, path: str, body: str, *headers: str) -> tuple[int, dict]:
    given = [argument for header in ("X-Customer-Tier: pro", *headers) for argument in ("-H", header)]
    command = ["curl", "--silent", "--show-error", "--max-time", "60", url + path, *given, "--data-binary", body, "--write-out", "\n%{http_code}"]
    answer, status = subprocess.run(command, check=True, capture_output=True, text=True).stdout.rsplit("\n", 1)
    return int(status), json.loads(answer)


def eventually(what: str, look: Callable, good: Callable):
    end = time.monotonic() + DEADLINE_S
    while not good(found := look()):
        assert time.monotonic() < end, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.2)
    return found


def heading(text: str) -> None:
    print(f"\n## {text}\n", flush=True)


if __name__ == "__main__":
    main()
