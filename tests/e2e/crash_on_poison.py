"""A function's bootstrap that runs the real one behind it, and dies where a batch holds a poison record.

The shipped consumer does not fail on any record: bad data goes to quarantine. To see what the event source mapping
makes of a function that does fail, this stands between it and the Runtime API, hands every invocation on, and ends
the process as a crash would (the kernel's out-of-memory killer, a time-out) when the batch holds `POISON`. The real one
is the program that `CONSUMER` names; a line for each invocation goes to the file that `INVOCATIONS` names.
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
    """Hands the calls of the function behind it on to the Runtime API."""

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
            self.die()  # The environment is gone.
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
        """Notes how many records came, and dies if one of them is poison."""
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
    behind = os.environ | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}"}
    Relay.function = subprocess.Popen([os.environ["CONSUMER"]], env=behind)
    server.serve_forever()


if __name__ == "__main__":
    main()
