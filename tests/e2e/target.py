"""A GraphQL API on a free port, as the target of dispatch. It wants a token, refuses certain events, and counts what it takes."""

import collections
import http.server
import json
import threading


class Target(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), Mutation)
        self.token = token
        # Calls without the right token.
        self.unauthorized = 0
        # Ids of events that it refuses.
        self.refuses: set[str] = set()
        # The events that it took, by idempotency key, and how often.
        self.taken: dict[str, dict] = {}
        self.times: collections.Counter[str] = collections.Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/graphql"

    def answer(self, authorization: str, key: str, event: dict) -> tuple[int, dict]:
        if authorization != f"Bearer {self.token}":
            self.unauthorized += 1
            return 401, {}
        if event["id"] in self.refuses:
            return 200, {"errors": [{"message": "not this one", "extensions": {"code": "BAD_USER_INPUT"}}]}
        self.taken[key] = event
        self.times[key] += 1
        return 200, {"data": {"dispatch": {"id": event["id"]}}}


class Mutation(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Target

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key, event = body["variables"]["idempotencyKey"], body["variables"]["event"]
        assert body["query"].startswith("mutation") and self.headers["Idempotency-Key"] == key, body
        status, answer = self.server.answer(self.headers.get("Authorization", ""), key, event)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
