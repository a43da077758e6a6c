"""Runs the examples of README.md and docs/http-api.md as they are written, and compares what they print with what is shown.

Two things are replaced: `localhost:8080` by the address of a local run, and `cargo run --release` by the start of one in a
folder of its own. An example with such a start is for the rest of its section; all others are sent to one run of the page.
In what is shown, `…` stands for anything.
"""

import argparse
import contextlib
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from local_run import ROOT, LocalRun, credentials, local_run

# Every example of docs/http-api.md, and those of these sections of README.md: its others build, deploy or run for long.
README = ["Send", "Read it back", "Find your data"]
TOOLS = ("bash", "curl", "gzip", "od", "openssl", "sqlite3", "zcat")
START = re.compile(r"((?:\w+=\S+ )*)cargo run --release")
# Printed after each command, with its status.
MARK = "\x1e"
# An event can be read some seconds after it was accepted.
DEADLINE_S = 60


@dataclass
class Example:
    """A block of a page: commands, each with the output that is shown."""

    page: str
    line: int
    section: str
    commands: list[tuple[str, str]]

    def start(self) -> re.Match | None:
        return START.fullmatch(self.commands[0][0])

    def only_reads(self) -> bool:
        return not any(re.search(r" (-d|--data-binary) ", command) for command, _ in self.commands)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tidegate", type=pathlib.Path, required=True)
    tidegate = arguments.parse_args().tidegate
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise SystemExit(f"the examples need {', '.join(missing)}: apt-get install curl openssl sqlite3")
    readme = [example for example in examples("README.md") if example.section in README]
    assert [section for section, _ in itertools.groupby(example.section for example in readme)] == README, readme
    for found in (readme, list(examples("docs/http-api.md"))):
        run_page(tidegate, found)
        ran = sum(len(example.commands) for example in found if not example.start())
        print(f"{found[0].page}: {ran} commands print what is shown.", flush=True)


def run_page(tidegate: pathlib.Path, found: list[Example]) -> None:
    with contextlib.ExitStack() as page:
        of_page = page.enter_context(local_run(tidegate))
        for _section, in_section in itertools.groupby(found, key=lambda example: example.section):
            with contextlib.ExitStack() as section:
                run = of_page
                for example in in_section:
                    if start := example.start():
                        section.close()
                        variables = dict(pair.split("=", 1) for pair in start[1].split())
                        run = section.enter_context(local_run(tidegate, {"credentials.json": credentials()}, variables))
                    else:
                        check(example, run)


def check(example: Example, run: LocalRun) -> None:
    until = time.monotonic() + DEADLINE_S
    while (wrong := compare(example, run)) and example.only_reads() and time.monotonic() < until:
        time.sleep(0.2)
    if wrong:
        raise SystemExit(f"{example.page}:{example.line}: {wrong}")


def compare(example: Example, run: LocalRun) -> str | None:
    """Runs the commands in one shell. Returns what is wrong with the first that does not print what is shown."""
    script = "".join(f"{command}\nprintf '{MARK}%s{MARK}' $?\n" for command, _ in example.commands)
    script = script.replace("localhost:8080", run.address)
    environment = os.environ | {"no_proxy": "127.0.0.1"}
    ran = subprocess.run(["bash", "-c", script], cwd=run.folder, env=environment, capture_output=True, text=True, timeout=DEADLINE_S)
    *parts, rest = ran.stdout.split(MARK)
    assert not rest and len(parts) == 2 * len(example.commands), (script, ran)
    for (command, shown), printed, status in zip(example.commands, parts[::2], parts[1::2]):
        printed = printed.replace("\r", "").strip()
        if status != "0" or not matches(shown, printed):
            return f"\n$ {command}\nexited with {status} and printed:\n{printed}\nbut this is shown:\n{shown}\n{ran.stderr}"
    return None


def matches(shown: str, printed: str) -> bool:
    """Lines may be in another order, as those of files and rows are."""
    orders = [[shown]] if shown.startswith("HTTP/") else itertools.permutations(shown.split("\n"))
    patterns = (".*".join(map(re.escape, "\n".join(order).split("…"))) for order in orders)
    return any(re.fullmatch(pattern, printed, re.DOTALL) for pattern in patterns)


def examples(page: str) -> Iterator[Example]:
    text = (ROOT / page).read_text()
    # They could not be run.
    assert "```json" not in text, page
    section = ""
    for part in re.finditer(r"^## (?P<section>[^\n]*)$|^```console\n(?P<block>.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if part["section"]:
            section = part["section"]
        else:
            yield Example(page, text.count("\n", 0, part.start()) + 1, section, list(commands(part["block"])))


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Each command, which may go on after a backslash or a pipe, with what is shown after it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next(index for index, line in enumerate(lines) if not line.endswith(("\\", "|")))
        yield "\n".join(lines[: end + 1]), "\n".join(lines[end + 1 :]).strip()


if __name__ == "__main__":
    main()
