"""`make bench`, first part: processor time of the whole functions and of peers that do the same work. `make peers` only compares
what they store.

Before anything is timed, all must store the same. Then they run in turns, a round of each after the other, so that what else the
machine does meets all of them; of a ratio, the two rounds were next to each other. Then: the memory of the functions.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import zlib
from datetime import datetime

import page
import plot

PEERS = pathlib.Path(__file__).with_name("peers")
INPUTS = {
    "small": "390 bytes, one a record",
    "big": "8 KB, one a record",
    "packed": "390 bytes, 50 a record, packed by ingest",
    "gzip-packed": "390 bytes, 50 a record, gzip NDJSON",
    "kpl": "390 bytes, 50 a record, by the Kinesis Producer Library",
    "escapes": "1 KB, each character an escape",
    "non-ascii": "1 KB of Chinese",
    "one-tenant": "390 bytes, all of one tenant",
    "tenants": "390 bytes, of 10,000 tenants",
    "one-mib": "one of nearly 1 MiB",
}
# What is different at ingest. It gets no records, so what differs only in records is left out.
INGEST_INPUTS = {
    "small": "390 bytes, one a request",
    "big": "8 KB, one a request",
    "packed": "390 bytes, 10,000 in one request",
    "escapes": INPUTS["escapes"],
    "non-ascii": INPUTS["non-ascii"],
    "one-mib": INPUTS["one-mib"],
}
WARM_UP_ROUNDS = 2
# What Lambda gives to one invocation.
PAYLOAD_BYTES = 6 * 1024 * 1024
# Events in a batch, and tenants.
SCALE = [(events, tenants) for events in (100, 1_000, 10_000, 60_000) for tenants in (1, 100, 10_000) if tenants <= events]
# Which of the best stages make the limit. `memcpy` is a row of its own.
NO_STAGE = "memcpy"


class Worker:
    """A process that runs a function once for each line that it gets."""

    def __init__(self, *command: str | pathlib.Path):
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def round(self, folder: pathlib.Path | str = "") -> tuple[float, dict[str, float]]:
        """Seconds of processor time, and more numbers by their names."""
        self.process.stdin.write(f"{folder}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split("\t")
        if answer == [""]:
            raise SystemExit(f"{' '.join(map(str, self.command))} ended")
        more = (pair.partition("=") for pair in answer[1:] if pair.strip())
        return float(answer[0]), {name: float(value) for name, _, value in more}

    def peak_mib(self) -> float:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


@dataclasses.dataclass
class Measured:
    """Microseconds an event, by who needed them, round by round."""

    us: dict[str, list[float]]
    # The limit's stages, and the size of the archive objects.
    more: dict[str, list[float]]

    def median(self, who: str) -> float:
        return statistics.median(self.us[who])

    def ratios(self, who: str, to: str = "Tidegate") -> list[float]:
        return [one / other for one, other in zip(self.us[who], self.us[to])]

    def best_stages(self) -> dict[str, float]:
        return {stage: min(values) for stage, values in self.more.items() if stage != "archive"}

    def limit(self) -> float:
        return sum(us for stage, us in self.best_stages().items() if stage != NO_STAGE)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--programs", type=pathlib.Path, required=True, help="the folder of the programs `work` and `naive`")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--memory-rounds", type=int, default=100)
    arguments.add_argument("--inputs", nargs="+", default=list(INPUTS))
    arguments.add_argument("--compare-only", action="store_true", help="end after what they store was compared")
    arguments.add_argument("--page", type=pathlib.Path, help="the page into which the tables and the plots are written")
    given = arguments.parse_args()
    load = os.getloadavg()[0]
    work = given.programs / "work"
    with tempfile.TemporaryDirectory() as folder:
        payloads = pathlib.Path(folder, "payloads")
        payloads.mkdir()
        subprocess.run([work, "write", payloads], check=True)
        files = {tuple(file.name.split("-", 2)[::2]): file for file in payloads.iterdir()}

        def peers(function: str, file: pathlib.Path) -> dict[str, Worker]:
            workers = {"Tidegate": Worker(work, "serve", function, file)}
            if function == "consumer":
                workers["naive Rust"] = Worker(given.programs / "naive", file)
            workers["Node"] = Worker("node", PEERS / f"{function}.mjs", file)
            workers["Python"] = Worker(sys.executable, PEERS / f"{function}.py", file)
            return workers

        for function, inputs in (("consumer", INPUTS), ("ingest", INGEST_INPUTS)):
            for name in ["redaction", *(name for name in inputs if name in given.inputs)]:
                compare(function, name, peers(function, files[function, name]), pathlib.Path(folder))
            print(f"{function}: all store the same", flush=True)
        if given.compare_only:
            return

        results = {}
        for function, inputs in (("consumer", INPUTS), ("ingest", INGEST_INPUTS)):
            for name in (name for name in inputs if name in given.inputs):
                file = files[function, name]
                workers = peers(function, file)
                if function == "consumer":
                    workers["limit"] = Worker(work, "serve", "limit", file)
                results[function, name] = measured(workers, int(file.name.split("-")[1]), given.rounds)
                shown = ", ".join(f"{who} {results[function, name].median(who):.1f} µs" for who in workers)
                print(f"{function} {name}: {shown}", flush=True)

        texts = {
            "consumer": functions_table(results, "consumer", INPUTS),
            "ingest": functions_table(results, "ingest", INGEST_INPUTS),
            "limit": limit_table(results),
            "memory": memory_table(work, given.memory_rounds, pathlib.Path(folder)),
            "scale": scale_table(work),
            "machine": page.machine("make bench", load, "rustc", "node", sys.executable),
        }
    print("\n\n".join(texts.values()))
    if given.page:
        for name, text in texts.items():
            page.replace(given.page, name, text)
        for function in ("consumer", "ingest"):
            bars = {name: {who: measured.median(who) for who in measured.us} for (of, name), measured in results.items() if of == function}
            given.page.with_name(f"performance-{function}.svg").write_text(plot.bars(f"{function}: µs an event", bars))


def compare(function: str, name: str, workers: dict[str, Worker], folder: pathlib.Path) -> None:
    """Ends the run unless all store the same."""
    stored = {}
    for who, worker in workers.items():
        outputs = folder / "outputs"
        outputs.mkdir(exist_ok=True)
        worker.round(outputs)
        worker.end()
        stored[who] = consumed(outputs) if function == "consumer" else ingested(outputs)
    expected = stored.pop("Tidegate")
    for who, found in stored.items():
        for kind in expected:
            if len(found[kind]) != len(expected[kind]):
                raise SystemExit(f"{function} {name}: {who} has {len(found[kind])} {kind}, Tidegate {len(expected[kind])}")
            for other, ours in zip(found[kind], expected[kind]):
                if other != ours:
                    raise SystemExit(f"{function} {name}: {kind} differ\n{who}: {json.dumps(other)[:2000]}\nTidegate: {json.dumps(ours)[:2000]}")


def consumed(outputs: pathlib.Path) -> dict[str, list]:
    """The items, and of each member of the archive object its lines. Without the time of the run, on which the end of an item's
    life depends."""
    items = read_lines(outputs / "items.ndjson")
    for item in items:
        lives_from = max(datetime.fromisoformat(item[name]) for name in ("received_at", "processed_at"))
        item["expires_at"] -= int(lives_from.timestamp())
        if "fields" in item:
            item["fields"] = json.loads(item["fields"])
        del item["processed_at"]
    rest, members = (outputs / "archive.ndjson.gz").read_bytes(), []
    while rest:
        member = zlib.decompressobj(wbits=31)
        lines = [json.loads(line) for line in member.decompress(rest).split(b"\n") if line]
        for line in lines:
            del line["processed_at"]
        members.append(lines)
        rest = member.unused_data
    return {"items": items, "archive members": members}


def ingested(outputs: pathlib.Path) -> dict[str, list]:
    """The answers, and the lines on the stream in the order of their ids. Without what is new each time."""
    lines = read_lines(outputs / "lines.ndjson")
    for line in lines:
        del line["line"]["admission_id"], line["line"]["received_at"]
    lines.sort(key=lambda line: line["line"]["id"])
    answers = [(answer["statusCode"], json.loads(answer["body"])) for answer in read_lines(outputs / "answers.ndjson")]
    return {"answers": answers, "lines": lines}


def read_lines(file: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in file.read_bytes().split(b"\n")]


def measured(workers: dict[str, Worker], events: int, rounds: int) -> Measured:
    us, more = {who: [] for who in workers}, {}
    for round in range(WARM_UP_ROUNDS + rounds):
        for who, worker in workers.items():
            seconds, others = worker.round()
            if round < WARM_UP_ROUNDS:
                continue
            us[who].append(seconds * 1e6 / events)
            for name, value in others.items():
                more.setdefault(name, []).append(value * 1e6 / events)
    for worker in workers.values():
        worker.end()
    return Measured(us, more)


def functions_table(results: dict, function: str, inputs: dict[str, str]) -> str:
    rows = []
    for name, about in inputs.items():
        if (function, name) not in results:
            continue
        result = results[function, name]
        ours = f"**{number(result.median('Tidegate'))}** ({number(min(result.us['Tidegate']))}–{number(max(result.us['Tidegate']))})"
        peers = [spread(result.ratios(who)) for who in result.us if who not in ("Tidegate", "limit")]
        limit = [f"{result.median('Tidegate') / result.limit():.1f} ×"] if function == "consumer" else []
        rows.append([f"{name}: {about}", ours, *limit, *peers])
    limit, peers = (["of the limit"], ["naive Rust"]) if function == "consumer" else ([], [])
    return page.table(["events", "µs an event", *limit, *peers, "Node", "Python"], rows)


def limit_table(results: dict) -> str:
    names = [name for name in ("small", "big", "packed") if ("consumer", name) in results]
    best = {name: results["consumer", name].best_stages() for name in names}
    rows = [[stage, *(number(best[name][stage]) for name in names)] for stage in best[names[0]] if stage != NO_STAGE]
    rows.append(["**all of them**", *(f"**{number(results['consumer', name].limit())}**" for name in names)])
    rows.append(["Tidegate", *(number(results["consumer", name].median("Tidegate")) for name in names)])
    rows.append(["for comparison: copying the payload", *(number(best[name][NO_STAGE]) for name in names)])
    return page.table(["µs an event", *names], rows)


def memory_table(work: pathlib.Path, rounds: int, folder: pathlib.Path) -> str:
    """Peaks of processes that do nothing else: after one payload as large as Lambda's, and after many."""
    rows = []
    for function, name, events in (("consumer", "small", 6_000), ("consumer", "big", 1_500), ("consumer", "packed", 30_000), ("ingest", "big", 750)):
        command = [work, "payload", function, name, str(events)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        text = cut(json.loads(printed)) if function == "consumer" else one_request(printed)
        payload = folder / "payload"
        payload.write_text(text)
        worker = Worker(work, "serve", function, payload)
        worker.round()
        first = worker.peak_mib()
        ms = statistics.median(worker.round()[0] * 1e3 for _ in range(rounds))
        rows.append([f"{function}, {name}", f"{len(text) / 2**20:.1f}", f"{first:.0f}", f"{worker.peak_mib():.0f}", f"{ms:.0f}"])
        worker.end()
    return page.table(["function and events", "payload, MiB", "peak after one, MiB", f"after {rounds} more", "ms of CPU each"], rows)


def scale_table(work: pathlib.Path) -> str:
    rows = []
    for events, tenants in SCALE:
        rounds = 20 if events <= 1_000 else 3
        printed = subprocess.run([work, "consumer", "packed", str(rounds), str(events), str(tenants)], check=True, capture_output=True, text=True).stdout
        us = min(float(line.split("\t")[2].split()[0]) for line in printed.splitlines())
        archive = int(printed.rpartition("archive=")[2])
        rows.append([f"{events:,}", f"{tenants:,}", number(us), f"{archive / events:,.0f}"])
    return page.table(["events", "tenants", "µs an event", "archive bytes an event"], rows)


def cut(batch: dict) -> str:
    """As many of the records as an invocation gets."""
    length, taken = 0, []
    for record in batch["Records"]:
        taken.append(json.dumps(record, separators=(",", ":")))
        length += len(taken[-1]) + 1
        if length > PAYLOAD_BYTES:
            break
    return f'{{"Records":[{",".join(taken[:-1])}]}}'


def one_request(requests: str) -> str:
    """As many of the requests' events as one request may have, as an array."""
    length, bodies = 0, []
    for request in map(json.loads, requests.splitlines()):
        bodies.append(request["body"])
        # Quotes are escaped in the payload.
        length += len(json.dumps(bodies[-1]))
        if length > PAYLOAD_BYTES - 10_000:
            break
    return json.dumps({**request, "body": f"[{','.join(bodies[:-1])}]"})


def spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.1f} × ({min(ratios):.1f}–{max(ratios):.1f})"


def number(us: float) -> str:
    return f"{us:,.0f}" if us >= 100 else f"{us:.1f}" if us >= 1 else f"{us:.2f}"


if __name__ == "__main__":
    main()
