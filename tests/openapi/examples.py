"""Runs the examples of pages as they are written, and compares what they print with what is shown.

Two things are replaced: `localhost:8080` by the address of a local run, and `cargo run --release` by the start of one in a
folder of its own. An example with such a start is for the rest of its section; all others are sent to one run of the page.
In what is shown, `…` stands for anything. Programs in Python and JavaScript are run as they are, and must succeed; those that are
marked `py` and `javascript` need more than a local run, and tests/clients runs them.
"""

import argparse
import contextlib
import itertools
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from local_run import ROOT, LocalRun, credentials, local_run

# Of README.md these sections only: its others build, deploy or run for long. Every example of any other page.
README = ["Send", "Read it back", "Find your data"]
TOOLS = ("bash", "curl", "gzip", "od", "openssl", "sqlite3", "zcat")
START = re.compile(r"((?:\w+=\S+ )*)cargo run --release")
# Where a program of a language is written, and how it is run there.
PROGRAMS = {"python": ("example.py", "$PYTHON example.py"), "js": ("example.mjs", "node example.mjs")}
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
    # The files that they need.
    files: dict[str, str]

    def start(self) -> re.Match | None:
        return START.fullmatch(self.commands[0][0])

    def only_reads(self) -> bool:
        return not self.files and not any(re.search(r" (-d|--data-binary) ", command) for command, _ in self.commands)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tidegate", type=pathlib.Path, required=True)
    arguments.add_argument("--modules", type=pathlib.Path, help="the folder with node_modules of programs in JavaScript")
    arguments.add_argument("pages", nargs="+")
    given = arguments.parse_args()
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise SystemExit(f"the examples need {', '.join(missing)}: apt-get install curl openssl sqlite3")
    for page in given.pages:
        found = list(examples(page))
        if page == "README.md":
            found = [example for example in found if example.section in README]
            assert [section for section, _ in itertools.groupby(example.section for example in found)] == README, found
        run_page(given, found)
        ran = sum(len(example.commands) for example in found if not example.start())
        print(f"{page}: {ran} commands print what is shown.", flush=True)


def run_page(given: argparse.Namespace, found: list[Example]) -> None:
    with contextlib.ExitStack() as page:
        of_page = page.enter_context(prepared(given))
        for _section, in_section in itertools.groupby(found, key=lambda example: example.section):
            with contextlib.ExitStack() as section:
                run = of_page
                for example in in_section:
                    if start := example.start():
                        section.close()
                        variables = dict(pair.split("=", 1) for pair in shlex.split(start[1]))
                        run = section.enter_context(prepared(given, variables))
                    else:
                        check(example, run)


@contextlib.contextmanager
def prepared(given: argparse.Namespace, variables: dict[str, str] = {}) -> Iterator[LocalRun]:
    """A local run, with what examples need in its folder."""
    with local_run(given.tidegate, {"credentials.json": credentials()}, variables) as run:
        if given.modules:
            # Node looks for modules in the folders above a program.
            (run.folder / "node_modules").symlink_to(given.modules.resolve() / "node_modules")
        yield run


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
    for name, text in example.files.items():
        (run.folder / name).write_text(text.replace("localhost:8080", run.address))
    environment = os.environ | {"no_proxy": "127.0.0.1", "PYTHON": sys.executable}
    ran = subprocess.run(["bash", "-c", script], cwd=run.folder, env=environment, capture_output=True, text=True, timeout=DEADLINE_S)
    *parts, rest = ran.stdout.split(MARK)
    assert not rest and len(parts) == 2 * len(example.commands), (script, ran)
    for (command, shown), printed, status in zip(example.commands, parts[::2], parts[1::2]):
        printed = printed.replace("\r", "").strip()
        if status != "0" or (not example.files and not matches(shown, printed)):
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
    blocks = r"^## (?P<section>[^\n]*)$|^```(?P<language>console|python|js)\n(?P<block>.*?)^```$"
    for part in re.finditer(blocks, text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, part.start()) + 1
        if part["section"]:
            section = part["section"]
        elif part["language"] == "console":
            yield Example(page, line, section, list(commands(part["block"])), {})
        else:
            name, command = PROGRAMS[part["language"]]
            yield Example(page, line, section, [(command, "")], {name: part["block"]})


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Each command, which may go on after a backslash or a pipe, with what is shown after it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next(index for index, line in enumerate(lines) if not line.endswith(("\\", "|")))
        yield "\n".join(lines[: end + 1]), "\n".join(lines[end + 1 :]).strip()


if __name__ == "__main__":
    main()
