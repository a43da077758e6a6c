//! The schemas of what is sent and answered. `tests/http/openapi.rs` holds them against real answers: an answer with a member
//! that is not here, or without one that is required here, fails it.

use serde_json::{Map, Value, json};
use shared::format::item::{DELIVERED, FAILED};
use shared::health::{Concern, Gauge};
use shared::limits::EVENT_ID_BYTES;

use crate::rejection::{Call, ProblemKind};

/// The ids that [`shared::id::TenantId`] and [`shared::id::EventId`] take. The latter also have a limit in bytes.
pub(super) const TENANT: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

const EVENT_ID: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

pub(super) fn event_id() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": EVENT_ID_BYTES, "pattern": EVENT_ID })
}

/// Where an empty one counts as missing.
pub(super) fn optional_tenant() -> Value {
    json!({ "type": "string", "pattern": format!("^$|{TENANT}") })
}

/// `ids` are the members that name an event.
pub(super) fn all(ids: &[String]) -> Value {
    json!({
        "NewEvent": new_event(ids),
        "CloudEvent": cloud_event(),
        "Accepted": object(&["status", "event_id"], &json!({
            "status": { "const": "success" },
            "event_id": text(),
        })),
        "Outcomes": object(&["status", "accepted", "events"], &json!({
            "status": { "enum": ["success", "partial"] },
            "accepted": count(),
            "events": outcomes(),
        })),
        "Outcome": object(&["index", "status"], &json!({
            "index": count(),
            "status": { "enum": ["accepted", "rejected", "unpublished"] },
            "event_id": text(),
            "code": { "enum": codes_of_events() },
            "detail": text(),
        })),
        "Problem": object(&["type", "title", "status", "detail", "code", "request_id"], &json!({
            "type": { "type": "string", "pattern": "^urn:tidegate:problem:[a-z0-9_]+$" },
            "title": text(),
            "status": count(),
            "detail": text(),
            "code": text(),
            "limit": count(),
            "request_id": text(),
            "events": outcomes(),
        })),
        "Event": event(),
        "Page": object(&["events", "next_cursor"], &json!({
            "events": { "type": "array", "items": reference("schemas/Event") },
            "next_cursor": { "type": ["string", "null"] },
        })),
        "Health": object(&["status", "version", "config", "covers", "reasons", "gauges"], &json!({
            "status": { "enum": ["ok", "degraded", "failing"] },
            "version": text(),
            "config": { "type": "string", "pattern": "^[0-9a-f]{12}$" },
            "covers": {
                "enum": ["ingest", "pipeline"],
                "description": "What is looked at: this process alone, or all of the pipeline.",
            },
            "reasons": { "type": "array", "items": reference("schemas/HealthReason") },
            "gauges": gauges(),
        })),
        "HealthReason": object(&["code", "message", "runbook"], &json!({
            "code": { "enum": Concern::ALL.iter().map(|concern| concern.name()).collect::<Vec<_>>() },
            "message": { "type": "string", "description": "What is wrong, for people." },
            "value": { "type": "number", "description": "What was measured: a count, or seconds." },
            "limit": { "type": "number", "description": "The most that is well." },
            "runbook": { "type": "string", "description": "The page that says what to do." },
        })),
    })
}

/// Times are in seconds. A process answers those that it sees.
fn gauges() -> Value {
    let gauge = |gauge: &Gauge| {
        let schema = json!({ "type": "number", "minimum": 0, "description": gauge.meaning() });
        (gauge.name().to_owned(), schema)
    };
    let mut properties: Map<_, _> = Gauge::ALL.iter().map(gauge).collect();
    properties.insert(
        "oldest_record_shard".to_owned(),
        json!({ "type": "string", "description": "The shard of `oldest_record_age_seconds`." }),
    );
    json!({ "type": "object", "properties": properties })
}

/// What the client sends. Members that are not named here are stored as they are.
fn new_event(ids: &[String]) -> Value {
    let mut id = event_id();
    id["type"] = json!(["string", "number", "null"]);
    id["minLength"] = json!(0);
    id["description"] = json!(format!(
        "The id, of at most 256 bytes, unless a header names the event. The first of {} that is neither null nor empty counts.",
        ids.join(", ")
    ));
    let time = json!({ "description": "When it happened: RFC 3339, or integer seconds or milliseconds. The first that can be read counts." });
    let text = json!({ "description": "The text. The first of text, payload, body and message that is a string counts; without one, the object is flattened." });
    let mut tenant = optional_tenant();
    tenant["type"] = json!(["string", "number", "null"]);
    let mut event = json!({
        "type": "object",
        "properties": {
            "tenant_id": tenant,
            "event_timestamp": time, "timestamp": time, "event_time": time,
            "text": text, "payload": text, "body": text, "message": text,
        },
    });
    for name in ids {
        event["properties"][name] = id.clone();
    }
    event
}

/// A CloudEvent in structured mode. Its other members are attributes, which are stored as they are.
fn cloud_event() -> Value {
    let needed = || json!({ "type": "string", "minLength": 1 });
    let mut tenant = optional_tenant();
    tenant["type"] = json!(["string", "number", "null"]);
    object(
        &["specversion", "type", "source", "id"],
        &json!({
            "specversion": { "type": "string", "pattern": r"^1\.[0-9.]+$" },
            "type": needed(),
            "source": needed(),
            "id": needed(),
            "time": { "description": "When it happened: RFC 3339." },
            "data": {
                "description": "An object is read like a new event, but names no id. Bytes are in `data_base64` instead.",
                "anyOf": [
                    { "type": "object", "properties": { "tenant_id": tenant } },
                    { "type": ["array", "string", "number", "boolean", "null"] },
                ],
            },
        }),
    )
}

/// What is read back.
fn event() -> Value {
    let required = ["event_id", "tenant_id", "tier", "source", "received_at", "processed_at", "truncated"];
    object(
        &required,
        &json!({
            "event_id": text(),
            "tenant_id": { "type": "string", "pattern": TENANT },
            "tier": text(),
            "source": { "enum": ["json_upload", "text_upload", "webhook", "otlp"] },
            "received_at": time(),
            "processed_at": time(),
            "event_time": time(),
            "text": text(),
            "original_text": text(),
            "fields": { "type": "object" },
            "truncated": { "type": "boolean" },
            "text_bytes": count(),
            "original_text_bytes": count(),
            "fields_bytes": count(),
            "dispatch_status": { "enum": [DELIVERED, FAILED] },
            "expires_at": time(),
            "trace": text(),
        }),
    )
}

fn outcomes() -> Value {
    json!({ "type": "array", "minItems": 1, "items": reference("schemas/Outcome") })
}

/// The codes that one of several events may have.
fn codes_of_events() -> Vec<&'static str> {
    let kinds = ProblemKind::ALL.iter().filter(|kind| kind.calls.contains(&Call::Send));
    kinds.map(|kind| kind.code).collect()
}

fn object(required: &[&str], properties: &Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn reference(component: &str) -> Value {
    json!({ "$ref": format!("#/components/{component}") })
}
