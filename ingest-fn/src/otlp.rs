//! Logs of OpenTelemetry (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>): one event for each log record. The requests
//! take the same stages as all others. Here is what differs: how a body is read, which id a record gets, how it is answered.
//!
//! | file | has |
//! |---|---|
//! | `size.rs` | the memory that a body would take when it is decoded, found without decoding it |
//! | `json.rs` | the JSON encoding |
//! | `record.rs` | a log record as the fields and the text of an event |
//! | `copies.rs` | resource and scope, which are stored with each record, within a bound |
//! | `answer.rs` | success, partial success and failure, in the encoding of the request |

mod answer;
mod copies;
mod json;
mod record;
#[cfg(test)]
mod samples;
mod size;

use std::collections::HashMap;

use encoding_rs::UTF_8;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use prost::Message;
use shared::format::event_line::Event;
use shared::format::facts::Source;
use shared::id::EventId;
use shared::limits;
use shared::time::Timestamp;

pub(crate) use self::answer::answer;
use self::copies::Copied;
use crate::admit::{Admitted, RawRequest, trace};
use crate::cut::{EventMaker, Form, RequestEvents};
use crate::media::{ContentType, MediaType, coding};
use crate::rejection::Rejection;
use crate::repeated::distinct;

/// How a request is encoded, and so its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

/// What work a byte of a body makes, compared with a byte of other bodies: a record of a few bytes is stored with its resource.
pub(crate) const WORK: usize = 64;

/// Digits of a content hash that an id has: 128 bits, so that two records never have the same by chance.
const ID_DIGITS: usize = 32;

/// Checks media type and coding. No header names a log record: it is named by its content.
pub(crate) fn admit(raw: &RawRequest<'_>, now: Timestamp) -> Result<Admitted, Rejection> {
    let media_type = MediaType::Otlp(encoding(raw.headers)?);
    Ok(Admitted {
        source: Source::Otlp,
        content_type: ContentType { media_type, charset: UTF_8 },
        coding: coding(raw.headers)?,
        named: None,
        trace: trace(raw.headers),
        received_at: now,
    })
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Rejection> {
    let given = distinct(headers, CONTENT_TYPE.as_str()).join(&b", "[..]);
    let essence = given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    match &*essence.to_ascii_lowercase() {
        b"application/x-protobuf" => Ok(Encoding::Protobuf),
        b"application/json" => Ok(Encoding::Json),
        _ => {
            let given = String::from_utf8_lossy(&given);
            let given = given.chars().take(100).flat_map(char::escape_debug).collect::<String>();
            Err(Rejection::LogsMediaType { given: format!("`{given}`") })
        }
    }
}

/// Cuts a body into its log records. A request without any is a good one.
pub(crate) fn cut(
    maker: &EventMaker<'_>,
    encoding: Encoding,
    body: &[u8],
) -> Result<RequestEvents<Event>, Rejection> {
    let request = read(encoding, body)?;
    let records = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    let records = records.map(|logs| logs.log_records.len()).sum();
    let limit = maker.config.limits.batch_events;
    if records > limit {
        return Err(Rejection::BatchTooLarge { limit });
    }
    let mut events = Vec::with_capacity(records);
    let room = copies::room(body.len(), records);
    let mut seen = HashMap::new();
    for logs in &request.resource_logs {
        events_of(maker, logs, room, &mut seen, &mut events);
    }
    Ok(RequestEvents { form: Form::Several, events })
}

fn read(encoding: Encoding, body: &[u8]) -> Result<ExportLogsServiceRequest, Rejection> {
    let limit = limits::OTLP_DECODED_BYTES;
    if size::decoded(encoding, body) > limit {
        return Err(Rejection::TooManyParts { limit });
    }
    match encoding {
        Encoding::Protobuf => ExportLogsServiceRequest::decode(body).map_err(Rejection::MalformedProtobuf),
        Encoding::Json => json::read(body),
    }
}

fn events_of(
    maker: &EventMaker<'_>,
    logs: &ResourceLogs,
    room: usize,
    seen: &mut HashMap<String, u32>,
    events: &mut Vec<Result<Event, Rejection>>,
) {
    let tenant = record::tenant(logs.resource.as_ref(), &maker.config.otlp.tenant_attribute);
    let resource = copies::resource(logs, room);
    for logs in &logs.scope_logs {
        let copied = Copied { resource: &resource, scope: &copies::scope(logs, room) };
        for record in &logs.log_records {
            let mut event = || {
                let tenant = tenant.clone().map_err(Rejection::TenantInvalid)?;
                named(maker.event(record::object(record, tenant, &copied)?, None)?, seen)
            };
            events.push(event());
        }
    }
}

/// Exporters send a request again, as it was, if they got no answer, and records have no id of their own. So a record has the id
/// of its content, and the same record again is a duplicate. `seen` counts equal records of one request, each of which is an
/// event. Records without any time are equal too easily; they keep the new id that they have.
fn named(mut event: Event, seen: &mut HashMap<String, u32>) -> Result<Event, Rejection> {
    if event.facts.event_time.is_some() {
        let digest = event.content_hash()[..ID_DIGITS].to_owned();
        let count = seen.entry(format!("{}/{digest}", event.facts.tenant)).or_default();
        *count += 1;
        event.facts.id = EventId::parse(if *count == 1 { digest } else { format!("{digest}.{count}") })?;
    }
    Ok(event)
}
