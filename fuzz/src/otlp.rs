//! Log records of OpenTelemetry: a request is answered as exporters understand it, each record is stored once and as it was
//! sent, whatever the encoding, and a small request stores little.
//!
//! The first byte of an input says how it is sent: 1 as JSON, 2 with a tenant attribute, 4 in small limits, 8 to a stream that
//! refuses, 16 to a queue that refuses. The rest is the body.

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use serde_json::Value;
use shared::digest::hex;
use shared::format::event_line::Event;
use shared::limits::{OTLP_LINE_BYTES, OTLP_LINES_RATIO};

use crate::http::input::Input;
use crate::http::{Ports, send, stored};
use crate::seeds::Seed;

/// Pieces of requests.
pub const WORDS: &[&str] = &[
    "\"resourceLogs\":[",
    "\"scopeLogs\":[",
    "\"logRecords\":[",
    "\"resource\":{",
    "\"scope\":{",
    "\"attributes\":[{\"key\":\"",
    "\"value\":{\"stringValue\":\"",
    "{\"arrayValue\":{\"values\":[",
    "{\"kvlistValue\":{\"values\":[",
    "\"bytesValue\":",
    "\"intValue\":\"-9223372036854775808\"",
    "\"doubleValue\":\"NaN\"",
    "\"timeUnixNano\":\"1795253400000000000\"",
    "\"traceId\":\"5b8efff798038103d269b633813fc60c\"",
    "\"droppedAttributesCount\":",
    "null",
    "\\ud83d",
    "\u{1}\u{1}\u{1}\u{1}",
    "\n\u{2}t\u{12}\u{6}\n\u{4}beta",
];

/// One request, sent once.
struct Sent {
    status: u16,
    /// Of a success, how many records were rejected.
    rejected: usize,
    stored: Vec<Event>,
}

pub fn check(input: &[u8]) {
    let Some((&flags, body)) = input.split_first() else { return };
    let first = export(flags, body);
    let again = export(flags, body);
    let ids = |sent: &Sent| {
        let timed = sent.stored.iter().filter(|event| event.facts.event_time.is_some());
        timed.map(|event| event.facts.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), ids(&again), "sent again, a record has the same id");
    let mut unique = ids(&first);
    unique.sort();
    unique.dedup();
    assert!(first.status != 200 || unique.len() == ids(&first).len(), "each record is an event of its own");
    let lines = first.stored.iter().map(|event| event.line().len()).sum::<usize>();
    assert!(lines <= OTLP_LINES_RATIO * body.len() + OTLP_LINE_BYTES * first.stored.len());
    if flags & 1 == 0
        && let Ok(request) = ExportLogsServiceRequest::decode(body)
    {
        check_records(&request, &first);
        // The same by the published JSON, which has no words for all doubles.
        let json = serde_json::to_vec(&request).unwrap();
        if first.status == 200 && request_of(&json).as_ref() == Some(&request) {
            let of_json = export(flags | 1, &json);
            let texts = |sent: &Sent| sent.stored.iter().map(|event| event.text.clone()).collect::<Vec<_>>();
            assert!(of_json.status != 200 || texts(&of_json) == texts(&first));
        }
    }
}

fn request_of(json: &[u8]) -> Option<ExportLogsServiceRequest> {
    serde_json::from_slice(json).ok()
}

