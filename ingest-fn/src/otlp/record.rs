//! A log record as an event: its text is the body, all else is in the fields. What a client names is nested, so that it cannot
//! be taken for a member of ours.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use shared::client_object::{ClientObject, InvalidObject};
use shared::digest::hex;
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

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};

    use super::*;
    use crate::otlp::samples::{pair, text};

    fn object(record: &LogRecord) -> ClientObject {
        let empty: &RawValue = serde_json::from_str("{}").unwrap();
        super::object(record, None, &Copied { resource: empty, scope: empty }).unwrap()
    }

    fn any(value: Kind) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn all_that_a_record_has_is_in_the_event() {
        let record = LogRecord {
            time_unix_nano: 1_544_712_660_300_000_001,
            observed_time_unix_nano: 1_544_712_661_000_000_000,
            severity_number: 9,
            severity_text: "Information".to_owned(),
            body: Some(text("User 555-0199")),
            attributes: vec![pair("tenant_id", "x"), pair("text", "y"), pair("text", "z")],
            dropped_attributes_count: 2,
            flags: 1,
            trace_id: vec![0x5b; 16],
            span_id: vec![0xee; 8],
            event_name: "login".to_owned(),
        };
        let resource = serde_json::from_str(r#"{"attributes":{"service.name":"s"}}"#).unwrap();
        let scope = serde_json::from_str(r#"{"name":"n"}"#).unwrap();
        let object = super::object(&record, None, &Copied { resource, scope }).unwrap();
        assert_eq!((object.text.as_str(), object.is_flattened), ("User 555-0199", false));
        assert_eq!(object.event_time.unwrap().to_string(), "2018-12-13T14:51:00.300000001Z");
        insta::assert_snapshot!(object.fields.as_json(), @r#"{"event_name":"login","severity_number":9,"severity_text":"Information","attributes":{"tenant_id":"x","text":"z"},"dropped_attributes_count":2,"trace_id":"5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b","span_id":"eeeeeeeeeeeeeeee","flags":1,"observed_time":"2018-12-13T14:51:01Z","resource":{"attributes":{"service.name":"s"}},"scope":{"name":"n"}}"#);
    }

    #[test]
    fn without_a_time_the_observed_time_counts_and_without_both_there_is_none() {
        let time = |time_unix_nano, observed_time_unix_nano| {
            let record = LogRecord { time_unix_nano, observed_time_unix_nano, ..LogRecord::default() };
            object(&record).event_time.map(|time| time.to_string())
        };
        assert_eq!(time(1, 2_000_000_000).unwrap(), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(time(0, 2_000_000_000).unwrap(), "1970-01-01T00:00:02Z");
        assert_eq!(time(u64::MAX, 0).unwrap(), "2554-07-21T23:34:33.709551615Z");
        assert_eq!(time(0, 0), None);
    }

    #[test]
    fn a_body_that_is_no_string_is_a_field_and_its_text_is_flattened() {
        let check = |body: AnyValue, expected: (&str, &str)| {
            let object = object(&LogRecord { body: Some(body), ..LogRecord::default() });
            assert_eq!((object.text.as_str(), object.fields.as_json()), expected);
        };

        assert_eq!(object(&LogRecord::default()).text, "");
        check(AnyValue { value: None }, ("", "{}"));
        check(text(""), ("", "{}"));
        check(
            any(Kind::IntValue(i64::MIN)),
            ("body=-9223372036854775808", r#"{"body":-9223372036854775808}"#),
        );
        check(any(Kind::BoolValue(true)), ("body=true", r#"{"body":true}"#));
        check(any(Kind::DoubleValue(-0.0)), ("body=-0.0", r#"{"body":-0.0}"#));
        check(any(Kind::DoubleValue(1e300)), ("body=1e+300", r#"{"body":1e+300}"#));
        check(any(Kind::DoubleValue(f64::NEG_INFINITY)), ("body=-Infinity", r#"{"body":"-Infinity"}"#));
        check(any(Kind::DoubleValue(f64::NAN)), ("body=NaN", r#"{"body":"NaN"}"#));
        check(any(Kind::BytesValue(vec![0xfb, 0xff])), ("body=+/8=", r#"{"body":"+/8="}"#));
        check(any(Kind::StringValueStrindex(3)), ("body=null", r#"{"body":null}"#));
        let values = vec![AnyValue::default(), text("x")];
        let array = any(Kind::ArrayValue(ArrayValue { values }));
        check(array, ("body[0]=null\nbody[1]=x", r#"{"body":[null,"x"]}"#));
        let values = vec![pair("user", "a\nb"), pair("user", "c\nd"), pair("attributes", "e")];
        let list = any(Kind::KvlistValue(KeyValueList { values }));
        check(
            list,
            ("body.attributes=e\nbody.user=\"c\\nd\"", r#"{"body":{"user":"c\nd","attributes":"e"}}"#),
        );
    }

    #[test]
    fn a_resource_attribute_may_name_the_tenant() {
        let of = |attributes: Vec<KeyValue>, name: &str| {
            let resource = Resource { attributes, ..Resource::default() };
            tenant(Some(&resource), name).map(|tenant| tenant.map(|tenant| tenant.to_string()))
        };
        let number = |value| KeyValue { key: "t".to_owned(), value: Some(any(value)), key_strindex: 0 };
        assert_eq!(of(vec![pair("t", "acme")], "t"), Ok(Some("acme".to_owned())));
        assert_eq!(of(vec![pair("t", "acme"), pair("t", "beta")], "t"), Ok(Some("beta".to_owned())));
        assert_eq!(of(vec![number(Kind::IntValue(42))], "t"), Ok(Some("42".to_owned())));
        for none in [vec![], vec![pair("t", "")], vec![pair("T", "acme")]] {
            assert_eq!(of(none, "t"), Ok(None));
        }
        assert_eq!(of(vec![pair("", "acme")], ""), Ok(None), "it is off");
        assert!(of(vec![pair("t", "a b")], "t").unwrap_err().contains("tenant id `a b` is not allowed"));
        insta::assert_snapshot!(of(vec![number(Kind::BoolValue(true))], "t").unwrap_err(), @"the resource attribute `t` is neither a string nor an integer");
    }
}
