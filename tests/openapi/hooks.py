"""What the document cannot tell schemathesis: how NDJSON is written, and the rules that JSON Schema has no words for."""

import copy
import json
import os

import schemathesis
from schemathesis.core import NOT_SET
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.jsonschema import make_validator
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

# Refusals of requests that are right by the schema. It cannot say how many bytes a text has, which ids and cursors there
# are, or that the values between a header's commas are the same.
NOT_IN_THE_SCHEMA = {"event_id_invalid", "event_id_conflict", "event_not_found", "cursor_invalid"}
TENANT_OF_KEY = os.environ.get("TENANT_OF_KEY")
NDJSON = "application/x-ndjson"
IDS = ("event_id", "log_id", "id")
ID_HEADERS = ("idempotency-key", "webhook-id")


@schemathesis.serializer(NDJSON)
def ndjson(_context, value) -> bytes:
    return b"\n".join(json.dumps(line).encode() for line in events(value))


@schemathesis.hook
def before_call(_context, case, _kwargs) -> None:
    """Makes a valid request one by the rules that a schema cannot say.

    It names one tenant: that of its key, path or header, else the events' own. A cursor is that of an earlier answer. `to` is after
    `from`: it is sent alone.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.query and case.meta.phase.name != "stateful":
        case.query.pop("cursor", None)
    if case.query and "from" in case.query:
        case.query.pop("to", None)
    if case.method != "POST":
        return
    path, headers = case.path_parameters or {}, case.headers or {}
    if TENANT_OF_KEY and "tenant" in path:
        path["tenant"] = TENANT_OF_KEY
    named = TENANT_OF_KEY or path.get("tenant") or headers.get("X-Tenant-ID") or None
    case.body = copy.deepcopy(case.body)
    # The tenant of a CloudEvent is in its data.
    is_cloudevent = str(case.media_type).startswith("application/cloudevents")
    bodies = [event.get("data") if is_cloudevent else event for event in filter(is_object, events(case.body))]
    for body in filter(is_object, bodies):
        if body.get("tenant_id") is not None or named is None:
            body["tenant_id"] = named or "acme"
    if named is None and (isinstance(case.body, str) or not all(map(is_object, bodies))):
        headers["X-Tenant-ID"] = "acme"


@schemathesis.check
def valid_data_acceptance(ctx, response, case) -> None:
    """As `positive_data_acceptance`, but a refusal is right if its code says what the schema cannot."""
    refused = codes(response)
    try:
        positive_data_acceptance(ctx, response, case)
    except RejectedPositiveData:
        if not refused or not refused <= NOT_IN_THE_SCHEMA:
            raise
    is_positive = case.meta is not None and case.meta.generation.mode.is_positive
    if response.status_code == 207 and is_positive and not refused <= NOT_IN_THE_SCHEMA:
        raise Failure(operation=case.operation.label, title="Valid event rejected", message=f"Codes: {refused}")


@schemathesis.check
def invalid_data_rejection(ctx, response, case) -> None:
    """As `negative_data_rejection`, but of several ids of an event only the first one that is not empty is read, and has to be right."""
    try:
        negative_data_rejection(ctx, response, case)
    except AcceptedNegativeData:
        if not is_valid_as_read(case):
            raise


def events(body) -> list:
    return body if isinstance(body, list) else [body]


def is_object(event) -> bool:
    return isinstance(event, dict)


def codes(response) -> set[str]:
    """The code of the problem, or those of its events."""
    if response.status_code < 207:
        return set()
    body = response.json()
    return {event["code"] for event in body.get("events", []) if "code" in event} or {body["code"]}


def is_valid_as_read(case) -> bool:
    """Whether only the body is wrong, and would be right without the ids that are not read."""
    elsewhere = (ParameterLocation.PATH, ParameterLocation.QUERY, ParameterLocation.HEADER)
    if case.body is NOT_SET or case.media_type is None or any(map(case.meta.is_negative_at, elsewhere)):
        return False
    is_named = any(value for name, value in (case.headers or {}).items() if name.lower() in ID_HEADERS)
    body = copy.deepcopy(case.body)
    for event in filter(is_object, events(body)):
        ids = [name for name in IDS if event.get(name) not in (None, "")]
        for name in ids if is_named else ids[1:]:
            del event[name]
    alternative = case.operation.get_body_for_media_type(case.media_type)
    validator = make_validator(alternative.optimized_schema, case.operation.schema.adapter.jsonschema_validator_cls)
    # One value that is not an array is one line of NDJSON.
    return validator.is_valid(events(body) if case.media_type == NDJSON else body)
