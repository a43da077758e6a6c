"""`make instructions`: counts the instructions of the hot paths by callgrind, and compares them with instructions.toml.

Unlike times, counts are nearly the same on a busy machine and on another one. Valgrind shows programs a processor of its own, the
same on every machine with AVX2; only newer instructions, such as those for SHA-256, are missing there. What remains is the hashes'
random seeds, the ids' random bytes, and the C library.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

EXPECTED = pathlib.Path(__file__).with_name("instructions.toml")
# So many that what a first round does besides, such as compiling expressions, is less than 1 % (measured).
EVENTS = {"small": 500, "big": 50, "packed": 500}
RENEW = "make instructions RENEW=1"
HEAD = f"""\
# Instructions an event, release build, counted by callgrind. If a change is meant to change them: `{RENEW}`.

# How far a count may be from this, in percent.
tolerance = {{tolerance}}
"""


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--work", type=pathlib.Path, required=True)
    arguments.add_argument("--renew", action="store_true", help="write the file instead of comparing with it")
    arguments.add_argument("--profile", nargs=2, metavar=("FUNCTION", "INPUT"), help="print which functions have how much of a count")
    given = arguments.parse_args()
    if given.profile:
        print(profile(given.work, *given.profile))
        return
    expected = tomllib.loads(EXPECTED.read_text())
    tolerance = expected.pop("tolerance")
    found = {function: {name: count(given.work, function, name) for name in inputs} for function, inputs in expected.items()}
    if given.renew:
        EXPECTED.write_text(HEAD.format(tolerance=tolerance) + "".join(map(section, found.items())))
    failures = []
    for function, inputs in expected.items():
        for name, before in inputs.items():
            now = found[function][name]
            change = 100 * (now / before - 1)
            print(f"{function} {name}: {now:,} instructions an event, {change:+.1f} % from {before:,}")
            if abs(change) > tolerance:
                failures.append(f"{function} {name}: expected {before:,} instructions an event (± {tolerance} %), found {now:,} ({change:+.1f} %)")
    if failures and not given.renew:
        sys.exit("\n".join(["error: the work of a hot path changed", *failures, f"if it is meant to: `{RENEW}`, and commit {os.path.relpath(EXPECTED)}"]))


def section(counts: tuple[str, dict[str, int]]) -> str:
    function, inputs = counts
    return f"\n[{function}]\n" + "".join(f"{name} = {now:_}\n" for name, now in inputs.items())


def count(work: pathlib.Path, function: str, name: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        counted = callgrind(work, function, name, pathlib.Path(folder, "out"))
    total = int(re.search(r"Collected : (\d+)", counted)[1])
    if total == 0:
        sys.exit(f"error: callgrind counted nothing in {function} {name}: is `measured` still a function of tests/bench/src/bin/work.rs?")
    return round(total / EVENTS[name])


def profile(work: pathlib.Path, function: str, name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "out")
        callgrind(work, function, name, out)
        annotate = ["callgrind_annotate", "--inclusive=yes", "--threshold=90", out]
        return subprocess.run(annotate, check=True, capture_output=True, text=True).stdout


def callgrind(work: pathlib.Path, function: str, name: str, out: pathlib.Path) -> str:
    valgrind = ["valgrind", "--tool=callgrind", "--toggle-collect=work::measured*", f"--callgrind-out-file={out}"]
    ran = subprocess.run([*valgrind, work, function, name, "1", str(EVENTS[name])], capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, ran.args))} ended with {ran.returncode}\n{ran.stderr}")
    return ran.stderr


if __name__ == "__main__":
    main()
