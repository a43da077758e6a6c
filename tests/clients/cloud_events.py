"""The CloudEvents SDK for Python: each event in every mode, which it is the same event in, and all of them twice."""

import json
import urllib.request

from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from local_run import LocalRun
from stored import stored

TENANT = "cloudevents"
# Header values are percent-encoded for it: a quote, a comma, a percent sign, and what is beyond ASCII.
CONTEXT = {"type": "order.paid", "source": "/clients/ünï ☂", "subject": 'an "order", 100 %', "region": "eu"}


def send(run: LocalRun) -> tuple[int, str]:
    data = [
        ("object", "application/json", {"order": 7, "text": "an order, ünï ☂"}),
        ("text", "text/plain", "a text, ünï ☂"),
        ("bytes", "application/octet-stream", b"\x00\xff"),
    ]
    events = [CloudEvent(CONTEXT | {"id": name, "datacontenttype": kind}, content) for name, kind, content in data]
    for _ in range(2):
        structured = [to_structured_event(event) for event in events]
        for message in structured + [to_binary_event(event) for event in events] + [batch(structured)]:
            post(run, message)
    lines = {line["fields"]["cloudevent"]["id"]: line for line in stored(run, TENANT, len(events))}
    texts = {name: line["text"] for name, line in lines.items()}
    assert texts == {"object": "an order, ünï ☂", "text": "a text, ünï ☂", "bytes": ""}, texts
    for name, line in lines.items():
        stored_context = line["fields"]["cloudevent"]
        assert CONTEXT.items() <= stored_context.items(), stored_context
    return len(events), f"{len(events)} events, each structured, binary and in a batch, sent twice"


def batch(structured: list[HTTPMessage]) -> HTTPMessage:
    """The SDK has none."""
    body = json.dumps([json.loads(message.body) for message in structured]).encode()
    return HTTPMessage({"Content-Type": "application/cloudevents-batch+json"}, body)


def post(run: LocalRun, message: HTTPMessage) -> None:
    headers = message.headers | {"X-Tenant-ID": TENANT}
    request = urllib.request.Request(f"http://{run.address}/events", message.body, headers)
    # Without a proxy of the environment.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        assert answer.status == 202, answer.status
