"""A proxy in front of the emulator, for the functions' calls and for requests to the Function URL. It forwards each, refuses
what AWS refuses and the emulator takes, and can make the stream unavailable. Event source mappings that `tidegate verify` creates
through it are disabled."""

import contextlib
import http.client
import http.server
import json
import threading
from collections.abc import Iterator

REFUSAL = b'{"__type":"InternalFailureException","message":"the stream is unavailable"}'
# Headers of one connection, not of the call.
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
# Where the emulator serves Function URLs. AWS takes a request event of this size; a body that is no text is in base64 there.
FUNCTION_URL = "/_aws/lambda-url/"
EVENT_BYTES = 6_291_456
TEXT = ("text/", "application/json", "application/xml", "application/javascript")
# In the template of a stack, as CloudFormation's API encodes it.
STARTING, DISABLED = b"%22StartingPosition%22", b"%22Enabled%22%3Afalse%2C%22StartingPosition%22"


class Faults(http.server.ThreadingHTTPServer):
    """A proxy on a free port."""

    daemon_threads = True

    def __init__(self, target_port: int) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.target_port = target_port
        self.is_unavailable = threading.Event()
        self.refused = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Prints nothing if a caller disconnects before its response."""

    @contextlib.contextmanager
    def stream_unavailable(self) -> Iterator[None]:
        """Refuses every `PutRecords` during the block."""
        self.is_unavailable.set()
        try:
            yield
        finally:
            self.is_unavailable.clear()


class Relay(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Faults

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.is_unavailable.is_set() and self.headers.get("X-Amz-Target", "").endswith(".PutRecords"):
            self.server.refused += 1
            self.answer(500, [("Content-Type", "application/x-amz-json-1.1")], REFUSAL)
            return
        if self.path.startswith(FUNCTION_URL) and self.event_bytes(body) > EVENT_BYTES:
            self.answer(413, [("Content-Type", "application/json")], b'{"Message":"Request must be smaller than 6291456 bytes"}')
            return
        if body.startswith(b"Action=CreateStack&"):
            body = body.replace(STARTING, DISABLED)
            self.headers.replace_header("Content-Length", str(len(body)))
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.target_port)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            upstream.putheader(name, value)
        upstream.endheaders(body)
        response = upstream.getresponse()
        content = response.read()
        self.answer(response.status, response.getheaders(), content)
        upstream.close()

    def event_bytes(self, body: bytes) -> int:
        """The size of the request event, without the members that have a few hundred bytes."""
        if self.headers.get("Content-Type", "").startswith(TEXT):
            return len(json.dumps(body.decode(errors="replace"), ensure_ascii=False).encode())
        return len(body) * 4 // 3

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = relay

    def answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        length = dict((name.lower(), value) for name, value in headers).get("content-length")
        for name, value in headers:
            if name.lower() not in HOP:
                self.send_header(name, value)
        # The response to HEAD has the length of a body that it does not have.
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
