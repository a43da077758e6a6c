"""What is stored, as the operator's commands show it."""

import json
import subprocess
import time

from local_run import LocalRun

# Events are stored some seconds after they were accepted.
DEADLINE_S = 60


def stored(run: LocalRun, tenant: str, events: int) -> list[dict]:
    """The archive lines of a tenant, as soon as there are so many. Fails if there are more, or an event is there twice."""
    until = time.monotonic() + DEADLINE_S
    while len(lines := archived(run, tenant)) < events and time.monotonic() < until:
        time.sleep(0.3)
    ids = {line["id"] for line in lines}
    if len(lines) != events or len(ids) != events:
        raise SystemExit(f"tenant {tenant}: {events} events were sent, and {len(ids)} are in {len(lines)} archive lines")
    return lines


def archived(run: LocalRun, tenant: str) -> list[dict]:
    return [json.loads(line) for line in tidegate(run, "cat", "--tenant", tenant).splitlines()]


def audit(run: LocalRun, events: int) -> str:
    """Waits until no event is in flight. Fails if there are not so many in all, or one is missing, doubled or quarantined."""
    until = time.monotonic() + DEADLINE_S
    while (counts := totals(run))["in_flight"] and time.monotonic() < until:
        time.sleep(0.3)
    wrong = [name for name in ("quarantined", "failed", "in_flight", "missing") if counts[name]]
    if counts["stored"] != events or wrong:
        raise SystemExit(f"{events} events were sent, and the audit counts {counts}")
    return f"{events} events are stored once; {counts['deduplicated']} that were sent again are not"


def totals(run: LocalRun) -> dict[str, int]:
    """Of ingest and of foreign producers."""
    total = json.loads(tidegate(run, "audit", "--json"))["total"]
    return {name: total["ingest"][name] + total["foreign_producers"][name] for name in total["ingest"]}


def tidegate(run: LocalRun, *arguments: str) -> str:
    command = [run.tidegate, *arguments]
    ran = subprocess.run(command, cwd=run.folder, capture_output=True, text=True, timeout=DEADLINE_S)
    if ran.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} exited with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return ran.stdout
