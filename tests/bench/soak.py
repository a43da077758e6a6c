"""`make soak`: `tidegate local` under a steady load, for ten minutes unless `--seconds` says otherwise. Prints memory and freshness every
ten seconds, and fails if memory grows, if 1 of 100 events is stored later than five seconds after it was received, or if an
event is missing.

Without `--rate` it first measures, at full load, how many events a second the machine stores, and takes seven tenths of that.
"""

import argparse
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import time
import urllib.request

import local

FRESHNESS_MS = 5_000
EVERY_S = 10
# How long the measuring at the start takes, and which part of its result the machine should hold.
MEASURED_S = 20
SHARE = 0.7
# What an event takes on the disk, with SQLite's log.
DISK_BYTES = 3_000
# Memory may grow by this from the second to the last third of the run. In the first one, caches fill.
GROWTH, GROWTH_MB = 1.1, 10


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tidegate", type=lambda path: pathlib.Path(path).resolve(), required=True)
    arguments.add_argument("--load", type=pathlib.Path, required=True)
    arguments.add_argument("--seconds", type=int, default=600)
    arguments.add_argument("--rate", type=float, help="events a second")
    arguments.add_argument("--connections", type=int, default=256)
    given = arguments.parse_args()
    rate = given.rate or measured(given)
    with local.running(given.tidegate) as (pid, url, data):
        needed, free = rate * given.seconds * DISK_BYTES / 1e9, shutil.disk_usage(data).free / 1e9
        print(f"{rate:,.0f} events/s for {given.seconds} s: {needed:.1f} GB of {free:.1f} GB in {data.parent}", flush=True)
        if needed > 0.9 * free:
            raise SystemExit("the disk is too small: set a lower --rate, fewer --seconds, or another TMPDIR")
        broken = soak(given, rate, data, pid, url)
    if broken:
        raise SystemExit("error: " + "; ".join(broken))


def soak(given: argparse.Namespace, rate: float, data: pathlib.Path, pid: int, url: str) -> list[str]:
    begun = time.monotonic()
    options = ["--connections", str(given.connections), "--seconds", str(given.seconds), "--rate", str(rate)]
    sender = subprocess.Popen([given.load, url, *options], stdout=subprocess.PIPE, text=True)
    print(f"{'s':>5} {'MB':>6} {'of consumers':>13} {'freshness p99 ms':>17}")
    seen = []
    while sender.poll() is None:
        time.sleep(EVERY_S)
        own, consumers = rss_mb(pid), sum(map(rss_mb, local.children(pid)))
        seen.append((own + consumers, freshness_p99_ms(url)))
        print(f"{time.monotonic() - begun:5.0f} {own:6.0f} {consumers:13.0f} {seen[-1][1]:17.0f}", flush=True)
    result = json.loads(sender.stdout.read())
    local.wait_until_stored(data, begun)
    items = local.count(data, "SELECT count(*) FROM items")
    accepted, p99_ms = result["accepted"], max(freshness for _, freshness in seen)
    third = max(len(seen) // 3, 1)
    second, last = (statistics.median(memory for memory, _ in part) for part in (seen[third:-third] or seen, seen[-third:]))
    print(f"{accepted:,} accepted, {accepted / result['seconds']:,.0f}/s, {result['refused']} refused, answers p99 {result['p99_ms']:.1f} ms; {items:,} stored")
    print(f"freshness p99 at most {p99_ms:.0f} ms; memory {second:.0f} MB in the second third, {last:.0f} MB in the last")
    broken = {
        f"{items:,} items of {accepted:,} accepted events": items < accepted,
        f"{result['refused']} events were refused": result["refused"] > 0,
        f"only {accepted / result['seconds']:,.0f} events/s were sent": accepted / result["seconds"] < 0.95 * rate,
        f"freshness p99 was {p99_ms:.0f} ms, over {FRESHNESS_MS}": p99_ms > FRESHNESS_MS,
        f"memory grew from {second:.0f} to {last:.0f} MB": last > GROWTH * second + GROWTH_MB,
    }
    return [text for text, is_so in broken.items() if is_so]


def measured(given: argparse.Namespace) -> float:
    with local.running(given.tidegate) as (_, url, data):
        begun = time.monotonic()
        accepted = local.load(given.load, url, connections=given.connections, seconds=MEASURED_S)["accepted"]
        return SHARE * accepted / local.wait_until_stored(data, begun)


def freshness_p99_ms(url: str) -> float:
    """Of about the last minute. 0 if nothing was stored yet."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        found = re.search(r'^tidegate_freshness_milliseconds\{quantile="0.99"\} (\S+)', answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0


def rss_mb(pid: int) -> float:
    # A consumer may have ended since it was listed.
    status = pathlib.Path(f"/proc/{pid}/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text() if status.exists() else "")
    return int(found[1]) / 1024 if found else 0


if __name__ == "__main__":
    main()
