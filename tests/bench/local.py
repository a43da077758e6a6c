"""`make bench`, second part: events a second that `tidegate local` accepts and stores, 1 KB each, one a request; then how long
`tidegate audit` takes for many of them, and its memory.

wrk sends over keep-alive connections from the same machine, so it takes its share of the cores; the table says how much.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

import page

LUA = pathlib.Path(__file__).with_name("event.lua")
TICKS = os.sysconf("SC_CLK_TCK")
# What an audit of 300,000 events may take.
AUDIT_CPU_S = 10
DEEP_CPU_S = 60
AUDIT_MB = 150
# Clients that send events to be audited.
SENDERS = 4


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tidegate", type=pathlib.Path, required=True)
    arguments.add_argument("--seconds", type=int, default=20)
    arguments.add_argument("--connections", type=int, nargs="+", default=[16, 64, 256])
    arguments.add_argument("--audited", type=int, default=300_000)
    arguments.add_argument("--audited-per-request", type=int, nargs="+", default=[50, 1])
    arguments.add_argument("--page", type=pathlib.Path, help="the page into which the tables are written")
    given = arguments.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: `apt-get install wrk`")
    texts = {"local-machine": page.machine("make bench", os.getloadavg()[0], "rustc")}
    head = ["connections", "accepted/s", "refused", "p50 ms", "p99 ms", "stored/s", "CPU ingest s", "CPU consumer s", "CPU wrk s"]
    texts["local"] = page.table(head, [row(given.tidegate, connections, given.seconds) for connections in given.connections])
    head = ["events", "events a record", "audit s", "CPU s", "peak MB", "--deep s", "CPU s", "peak MB"]
    texts["audit"] = page.table(head, [audited(given.tidegate, given.audited, a_request) for a_request in given.audited_per_request])
    print("\n\n".join(texts.values()))
    for name, text in texts.items() if given.page else ():
        page.replace(given.page, name, text)


def row(tidegate: pathlib.Path, connections: int, seconds: int) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data"
        process, url = started(tidegate, data)
        try:
            begun = time.monotonic()
            before = os.times()
            wrk = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--latency", "--script", LUA, url]
            printed = subprocess.run(wrk, check=True, capture_output=True, text=True).stdout
            after = os.times()
            requests, duration_us, failed, p50, p99 = map(int, re.search(r"RESULT (.*)", printed)[1].split())
            # Stored: from the first request until the last accepted event has its item and its line.
            stored_s = wait_until_stored(data, begun)
            ingest, consumer = cpu_s(process.pid), sum(map(cpu_s, children(process.pid)))
            items = count(data, "SELECT count(*) FROM items")
            wrk_s = after.children_user + after.children_system - before.children_user - before.children_system
            answered = requests - failed
            assert items >= answered, f"{items} items of {answered} accepted events"
            accepted, stored = answered / (duration_us / 1e6), items / stored_s
            times = [f"{ms:.1f}" for ms in (p50 / 1e3, p99 / 1e3)]
            cpu = [f"{used:.1f}" for used in (ingest, consumer, wrk_s)]
            return [str(connections), f"{accepted:,.0f}", str(failed), *times, f"{stored:,.0f}", *cpu]
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


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
