"""Headless Chromium: the script that docs/senders.md shows, in a page of an allowed origin and in one of another origin."""

import contextlib
import http.server
import json
import queue
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from local_run import ROOT, LocalRun
from stored import stored

PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
TENANT = "acme-web"
PAGE = """<!doctype html><meta charset="utf-8"><script type="module">
{script}
const result = {{}};
try {{
  result.id = await send({{ id: "visit-{name}", text: "a visit, ünï ☂" }});
}} catch (error) {{
  result.refused = error.name;
}}
if (result.id) sendOnLeave({{ id: "leave-{name}", text: "left" }});
await fetch("/result", {{ method: "POST", body: JSON.stringify(result) }});
</script>"""


@dataclass
class Site:
    """Pages of two origins: the same server under two names."""

    port: int
    results: queue.Queue
    # What a page has, which is known when the local run has started.
    script: str = ""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def other_origin(self) -> str:
        return f"http://localhost:{self.port}"


@contextlib.contextmanager
def site() -> Iterator[Site]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = PAGE.format(script=pages.script, name=self.path.strip("/"))
            self.answer(page.encode(), "text/html")

        def do_POST(self) -> None:
            pages.results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(b"", "text/plain")

        def answer(self, body: bytes, content_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pages = Site(server.server_address[1], queue.Queue())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield pages
    finally:
        server.shutdown()


def send(run: LocalRun, pages: Site) -> tuple[int, str]:
    pages.script = script().replace("localhost:8080", run.address)
    with visit(f"{pages.other_origin}/other", pages) as result:
        if result != {"refused": "TypeError"}:
            raise SystemExit(f"a page of another origin got {result}")
    with visit(f"{pages.origin}/own", pages) as result:
        if result != {"id": "visit-own"}:
            raise SystemExit(f"a page of the allowed origin got {result}")
        # While the browser runs: it sends the beacon when it wants to.
        lines = stored(run, TENANT, 2)
    if {line["id"]: line["text"] for line in lines} != {"visit-own": "a visit, ünï ☂", "leave-own": "left"}:
        raise SystemExit(f"the browser's events were stored as {lines}")
    return 2, "an event by fetch after a preflight, one by sendBeacon; a page of another origin was refused"


@contextlib.contextmanager
def visit(url: str, pages: Site) -> Iterator[dict]:
    """Opens the page. Gives what its script reports."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise SystemExit("the browser is missing: apt-get install chromium-headless-shell")
    with tempfile.TemporaryDirectory(prefix="tidegate-browser-", ignore_cleanup_errors=True) as folder:
        # As root, as in a container, Chromium runs only without its sandbox. The port keeps it from ending at once.
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]
        options += [f"--user-data-dir={folder}", "--remote-debugging-port=0"]
        process = subprocess.Popen([program, *options, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield pages.results.get(timeout=60)
        finally:
            process.kill()
            process.wait()


def script() -> str:
    page = (ROOT / "docs/senders.md").read_text()
    return re.search(r"^## Browsers$.*?^```javascript\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
