"""`make bench`: events a second that `tidegate local` accepts and stores, 1 KB each, one a request.

wrk sends over keep-alive connections from the same machine, so it takes its share of the cores; the table says how much.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

LUA = pathlib.Path(__file__).with_name("event.lua")
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tidegate", type=pathlib.Path, required=True)
    arguments.add_argument("--seconds", type=int, default=30)
    arguments.add_argument("--connections", type=int, nargs="+", default=[16, 64, 256])
    given = arguments.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: `apt-get install wrk`")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, {cpu_model()}; load average before: {load:.1f}\n")
    print("| connections | accepted/s | refused | p50 ms | p99 ms | stored/s | CPU ingest s | CPU consumer s | CPU wrk s |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for connections in given.connections:
        print(row(given.tidegate, connections, given.seconds), flush=True)


def row(tidegate: pathlib.Path, connections: int, seconds: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data"
        command = [tidegate, "local", "--listen", "127.0.0.1:0", "--data", data]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder)
        try:
            url = next(line.split()[1] for line in process.stdout if line.strip().startswith("requests")).removesuffix("/ingest")
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
            return (
                f"| {connections} | {answered / (duration_us / 1e6):,.0f} | {failed} | {p50 / 1e3:.1f} | {p99 / 1e3:.1f} "
                f"| {items / stored_s:,.0f} | {ingest:.1f} | {consumer:.1f} | {wrk_s:.1f} |"
            )
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


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


def cpu_model() -> str:
    return re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]


if __name__ == "__main__":
    main()
