"""Starts ministack, an emulator of AWS's APIs, on a free port."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import boto3

REGION = "eu-central-1"
# For every AWS client, here and in the functions. The emulator accepts any credentials.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
DEADLINE_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def ministack(log: pathlib.Path, port: int | None = None, functions_url: str | None = None) -> Iterator[str]:
    """Runs the emulator during the block; gives its URL. Functions call AWS at `functions_url`, by default the emulator."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    # The functions inherit the emulator's AWS_ENDPOINT_URL.
    environment = os.environ | CREDENTIALS | {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "AWS_ENDPOINT_URL": functions_url or url}
    program = pathlib.Path(sys.executable).with_name("ministack")
    with log.open("w") as output:
        process = subprocess.Popen([program], env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(port, process, log)
            yield url
        finally:
            process.terminate()
            process.wait()


def wait_for(port: int, process: subprocess.Popen, log: pathlib.Path) -> None:
    """Waits until the process listens."""
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{process.args[0]} does not listen on port {port}: {log.read_text()}") from None
            time.sleep(0.05)


def client(service: str, url: str):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
