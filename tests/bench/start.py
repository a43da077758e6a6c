"""`make bench-start`: what the start of a function costs in processor time, how many connections it opens, and how large its
zip is.

A function is started as Lambda does it, against a Runtime API and a service of this script. At the first byte of TLS, or at the
first request for an invocation, it is killed, and the kernel says how much processor time it used. So the machine may be
busy. The service's certificate is trusted besides those of the system, which a function reads at its start.
"""

import argparse
import http.server
import os
import pathlib
import signal
import socket
import ssl
import statistics
import subprocess
import tempfile
import threading
import zipfile

ROOT = pathlib.Path(__file__).parents[2]
DEFAULTS = "the SDK's defaults"
FUNCTIONS = ["ingest-fn", "spill-drain", "consumer-fn", "dispatch-fn"]
SYSTEM_AUTHORITIES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
# The aims: sizes of zips, and the processor time to the first byte as a part of what the SDK's defaults take.
ZIP_MB = {"ingest-fn": 2.5, "consumer-fn": 3.2}
RATIO = 0.17
# The variables that name resources, of all functions.
RESOURCES = ["STREAM", "BUCKET", "SPILL_QUEUE", "ITEMS_TABLE", "LEDGER_TABLE", "DISPATCH_QUEUE", "DISPATCH_DEAD_LETTERS", "RATE_TABLE"]
# A start that takes longer hangs.
LIMIT_S = 20


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--functions", type=pathlib.Path, required=True, help="the folder that `make functions` writes")
    arguments.add_argument("--sdk-defaults", type=pathlib.Path, required=True, help="the program of tests/bench/sdk-defaults")
    arguments.add_argument("--runs", type=int, default=21)
    given = arguments.parse_args()
    programs = {DEFAULTS: given.sdk_defaults}
    programs |= {name: given.functions / name / "bootstrap" for name in FUNCTIONS}
    first_byte = {name: [] for name in programs}
    ready = {name: [] for name in FUNCTIONS}
    connections = {}
    with tempfile.TemporaryDirectory() as folder, Service(pathlib.Path(folder)) as service, RuntimeApi() as runtime:
        # Interleaved, so that all meet the same machine.
        for _ in range(given.runs):
            for name, program in programs.items():
                first_byte[name].append(cpu_ms(program, service, runtime, until=service.greeted))
                if name in ready:
                    ready[name].append(cpu_ms(program, service, runtime, until=runtime.asked))
                    connections[name] = service.connections
    print("| program | CPU to the first byte of TLS, ms | of the SDK's defaults | CPU to the first invocation, ms | connections by then | zip, MB |")
    print("|---|---:|---:|---:|---:|---:|")
    of = statistics.median(first_byte[DEFAULTS])
    print(f"| {DEFAULTS} | {spread(first_byte[DEFAULTS])} | 1 | | | |")
    missed = []
    for name in FUNCTIONS:
        ratio, size = statistics.median(first_byte[name]) / of, zip_mb(programs[name])
        print(f"| {name} | {spread(first_byte[name])} | {ratio:.2f} | {spread(ready[name])} | {connections[name]} | {size:.2f} |")
        if ratio > RATIO:
            missed.append(f"{name} takes {ratio:.3f} of the SDK's defaults to the first byte (aim: {RATIO})")
        if size > ZIP_MB.get(name, size):
            missed.append(f"the zip of {name} has {size:.2f} MB (aim: {ZIP_MB[name]})")
    if missed:
        raise SystemExit("\n".join(["", *missed]))


class Service:
    """Any AWS service: completes TLS, answers every request with 200 and no body, and counts connections."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.greeted = threading.Event()
        self.connections = 0
        certificate, key, self.authorities = folder / "certificate.pem", folder / "key.pem", folder / "authorities.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
            + ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
            + ["-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
        )
        self.authorities.write_bytes(SYSTEM_AUTHORITIES.read_bytes() + certificate.read_bytes())
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self) -> "Service":
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        try:
            if connection.recv(1, socket.MSG_PEEK) == b"\x16":
                self.connections += 1
                self.greeted.set()
            with self.tls.wrap_socket(connection, server_side=True) as stream, stream.makefile("rwb") as requests:
                while (line := requests.readline()) != b"":
                    if line == b"\r\n":
                        requests.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                        requests.flush()
        except OSError:
            pass  # The function was killed.


class RuntimeApi:
    """Lambda's Runtime API, which never has an invocation."""

    def __init__(self) -> None:
        self.asked = asked = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.set()
                self.rfile.read(1)  # Until the function is killed.

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "RuntimeApi":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()


def cpu_ms(program: pathlib.Path, service: Service, runtime: RuntimeApi, until: threading.Event) -> float:
    """The processor time that `program` used when `until` happened."""
    service.greeted.clear()
    runtime.asked.clear()
    service.connections = 0
    variables = {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": service.url,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/function",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_LAMBDA_RUNTIME_API": runtime.address,
        "SSL_CERT_FILE": str(service.authorities),
        "TIDEGATE_CONFIG": str(ROOT / "tidegate.toml"),
        "TIDEGATE__DISPATCH__URL": "https://target.invalid/graphql",
    } | {f"TIDEGATE_{name}": name.lower() for name in RESOURCES}
    process = subprocess.Popen([program], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    happened = until.wait(LIMIT_S)
    # Not by `Popen`, which would reap it. `wait4` says what this child used.
    os.kill(process.pid, signal.SIGKILL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = -9
    said = process.stderr.read().decode()
    process.stderr.close()
    assert happened and said == "", f"{program} did not start within {LIMIT_S} s, or wrote: {said}"
    return (usage.ru_utime + usage.ru_stime) * 1000


def spread(values: list[float]) -> str:
    quarters = statistics.quantiles(values, n=4)
    return f"{quarters[1]:.1f} ({quarters[0]:.1f}–{quarters[2]:.1f})"


def zip_mb(program: pathlib.Path) -> float:
    """As the CDK packs it: the binary and its configuration."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
            packed.write(program, "bootstrap")
            packed.write(ROOT / "tidegate.toml", "tidegate.toml")
        return file.tell() / 1e6


if __name__ == "__main__":
    main()
