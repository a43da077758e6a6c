//! A log record as an event: its text is the body, all else is in the fields. What a client names is nested, so that it cannot
//! be taken for a member of ours.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use shared::client_object::{ClientObject, InvalidObject};
use shared::fields::Fields;
use shared::format::facts::EventTime;
use shared::id::TenantId;

use super::copies::Copied;

/// Names are in stored lines: never renamed. docs/http-api.md explains them.
#[derive(Serialize)]
struct RecordFields<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    event_name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    severity_number: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    severity_text: &'a str,
    /// If it is no string.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value<'a>>,
    #[serde(skip_serializing_if = "Attributes::is_empty")]
    attributes: Attributes<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    trace_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    span_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    flags: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_time: Option<EventTime>,
    #[serde(skip_serializing_if = "is_empty")]
    resource: &'a RawValue,
    #[serde(skip_serializing_if = "is_empty")]
    scope: &'a RawValue,
}

/// The parts of the event. A body that is no string is a field, and flattened as the member of an object would be.
pub(super) fn object(
    record: &LogRecord,
    tenant: Option<TenantId>,
    copied: &Copied<'_>,
) -> Result<ClientObject, InvalidObject> {
    let (text, body) = match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        None => (Some(""), None),
        Some(Kind::StringValue(text)) => (Some(&**text), None),
        Some(_) => (None, Some(Value(record.body.as_ref()))),
    };
    let observed_time = EventTime::from_unix_nanos(record.observed_time_unix_nano);
    let fields = RecordFields {
        event_name: &record.event_name,
        // It is never negative.
        severity_number: u32::try_from(record.severity_number).unwrap_or_default(),
        severity_text: &record.severity_text,
        body,
        attributes: Attributes(&record.attributes),
        dropped_attributes_count: record.dropped_attributes_count,
        trace_id: hex(&record.trace_id),
        span_id: hex(&record.span_id),
        flags: record.flags,
        observed_time,
        resource: copied.resource,
        scope: copied.scope,
    };
    let fields = serde_json::to_string(&fields).expect("it always serialises");
    let fields = Fields::of_object(&fields)?;
    let is_flattened = text.is_none();
    let text = text.map_or_else(|| fields.flattened("body"), str::to_owned);
    let event_time = EventTime::from_unix_nanos(record.time_unix_nano).or(observed_time);
    Ok(ClientObject { tenant, id: None, event_time, text, is_flattened, fields })
}

/// The tenant that a resource names, if it has the attribute. The last one of that name counts, as in the fields.
pub(super) fn tenant(resource: Option<&Resource>, attribute: &str) -> Result<Option<TenantId>, String> {
    let Some(resource) = resource.filter(|_| !attribute.is_empty()) else { return Ok(None) };
    let named = resource.attributes.iter().rev().find(|named| named.key == attribute);
    let tenant = match named.and_then(|named| named.value.as_ref()?.value.as_ref()) {
        None => return Ok(None),
        Some(Kind::StringValue(name)) if name.is_empty() => return Ok(None),
        Some(Kind::StringValue(name)) => TenantId::parse(name),
        Some(Kind::IntValue(number)) => TenantId::parse(&number.to_string()),
        Some(_) => {
            return Err(format!("the resource attribute `{attribute}` is neither a string nor an integer"));
        }
    };
    tenant.map(Some).map_err(|invalid| invalid.to_string())
}

/// Members by their names. Of several with one name the last one is stored, as of any object.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(pub(super) &'a [KeyValue]);

impl Attributes<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|one| (&one.key, Value(one.value.as_ref()))))
    }
}

/// A value as JSON. Bytes are base64; numbers that JSON does not have are strings, as in OTLP's own JSON.
pub(super) struct Value<'a>(pub(super) Option<&'a AnyValue>);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.and_then(|value| value.value.as_ref()) {
            // An index is into a dictionary, which requests with log records do not have.
            None | Some(Kind::StringValueStrindex(_)) => serializer.serialize_unit(),
            Some(Kind::StringValue(text)) => serializer.serialize_str(text),
            Some(Kind::BoolValue(value)) => serializer.serialize_bool(*value),
            Some(Kind::IntValue(number)) => serializer.serialize_i64(*number),
            Some(Kind::DoubleValue(number)) if number.is_nan() => serializer.serialize_str("NaN"),
            Some(Kind::DoubleValue(number)) if number.is_infinite() => {
                serializer.serialize_str(if *number > 0.0 { "Infinity" } else { "-Infinity" })
            }
            Some(Kind::DoubleValue(number)) => serializer.serialize_f64(*number),
            Some(Kind::BytesValue(bytes)) => {
                serializer.serialize_str(&base64_simd::STANDARD.encode_to_string(bytes))
            }
            Some(Kind::ArrayValue(array)) => {
                serializer.collect_seq(array.values.iter().map(|value| Value(Some(value))))
            }
            Some(Kind::KvlistValue(list)) => Attributes(&list.values).serialize(serializer),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
pub(super) fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_empty(object: &RawValue) -> bool {
    object.get() == "{}"
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
