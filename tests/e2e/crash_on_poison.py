"""A bootstrap that wraps a function's real one and crashes when a batch contains a poison record.

The shipped consumer crashes on no record: bad data goes to quarantine. To test how the event source mapping handles a crash,
this program sits between the function and the Runtime API. It forwards every invocation. If the batch contains `POISON`, it
ends the process as the kernel's out-of-memory killer or a time-out would. `CONSUMER` names the real program. A line for each
invocation is written to the file that `INVOCATIONS` names.
"""

import base64
import http.client
import http.server
import json
import os
import pathlib
import subprocess

POISON = b"\x00crash"


class Relay(http.server.BaseHTTPRequestHandler):
    """Forwards the function's calls to the Runtime API."""

    protocol_version = "HTTP/1.1"
    function: subprocess.Popen

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if not self.is_chunked() else self.chunks()
        try:
            upstream = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
            upstream.request(self.command, self.path, body, {"Content-Type": "application/json"})
            answer = upstream.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.die()  # The Runtime API has ended.
        if self.path.endswith("/invocation/next"):
            self.look(content)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower().startswith("lambda-runtime") or name.lower() == "content-type":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = relay

    def look(self, event: bytes) -> None:
        """Writes down the number of records, and crashes if one of them is poison."""
        records = json.loads(event)["Records"]
        poisoned = any(base64.b64decode(record["kinesis"]["data"]) == POISON for record in records)
        with pathlib.Path(os.environ["INVOCATIONS"]).open("a") as log:
            log.write(f"{len(records)}{' crashed' if poisoned else ''}\n")
        if poisoned:
            self.die()

    def die(self) -> None:
        self.function.kill()
        os._exit(137)

    def is_chunked(self) -> bool:
        return self.headers.get("Transfer-Encoding", "") == "chunked"

    def chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    environment = os.environ | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}"}
    Relay.function = subprocess.Popen([os.environ["CONSUMER"]], env=environment)
    server.serve_forever()


if __name__ == "__main__":
    main()
