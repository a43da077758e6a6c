"""A collector of spans: it takes what OpenTelemetry's exporters send and what Tidegate sends, in OpenTelemetry's own messages."""

import base64
import contextlib
import http.server
import json
import threading
import urllib.request
from collections.abc import Iterator

from google.protobuf import json_format
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import inject
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from stored import DEADLINE_S

NAMES = {"order", "accept", "put record", "store batch", "insert items", "put object", "store event"}
TENANT = "traced"


class Collector(http.server.ThreadingHTTPServer):
    """Spans by their names, as they arrive."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans: dict[str, object] = {}
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = ExportTraceServiceRequest()
        if self.headers["Content-Type"] == "application/json":
            # Protobuf's own JSON has bytes in base64, OTLP's has ids in hexadecimal. Unknown members are an error.
            json_format.ParseDict(with_base64_ids(json.loads(body)), request)
        else:
            request.ParseFromString(body)
        with self.server.changed:
            for of_resource in request.resource_spans:
                for of_scope in of_resource.scope_spans:
                    self.server.spans |= {span.name: span for span in of_scope.spans}
            self.server.changed.notify_all()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_arguments: object) -> None:
        pass


def with_base64_ids(value: object) -> object:
    if isinstance(value, list):
        return [with_base64_ids(element) for element in value]
    if isinstance(value, dict):
        ids = ("traceId", "spanId", "parentSpanId")
        base64_of = lambda text: base64.b64encode(bytes.fromhex(text)).decode()
        return {name: base64_of(member) if name in ids else with_base64_ids(member) for name, member in value.items()}
    return value


@contextlib.contextmanager
def collector() -> Iterator[Collector]:
    server = Collector()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def send(run: object, server: Collector) -> tuple[int, str]:
    """An event, sent within a span of the SDK. The collector gets one trace from the sender to the archive."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(server.url)))
    with provider.get_tracer("clients").start_as_current_span("order", kind=trace.SpanKind.CLIENT):
        headers = {"Content-Type": "application/json", "X-Tenant-ID": TENANT}
        inject(headers)
        request = urllib.request.Request(f"http://{run.address}/ingest", b'{"text":"an order"}', headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request) as answer:
            assert answer.status == 202
    with server.changed:
        arrived = server.changed.wait_for(lambda: NAMES <= server.spans.keys(), DEADLINE_S)
        assert arrived, f"only {sorted(server.spans)} arrived"
        spans = dict(server.spans)
    order, accept, put, batch, event = (spans[name] for name in ("order", "accept", "put record", "store batch", "store event"))
    assert {span.trace_id for span in (order, accept, put, event)} == {order.trace_id}
    assert [span.parent_span_id for span in (accept, put, event)] == [order.span_id, accept.span_id, accept.span_id]
    assert [(link.trace_id, link.span_id) for link in batch.links] == [(put.trace_id, put.span_id)]
    assert all(spans[name].parent_span_id == batch.span_id for name in ("insert items", "put object"))
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans.values())
    return 1, f"an event within a span of the SDK: {len(NAMES)} spans, from the sender to the archive object"
