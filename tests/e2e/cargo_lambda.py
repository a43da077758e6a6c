"""Sends every fixture through `cargo lambda watch` and `cargo lambda invoke`, and compares the result with its row in
fixtures/README.md.

The functions are the shipped binaries, started next to `cargo lambda watch --only-lambda-apis`: nothing is compiled a second
time. Their stores are ministack's.
"""

import argparse
import contextlib
import gzip
import json
import os
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Iterator

from emulator import CREDENTIALS, free_port, ministack, wait_for
from stack import Stack

TESTS = pathlib.Path(__file__).parent.parent
FIXTURES = TESTS / "fixtures"


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--functions", type=pathlib.Path, required=True, help="the folder of `cargo lambda build`")
    functions = arguments.parse_args().functions
    with tempfile.TemporaryDirectory() as folder, ministack(pathlib.Path(folder) / "ministack.log") as url:
        folder = pathlib.Path(folder)
        stack = Stack(url)
        with watch(stack, functions, folder) as port:
            consumer(stack, port, folder)
            ingest(stack, port, folder)
    print("Every fixture gave the result of its row.")


@contextlib.contextmanager
def watch(stack: Stack, functions: pathlib.Path, folder: pathlib.Path) -> Iterator[int]:
    """Runs `cargo lambda watch` with both functions during the block."""
    variables = CREDENTIALS | stack.variables() | {
        "AWS_ENDPOINT_URL": stack.url,
        # Lambda sets these for every function.
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": "local",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        # The emulator is slow, and the machine may be.
        "TIDEGATE__PUBLISH__BUDGET_MS": "10000",
        "TIDEGATE__PUBLISH__ATTEMPT_MS": "5000",
    }
    port = free_port()
    command = ["cargo", "lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1", "--invoke-port", str(port)]
    log = folder / "watch.log"
    with contextlib.ExitStack() as running, log.open("w") as output:

        def start(command: list, **more: str) -> subprocess.Popen:
            # Its own process group: cargo does not end the processes that it started.
            process = subprocess.Popen(command, cwd=TESTS.parent, env=os.environ | variables | more, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
            running.callback(stop, process)
            return process

        wait_for(port, start(command), log)
        for name in ("consumer-fn", "ingest-fn"):
            api = f"http://127.0.0.1:{port}/.rt/{name}"
            start([functions / name / "bootstrap"], AWS_LAMBDA_RUNTIME_API=api, AWS_LAMBDA_FUNCTION_NAME=name)
        try:
            yield port
        except BaseException:
            print(log.read_text()[-4000:])
            raise


def stop(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 15)
    process.wait()


def consumer(stack: Stack, port: int, folder: pathlib.Path) -> None:
    for file, (stored, tenants, quarantined) in rows("kinesis"):
        stack.empty()
        answer = invoke("consumer-fn", port, file, folder)
        assert answer == {"batchItemFailures": []}, (file.name, answer)
        archived, items = stack.archived(), stack.items()
        assert len(archived) == len(items) == int(stored), (file.name, len(archived), len(items))
        assert set(archived.values()) <= {1}, file.name
        assert sorted({tenant for tenant, _ in archived}) == listed(tenants), (file.name, archived)
        assert {pk for pk, _ in items} == {f"tenants/{tenant}" for tenant in listed(tenants)}, file.name
        reasons = sorted(line["reason"] for line in stack.quarantined())
        assert reasons == listed(quarantined), (file.name, reasons)
        print(f"{file.name}: {json.dumps(answer)}, stored {stored}, quarantined {', '.join(reasons) or 'nothing'}")


def ingest(stack: Stack, port: int, folder: pathlib.Path) -> None:
    for file, (status, said, _events) in rows("function-url"):
        answer = invoke("ingest-fn", port, file, folder)
        body = json.loads(answer["body"])
        assert answer["statusCode"] == int(status), (file.name, answer)
        assert body.get("code", body.get("status")) == said, (file.name, body)
        print(f"{file.name}: {status} {said}")


def invoke(function: str, port: int, file: pathlib.Path, folder: pathlib.Path) -> dict:
    """`cargo lambda invoke`, as typed by a person."""
    if file.suffix == ".gz":
        (inflated := folder / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        file = inflated
    command = ["cargo", "lambda", "invoke", "--invoke-address", "127.0.0.1", "--invoke-port", str(port), function, "--data-file", file]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, (file.name, ran.stdout, ran.stderr)
    return json.loads(ran.stdout)


def rows(section: str) -> list[tuple[pathlib.Path, list[str]]]:
    """The files of a section, each with its row except the description."""
    table = (FIXTURES / "README.md").read_text().split(f"## {section}/\n")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines() if row.startswith("| `")]
    return [(FIXTURES / section / name.strip("`"), rest) for name, _what, *rest in cells]


def listed(cell: str) -> list[str]:
    return sorted(re.findall(r"[^,\s]+", cell))


if __name__ == "__main__":
    main()