fn export(flags: u8, body: &[u8]) -> Sent {
    let media_type = if flags & 1 == 1 { "application/json" } else { "application/x-protobuf" };
    let words = [(2, " named"), (4, " small"), (8, " stream-refuses"), (16, " queue-refuses")];
    let words: String = words.iter().filter(|(bit, _)| flags & bit > 0).map(|(_, word)| *word).collect();
    let tenant = if flags & 2 > 0 { "" } else { "x-tenant-id: acme\n" };
    let head = format!("POST /v1/logs{words}\ncontent-type: {media_type}\nx-customer-tier: pro\n{tenant}\n");
    let input = Input::read(&[head.as_bytes(), body].concat()).unwrap();
    let ports = Ports::new(&input);
    let (status, headers, answer) = send(&input, ports.clone());
    let stored = stored(&ports);
    assert_eq!(headers["content-type"], media_type);
    assert_eq!(headers.contains_key("retry-after"), status == 503);
    assert!(matches!(status, 200 | 400 | 413) || status == 503 && ports.may_fail(), "{status}");
    if status != 200 {
        assert!(status == 503 || stored.is_empty());
        return Sent { status, rejected: 0, stored };
    }
    let rejected = if flags & 1 == 1 {
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let rejected =
            answer.get("partialSuccess").map(|partial| partial["rejectedLogRecords"].as_str().unwrap());
        rejected.map(|rejected| rejected.parse().unwrap())
    } else {
        let partial = ExportLogsServiceResponse::decode(answer).unwrap().partial_success;
        partial.map(|partial| usize::try_from(partial.rejected_log_records).unwrap())
    };
    assert_ne!(rejected, Some(0));
    Sent { status, rejected: rejected.unwrap_or(0), stored }
}

/// Each record is stored or rejected, and each that is stored is as it was sent.
fn check_records(request: &ExportLogsServiceRequest, sent: &Sent) {
    if sent.status != 200 {
        return;
    }
    let scopes = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    let records: Vec<_> = scopes.flat_map(|logs| &logs.log_records).collect();
    assert_eq!(sent.stored.len() + sent.rejected, records.len());
    if sent.rejected == 0 {
        sent.stored.iter().zip(records).for_each(|(event, record)| check_record(event, record));
    }
}

fn check_record(event: &Event, record: &LogRecord) {
    let body = record.body.as_ref().and_then(|body| body.value.as_ref());
    let fields: Value = serde_json::from_str(event.fields.as_json()).unwrap();
    match body {
        None => assert_eq!(event.text, ""),
        Some(Kind::StringValue(text)) => assert_eq!(event.text, *text),
        Some(_) => assert!(event.is_flattened && fields.get("body").is_some()),
    }
    let has_time = record.time_unix_nano > 0 || record.observed_time_unix_nano > 0;
    assert_eq!(event.facts.event_time.is_some(), has_time);
    for attribute in &record.attributes {
        let stored = &fields["attributes"][&attribute.key];
        let last = record.attributes.iter().rfind(|other| other.key == attribute.key).unwrap();
        match last.value.as_ref().and_then(|value| value.value.as_ref()) {
            None => assert!(stored.is_null()),
            Some(Kind::StringValue(text)) => assert_eq!(stored, text),
            Some(Kind::BoolValue(value)) => assert_eq!(stored, value),
            Some(Kind::IntValue(number)) => assert_eq!(stored, number),
            Some(_) => {}
        }
    }
    assert_eq!(fields["trace_id"].as_str().unwrap_or_default(), hex(&record.trace_id));
    assert_eq!(fields["span_id"].as_str().unwrap_or_default(), hex(&record.span_id));
    assert_eq!(fields["flags"].as_u64().unwrap_or_default(), u64::from(record.flags));
    assert_eq!(fields["severity_text"].as_str().unwrap_or_default(), record.severity_text);
}

/// One request with every kind of value, in both encodings and in each way.
pub(crate) fn seeds() -> Vec<Seed> {
    let json = include_bytes!("../corpus/otlp/every-kind.json");
    let protobuf = request_of(&json[1..]).unwrap().encode_to_vec();
    let ways = [0, 2, 4, 8, 24].into_iter();
    ways.flat_map(|flags| {
        let seed = |name: &str, flags: u8, body: &[u8]| Seed {
            name: format!("{name}-{flags}"),
            input: [&[flags][..], body].concat(),
        };
        [seed("protobuf", flags, &protobuf), seed("json", flags | 1, &json[1..])]
    })
    .collect()
}
