"""Prints the output of a run with the time since its start, and can write it into a page of the documentation."""

import contextlib
import functools
import os
import pathlib
import subprocess
import threading
import time
from collections.abc import Iterator

from emulator import CREDENTIALS

START = time.monotonic()
LINES: list[str] = []
# Paths and URLs of this machine, and the names printed instead.
NAMES: dict[str, str] = {}


def say(*parts: object) -> None:
    text = " ".join(map(str, parts))
    for found, name in NAMES.items():
        text = text.replace(found, name)
    for line in text.splitlines() or [""]:
        LINES.append(line)
        print(line, flush=True)


def heading(text: str) -> None:
    say()
    say(f"## {text} ({time.monotonic() - START:.0f} s)")
    say()


def write_into(page: pathlib.Path, since: int = 0) -> None:
    """Replaces the last block of the page by the transcript, or by its lines since one of them. They are in no other page."""
    before, _, _ = page.read_text().rpartition("```text\n")
    assert before, f"{page} has no transcript to replace"
    page.write_text(before + "```text\n" + "\n".join(LINES[since:]).strip() + "\n```\n")
    del LINES[since:]


def shown(command: list) -> None:
    say("$", " ".join(str(part) for part in command))


def run(command: list, **options: object) -> subprocess.CompletedProcess:
    """Runs a command to its end and prints it with its output."""
    shown(command)
    ran = subprocess.run(command, env=os.environ | CREDENTIALS, capture_output=True, text=True, **options)
    say((ran.stdout + ran.stderr).rstrip())
    return ran


@contextlib.contextmanager
def running(command: list, deadline_s: float, log: pathlib.Path | None = None) -> Iterator[subprocess.Popen]:
    """Runs a command during the block and prints its output, or writes it to `log`. Then it gets SIGTERM and must end with 0."""
    shown(command)
    process = subprocess.Popen(command, env=os.environ | CREDENTIALS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    show = say if log is None else functools.partial(print, file=log.open("w"), flush=True)
    reader = threading.Thread(target=lambda: [show(line.rstrip("\n")) for line in process.stdout], daemon=True)
    reader.start()
    try:
        yield process
        process.terminate()
        assert process.wait(deadline_s) == 0, f"{command[0]} ends well"
        reader.join(deadline_s)
    finally:
        process.kill()
