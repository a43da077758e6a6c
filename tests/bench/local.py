"""`make bench-local`, the second part of `make bench`: events a second that `tidegate local` accepts and stores, one a request;
then how long `tidegate audit` takes for many of them, and its memory.

`load` (src/bin/load.rs) sends over keep-alive connections from the same machine, so it takes its share of the cores; the table says
how much.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator

import page

TICKS = os.sysconf("SC_CLK_TCK")
# What an audit of 300,000 events may take.
AUDIT_CPU_S = 10
DEEP_CPU_S = 60
AUDIT_MB = 150
# Clients that send events to be audited.
SENDERS = 4


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tidegate", type=lambda path: pathlib.Path(path).resolve(), required=True)
    arguments.add_argument("--load", type=pathlib.Path, required=True)
    arguments.add_argument("--seconds", type=int, default=30)
    arguments.add_argument("--bytes", type=int, default=400)
    arguments.add_argument("--connections", type=int, nargs="+", default=[16, 64, 256])
    arguments.add_argument("--audited", type=int, default=300_000)
    arguments.add_argument("--audited-per-request", type=int, nargs="+", default=[50, 1])
    arguments.add_argument("--page", type=pathlib.Path, help="the page into which the tables are written")
    given = arguments.parse_args()
    texts = {"local-machine": page.machine("make bench-local", os.getloadavg()[0], "rustc")}
    head = ["connections", "accepted/s", "refused", "p50 ms", "p99 ms", "stored/s", "last stored after s", "ingest µs", "consumer µs", "load µs"]
    texts["local"] = page.table(head, [row(given, connections) for connections in given.connections])
    head = ["events", "events a record", "audit s", "CPU s", "peak MB", "--deep s", "CPU s", "peak MB"]
    texts["audit"] = page.table(head, [audited(given.tidegate, given.audited, a_request) for a_request in given.audited_per_request])
    print("\n\n".join(texts.values()))
    for name, text in texts.items() if given.page else ():
        page.replace(given.page, name, text)


def row(given: argparse.Namespace, connections: int) -> list[str]:
    with running(given.tidegate) as (pid, url, data):
        begun = time.monotonic()
        seen = load(given.load, url, connections=connections, seconds=given.seconds, bytes=given.bytes)
        accepted = seen["accepted"]
        # Stored: from the first request until the last accepted event has its item and its line.
        stored_s = wait_until_stored(data, begun)
        items = count(data, "SELECT count(*) FROM items")
        assert items >= accepted, f"{items} items of {accepted} accepted events"
        used = [cpu_s(pid), sum(map(cpu_s, children(pid))), seen["cpu_s"]]
        rates = [f"{accepted / seen['seconds']:,.0f}", str(seen["refused"]), f"{seen['p50_ms']:.1f}", f"{seen['p99_ms']:.1f}"]
        rates += [f"{items / stored_s:,.0f}", f"{stored_s - seen['seconds']:.1f}"]
        return [str(connections), *rates, *(f"{1e6 * seconds / accepted:.1f}" for seconds in used)]


def load(program: pathlib.Path, url: str, **options: float) -> dict:
    """What the load generator has seen."""
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return json.loads(subprocess.run([program, url, *given], check=True, capture_output=True, text=True).stdout)


def audited(tidegate: pathlib.Path, events: int, a_request: int) -> list[str]:
    """Stores that many events, then audits them. Events of a request share a record, as long as they fit."""
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data"
        process, url = started(tidegate, data)
        try:
            with concurrent.futures.ThreadPoolExecutor(SENDERS) as senders:
                list(senders.map(lambda sender: send(url, range(sender, events // a_request, SENDERS), a_request), range(SENDERS)))
            wait_until_stored(data, time.monotonic())
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
        return [f"{events:,}", str(a_request), *audit(tidegate, data, events, AUDIT_CPU_S), *audit(tidegate, data, events, DEEP_CPU_S, "--deep")]


def audit(tidegate: pathlib.Path, data: pathlib.Path, events: int, most_cpu_s: int, *options: str) -> list[str]:
    begun = time.monotonic()
    audit = subprocess.Popen([tidegate, "audit", "--json", "--data", data, *options], stdout=subprocess.PIPE, cwd=data.parent)
    report = json.load(audit.stdout)
    # `wait4` and not `wait`: it says what this child used.
    _, status, usage = os.wait4(audit.pid, 0)
    took, cpu, peak = time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    stored = report["total"]["ingest"]["stored"]
    assert (status, stored) == (0, events), f"{stored} of {events} events stored, {report['findings'][:3]}"
    assert cpu <= most_cpu_s and peak <= AUDIT_MB, f"the audit {options} of {events} events took {cpu:.1f} s of CPU and {peak:.0f} MB"
    return [f"{took:.1f}", f"{cpu:.1f}", f"{peak:.0f}"]


@contextlib.contextmanager
def running(tidegate: pathlib.Path) -> Iterator[tuple[int, str, pathlib.Path]]:
    """A local run on a folder of its own: its process, its address and its data. It is killed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data"
        process, url = started(tidegate, data)
        try:
            yield process.pid, url, data
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def started(tidegate: pathlib.Path, data: pathlib.Path) -> tuple[subprocess.Popen, str]:
    command = [tidegate, "local", "--listen", "127.0.0.1:0", "--data", data]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=data.parent)
    return process, next(line.split()[1] for line in process.stdout if line.strip().startswith("requests")).removesuffix("/ingest")


def send(url: str, requests: range, a_request: int) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    for request in requests:
        events = [
            {"tenant_id": f"t{request % 20}", "id": f"{request}-{index}", "text": "accessed /reports from node-7 " * 30}
            for index in range(a_request)
        ]
        headers = {"Content-Type": "application/json", "X-Customer-Tier": "pro"}
        connection.request("POST", "/ingest", json.dumps(events if a_request > 1 else events[0]), headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 202, f"{answer.status} {body}"


def wait_until_stored(data: pathlib.Path, begun: float) -> float:
    """Seconds from `begun` until the mapping is at the stream's end."""
    while True:
        (last,) = query(data, "SELECT coalesce(max(sequence), 0) FROM records")[0]
        checkpoints = query(data, "SELECT sequence_number FROM checkpoints")
        # A sequence number ends in the record's place in the stream.
        if checkpoints and str(max(int(number) for (number,) in checkpoints)).endswith(str(last)):
            return time.monotonic() - begun
        time.sleep(0.1)


def count(data: pathlib.Path, select: str) -> int:
    return query(data, select)[0][0]


def query(data: pathlib.Path, select: str) -> list[tuple]:
    database = sqlite3.connect(data / "tidegate.sqlite", timeout=60)
    try:
        return database.execute(select).fetchall()
    finally:
        database.close()


def children(pid: int) -> list[int]:
    return [int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def cpu_s(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    main()
