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
use crate::rejection::{Rejection, shown};
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
        attributes: None,
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
            Err(Rejection::LogsMediaType { given: format!("`{}`", shown(&given, 100)) })
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, KeyValueList};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use proptest::prelude::*;
    use shared::config::Config;
    use shared::id::{Ids, TenantId};
    use shared::tier::Tier;
    use uuid::Uuid;

    use super::samples::{any_request, pair, request, text};
    use super::*;
    use crate::admit::Sender;

    fn cut_as(
        encoding: Encoding,
        body: Vec<u8>,
        config: &Config,
        tenant: Option<&str>,
    ) -> Result<RequestEvents<Event>, Rejection> {
        let tenant = tenant.map(|tenant| TenantId::parse(tenant).unwrap());
        let sender = Sender { tier: Tier::parse("pro").unwrap(), tenant, is_proven: false };
        let media_type = match encoding {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, media_type.parse().unwrap())]);
        let raw = RawRequest { tenant_in_path: None, headers: &headers };
        let admitted = admit(&raw, Timestamp::from_unix_ms(0)).unwrap();
        let ids = Ids::new(|| Uuid::from_u128(7));
        crate::cut::cut(&sender, &admitted, &Bytes::from(body), config, &ids)
    }

    fn events(request: &ExportLogsServiceRequest) -> Vec<Event> {
        let cut = cut_as(Encoding::Protobuf, request.encode_to_vec(), &Config::default(), Some("acme"));
        cut.unwrap().events.into_iter().map(Result::unwrap).collect()
    }

    fn ids(request: &ExportLogsServiceRequest) -> Vec<String> {
        events(request).into_iter().map(|event| event.facts.id.to_string()).collect()
    }

    fn line(at: u64, body: &str) -> LogRecord {
        LogRecord { time_unix_nano: at, body: Some(text(body)), ..LogRecord::default() }
    }

    fn service() -> Vec<KeyValue> {
        vec![pair("service.name", "checkout")]
    }

    #[test]
    fn a_record_has_the_same_id_when_it_is_sent_again_and_in_either_encoding() {
        let first = ids(&request(service(), vec![line(1, "a"), line(2, "b")]));
        assert_eq!(first[0].len(), ID_DIGITS);
        assert_eq!(ids(&request(service(), vec![line(1, "a"), line(2, "b")])), first);
        assert_eq!(ids(&request(service(), vec![line(2, "b")])), first[1..], "also without the others");
        let json = serde_json::to_vec(&request(service(), vec![line(1, "a")])).unwrap();
        let of_json =
            cut_as(Encoding::Json, json, &Config::default(), Some("acme")).unwrap().events.remove(0);
        assert_eq!(of_json.unwrap().facts.id.as_str(), first[0]);
    }

    #[test]
    fn another_time_text_attribute_or_resource_is_another_record() {
        let mut all = vec![ids(&request(service(), vec![line(1, "a")]))];
        all.push(ids(&request(service(), vec![line(2, "a")])));
        all.push(ids(&request(service(), vec![line(1, "b")])));
        all.push(ids(&request(vec![pair("service.name", "cart")], vec![line(1, "a")])));
        all.push(ids(&request(service(), vec![LogRecord { attributes: service(), ..line(1, "a") }])));
        all.push(ids(&request(service(), vec![LogRecord { observed_time_unix_nano: 1, ..line(1, "a") }])));
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn equal_records_of_one_request_are_as_many_events() {
        let found = ids(&request(service(), vec![line(1, "a"), line(1, "a"), line(1, "a")]));
        assert_eq!(found, [found[0].clone(), format!("{}.2", found[0]), format!("{}.3", found[0])]);
    }

    #[test]
    fn a_record_without_any_time_has_a_new_id() {
        assert_eq!(ids(&request(service(), vec![line(0, "a")])), ["00000000-0000-0000-0000-000000000007"]);
        let observed = LogRecord { observed_time_unix_nano: 1, ..line(0, "a") };
        assert_eq!(ids(&request(service(), vec![observed]))[0].len(), ID_DIGITS);
    }

    #[test]
    fn each_resource_may_name_its_tenant_unless_the_request_names_another() {
        let mut config = Config::default();
        "tenant.id".clone_into(&mut config.otlp.tenant_attribute);
        let resources = [vec![pair("tenant.id", "beta")], service(), vec![pair("tenant.id", "a b")]];
        let resource_logs =
            resources.map(|resource| request(resource, vec![line(1, "a")]).resource_logs.remove(0));
        let body = ExportLogsServiceRequest { resource_logs: resource_logs.to_vec() }.encode_to_vec();
        let tenants = |config: &Config, tenant| {
            let cut = cut_as(Encoding::Protobuf, body.clone(), config, tenant).unwrap();
            let shown = |event: Result<Event, Rejection>| match event {
                Ok(event) => event.facts.tenant.to_string(),
                Err(rejection) => rejection.code().to_owned(),
            };
            cut.events.into_iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(tenants(&config, None), ["beta", "tenant_missing", "tenant_invalid"]);
        assert_eq!(tenants(&config, Some("acme")), ["tenant_conflict", "acme", "tenant_invalid"]);
        config.tenants.default = Some(TenantId::parse("house").unwrap());
        assert_eq!(tenants(&config, None), ["beta", "house", "tenant_invalid"]);
        assert_eq!(tenants(&Config::default(), Some("acme")), ["acme"; 3], "it is off by default");
    }

    #[test]
    fn what_is_wrong_with_a_request_refuses_it() {
        let mut config = Config::default();
        config.limits.batch_events = 2;
        let code = |encoding, body: Vec<u8>| match cut_as(encoding, body, &config, Some("acme")) {
            Ok(cut) => cut.events.len().to_string(),
            Err(rejection) => rejection.code().to_owned(),
        };
        let of = |count| request(service(), vec![line(1, "a"); count]).encode_to_vec();
        assert_eq!(code(Encoding::Protobuf, of(2)), "2");
        assert_eq!(code(Encoding::Protobuf, of(3)), "batch_too_large");
        assert_eq!(code(Encoding::Protobuf, Vec::new()), "0");
        assert_eq!(code(Encoding::Protobuf, b"{}".to_vec()), "malformed_protobuf");
        assert_eq!(code(Encoding::Json, b"{\"text\":1}".to_vec()), "0", "unknown members are ignored");
        assert_eq!(code(Encoding::Json, b"\xff".to_vec()), "not_utf8");
        // Ten million bytes of empty attributes.
        let many = request(
            service(),
            vec![LogRecord { attributes: vec![KeyValue::default(); 3_000_000], ..line(1, "") }],
        );
        assert_eq!(code(Encoding::Protobuf, many.encode_to_vec()), "too_many_parts");
        let many = format!(
            r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{}}{}]}}}}]}}"#,
            ",{}".repeat(3_000_000)
        );
        assert_eq!(code(Encoding::Json, many.into_bytes()), "too_many_parts");
    }

    /// A value in a value, and so on. Protobuf's decoder allows a hundred messages.
    #[test]
    fn values_that_nest_too_deep_are_refused() {
        let field = |tag: u8, inner: &[u8]| {
            let mut bytes = vec![tag << 3 | 2];
            prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
            [bytes, inner.to_vec()].concat()
        };
        let nested = |levels| {
            let value = (0..levels).fold(Vec::new(), |value, _| field(5, &field(1, &value)));
            [5, 2, 2, 1].into_iter().fold(value, |inner, tag| field(tag, &inner))
        };
        let code = |levels| match cut_as(Encoding::Protobuf, nested(levels), &Config::default(), Some("acme"))
        {
            Ok(mut cut) => cut.events.remove(0).unwrap().text,
            Err(rejection) => rejection.code().to_owned(),
        };
        assert!(code(45).starts_with("body[0][0]"));
        assert_eq!(code(60), "malformed_protobuf");
        assert_eq!(code(2_000), "malformed_protobuf");
    }

    /// The bytes that a request stores, beyond what it sent.
    fn check_bound(body: Vec<u8>) {
        let sent = body.len();
        let cut = cut_as(Encoding::Protobuf, body, &Config::default(), Some("acme")).unwrap();
        let (records, stored) =
            (cut.events.len(), cut.events.into_iter().map(|event| event.unwrap().line().len()));
        let (stored, bound) =
            (stored.sum::<usize>(), limits::OTLP_LINES_RATIO * sent + limits::OTLP_LINE_BYTES * records);
        assert!(
            stored <= bound,
            "{sent} bytes in {records} records are stored as {stored}, more than {bound}"
        );
    }

    #[test]
    fn a_small_request_does_not_store_a_lot() {
        // A hundred kilobytes of resource for ten thousand records: a gigabyte of copies.
        check_bound(
            request(vec![pair("a", &"x".repeat(100_000))], vec![LogRecord::default(); 10_000])
                .encode_to_vec(),
        );
        let many = (0..5_000).map(|n| pair(&format!("a{n}"), "\u{1}")).collect();
        check_bound(request(many, vec![line(1, ""); 10_000]).encode_to_vec());
        for text in ["\u{1}", "\"", "\n", "\u{7f}", "\u{2028}"] {
            for (count, records) in [(100, 100), (20_000, 1)] {
                let attributes = vec![pair(text, &text.repeat(count)); 3];
                let list = Value::KvlistValue(KeyValueList { values: attributes.clone() });
                let body = Some(AnyValue { value: Some(list) });
                let record = LogRecord { attributes: attributes.clone(), body, ..line(1, "") };
                check_bound(request(attributes, vec![record; records]).encode_to_vec());
            }
        }
    }

    proptest! {
        #[test]
        fn no_request_stores_more_than_the_bound(request in any_request()) {
            check_bound(request.encode_to_vec());
        }
    }
}
