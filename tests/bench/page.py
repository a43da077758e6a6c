"""Writes measurements into a page, between `<!-- NAME -->` and `<!-- /NAME -->`."""

import datetime
import os
import pathlib
import re
import subprocess


def replace(page: pathlib.Path, name: str, text: str) -> None:
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise SystemExit(f"{page} has no {begin} … {end}")
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")


def table(head: list[str], rows: list[list[str]]) -> str:
    """The first column is a name, the others are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(command: str, load: float, *tools: str) -> str:
    """The machine, the command and the day; `load` is the load average before the run."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    versions = [subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout.split("(")[0].strip() for tool in tools]
    versions = [version if not version.startswith("v") else f"Node {version[1:]}" for version in versions]
    today = f"{datetime.date.today():%-d %B %Y}"
    return f"{os.cpu_count()} processors of {cpu}, load average {load:.1f} before the run; {', '.join(versions)}; `{command}`, {today}."
