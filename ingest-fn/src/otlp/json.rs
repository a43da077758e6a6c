//! The JSON encoding, read into the published types (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>). Their own
//! `serde` is not used: it refuses null, an empty `arrayValue`, and numbers as strings, all of which the encoding allows.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use shared::json::whole_characters;
use shared::metric::Metric;

use crate::rejection::Rejection;

/// Reads a request. An empty body is an empty request, as it is in the other encoding.
pub(super) fn read(body: &[u8]) -> Result<ExportLogsServiceRequest, Rejection> {
    if body.is_empty() {
        return Ok(ExportLogsServiceRequest::default());
    }
    let (json, replaced) = whole_characters(str::from_utf8(body)?);
    Metric::SurrogatesReplaced.add(replaced);
    // An array would be read as the members in their order.
    if !json.trim_ascii_start().starts_with('{') {
        serde_json::from_str::<IgnoredAny>(&json).map_err(Rejection::MalformedJson)?;
        return Err(Rejection::NotAnObject);
    }
    let Wire(request) = serde_json::from_str(&json).map_err(Rejection::MalformedJson)?;
    Ok(request)
}

/// A message as JSON has it.
struct Wire<T>(T);

macro_rules! read_as {
    ($($message:ident as $name:ident,)+) => {$(
        impl<'de> Deserialize<'de> for Wire<$message> {
            fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
                $name::deserialize(json).map(Self)
            }
        }
    )+};
}

read_as! {
    ExportLogsServiceRequest as RequestJson,
    ResourceLogs as ResourceLogsJson,
    Resource as ResourceJson,
    ScopeLogs as ScopeLogsJson,
    InstrumentationScope as ScopeJson,
    LogRecord as LogRecordJson,
    KeyValue as KeyValueJson,
    ArrayValue as ArrayJson,
    KeyValueList as ListJson,
}

#[derive(Default, Deserialize)]
#[serde(remote = "ExportLogsServiceRequest", rename_all = "camelCase", default)]
struct RequestJson {
    #[serde(deserialize_with = "list")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Default, Deserialize)]
#[serde(remote = "ResourceLogs", rename_all = "camelCase", default)]
struct ResourceLogsJson {
    #[serde(deserialize_with = "message")]
    resource: Option<Resource>,
    #[serde(deserialize_with = "list")]
    scope_logs: Vec<ScopeLogs>,
    #[serde(deserialize_with = "text")]
    schema_url: String,
}

#[derive(Default, Deserialize)]
#[serde(remote = "Resource", rename_all = "camelCase", default)]
struct ResourceJson {
    #[serde(deserialize_with = "list")]
    attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "integer")]
    dropped_attributes_count: u32,
    /// Not stored.
    #[serde(skip)]
    entity_refs: Vec<EntityRef>,
}

#[derive(Default, Deserialize)]
#[serde(remote = "ScopeLogs", rename_all = "camelCase", default)]
struct ScopeLogsJson {
    #[serde(deserialize_with = "message")]
    scope: Option<InstrumentationScope>,
    #[serde(deserialize_with = "list")]
    log_records: Vec<LogRecord>,
    #[serde(deserialize_with = "text")]
    schema_url: String,
}

#[derive(Default, Deserialize)]
#[serde(remote = "InstrumentationScope", rename_all = "camelCase", default)]
struct ScopeJson {
    #[serde(deserialize_with = "text")]
    name: String,
    #[serde(deserialize_with = "text")]
    version: String,
    #[serde(deserialize_with = "list")]
    attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "integer")]
    dropped_attributes_count: u32,
}

#[derive(Default, Deserialize)]
#[serde(remote = "LogRecord", rename_all = "camelCase", default)]
struct LogRecordJson {
    #[serde(deserialize_with = "integer")]
    time_unix_nano: u64,
    #[serde(deserialize_with = "integer")]
    observed_time_unix_nano: u64,
    #[serde(deserialize_with = "integer")]
    severity_number: i32,
    #[serde(deserialize_with = "text")]
    severity_text: String,
    #[serde(deserialize_with = "any_value")]
    body: Option<AnyValue>,
    #[serde(deserialize_with = "list")]
    attributes: Vec<KeyValue>,
    #[serde(deserialize_with = "integer")]
    dropped_attributes_count: u32,
    #[serde(deserialize_with = "integer")]
    flags: u32,
    #[serde(deserialize_with = "hex")]
    trace_id: Vec<u8>,
    #[serde(deserialize_with = "hex")]
    span_id: Vec<u8>,
    #[serde(deserialize_with = "text")]
    event_name: String,
}

#[derive(Default, Deserialize)]
#[serde(remote = "KeyValue", rename_all = "camelCase", default)]
struct KeyValueJson {
    #[serde(deserialize_with = "text")]
    key: String,
    #[serde(deserialize_with = "any_value")]
    value: Option<AnyValue>,
    /// Not in log records.
    #[serde(skip)]
    key_strindex: i32,
}

#[derive(Default, Deserialize)]
#[serde(remote = "ArrayValue", default)]
struct ArrayJson {
    #[serde(deserialize_with = "list")]
    values: Vec<AnyValue>,
}

#[derive(Default, Deserialize)]
#[serde(remote = "KeyValueList", default)]
struct ListJson {
    #[serde(deserialize_with = "list")]
    values: Vec<KeyValue>,
}

/// One of these, or none for an empty value.
#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object with `stringValue` or another kind of value")]
struct AnyValueJson {
    #[serde(rename = "stringValue")]
    string: Option<String>,
    #[serde(rename = "boolValue")]
    boolean: Option<bool>,
    #[serde(rename = "intValue")]
    integer: Option<Number>,
    #[serde(rename = "doubleValue")]
    double: Option<Number>,
    #[serde(rename = "arrayValue")]
    array: Option<Wire<ArrayValue>>,
    #[serde(rename = "kvlistValue")]
    list: Option<Wire<KeyValueList>>,
    #[serde(rename = "bytesValue")]
    base64: Option<String>,
}

impl<'de> Deserialize<'de> for Wire<AnyValue> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let json = AnyValueJson::deserialize(json)?;
        let value = if let Some(text) = json.string {
            Some(Value::StringValue(text))
        } else if let Some(value) = json.boolean {
            Some(Value::BoolValue(value))
        } else if let Some(number) = json.integer {
            Some(Value::IntValue(number.integer()?))
        } else if let Some(number) = json.double {
            Some(Value::DoubleValue(number.double()?))
        } else if let Some(Wire(array)) = json.array {
            Some(Value::ArrayValue(array))
        } else if let Some(Wire(list)) = json.list {
            Some(Value::KvlistValue(list))
        } else if let Some(base64) = json.base64 {
            Some(Value::BytesValue(bytes(&base64)?))
        } else {
            None
        };
        Ok(Self(AnyValue { value }))
    }
}

fn list<'de, D: Deserializer<'de>, T>(json: D) -> Result<Vec<T>, D::Error>
where
    Wire<T>: Deserialize<'de>,
{
    let list: Option<Vec<Wire<T>>> = Deserialize::deserialize(json)?;
    Ok(list.unwrap_or_default().into_iter().map(|Wire(element)| element).collect())
}

fn message<'de, D: Deserializer<'de>, T>(json: D) -> Result<Option<T>, D::Error>
where
    Wire<T>: Deserialize<'de>,
{
    let message: Option<Wire<T>> = Deserialize::deserialize(json)?;
    Ok(message.map(|Wire(message)| message))
}

/// Null is an empty value, as an object without members is.
fn any_value<'de, D: Deserializer<'de>>(json: D) -> Result<Option<AnyValue>, D::Error> {
    message(json)
}

fn text<'de, D: Deserializer<'de>>(json: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(json)?.unwrap_or_default())
}

fn integer<'de, D: Deserializer<'de>, T: TryFrom<i128> + Default>(json: D) -> Result<T, D::Error> {
    Option::<Number>::deserialize(json)?.map_or_else(|| Ok(T::default()), |number| number.integer())
}

fn hex<'de, D: Deserializer<'de>>(json: D) -> Result<Vec<u8>, D::Error> {
    let text = text(json)?;
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
    let bytes = text.as_bytes().chunks(2).map(byte).collect::<Option<_>>();
    bytes.ok_or_else(|| Error::custom("an id is not hexadecimal"))
}

/// Base64 of either alphabet, with padding or without.
fn bytes<E: Error>(base64: &str) -> Result<Vec<u8>, E> {
    let standard = base64.replace('-', "+").replace('_', "/");
    let bytes = base64_simd::forgiving_decode_to_vec(standard.as_bytes());
    bytes.map_err(|_| E::custom("`bytesValue` is not base64"))
}

/// A number, which may be written as a string: integers of 64 bits are. `serde_json` reads doubles less exactly.
#[derive(Deserialize)]
#[serde(transparent)]
struct Number(Box<RawValue>);

impl Number {
    fn text(&self) -> &str {
        self.0.get().trim_matches('"')
    }

    /// An integer may have an exponent, and a fraction of zeros.
    fn integer<T: TryFrom<i128>, E: Error>(&self) -> Result<T, E> {
        let integer = self.text().parse().ok().or_else(|| {
            let double = self.text().parse::<f64>().ok().filter(|double| double.fract() == 0.0)?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it has no fraction, and what is too large is refused next"
            )]
            Some(double as i128)
        });
        let integer = integer.and_then(|integer: i128| T::try_from(integer).ok());
        integer.ok_or_else(|| {
            E::custom(format_args!("{} is not an integer of {} bits", self.shown(), 8 * size_of::<T>()))
        })
    }

    fn double<E: Error>(&self) -> Result<f64, E> {
        let is_named = matches!(self.text(), "NaN" | "Infinity" | "-Infinity");
        let double = self.text().parse().ok().filter(|double: &f64| double.is_finite() || is_named);
        double.ok_or_else(|| E::custom(format_args!("{} is not a double", self.shown())))
    }

    /// The value for an error. It may be any JSON.
    fn shown(&self) -> String {
        self.0.get().chars().take(64).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::otlp::samples::any_request;

    fn record(json: &str) -> Result<LogRecord, String> {
        let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{json}]}}]}}]}}"#);
        let mut request = read(body.as_bytes()).map_err(|rejection| rejection.to_string())?;
        Ok(request.resource_logs.remove(0).scope_logs.remove(0).log_records.remove(0))
    }

    fn body(json: &str) -> Option<Value> {
        record(&format!(r#"{{"body":{json}}}"#)).unwrap().body?.value
    }

    #[test]
    fn numbers_may_be_strings_and_null_is_the_default() {
        let expected = LogRecord {
            time_unix_nano: 1_544_712_660_300_000_001,
            severity_number: 9,
            flags: 1,
            ..LogRecord::default()
        };
        for json in [
            r#"{"timeUnixNano":"1544712660300000001","severityNumber":9,"flags":1}"#,
            r#"{"timeUnixNano":1544712660300000001,"severityNumber":"9","flags":1.0,"observedTimeUnixNano":null}"#,
            r#"{"timeUnixNano":"1544712660300000001","severityNumber":9,"flags":1,"severityText":null,"body":null,"attributes":null,"traceId":null,"droppedAttributesCount":null}"#,
        ] {
            assert_eq!(record(json).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn unknown_members_are_ignored_and_so_are_names_with_underscores() {
        let json = r#"{"time_unix_nano":5,"severityText":"warn","later":{"a":[{"b":null}]},"bodi":1}"#;
        assert_eq!(
            record(json).unwrap(),
            LogRecord { severity_text: "warn".to_owned(), ..LogRecord::default() }
        );
    }

    #[test]
    fn ids_are_hexadecimal_in_any_case() {
        let record =
            record(r#"{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174"}"#).unwrap();
        assert_eq!((record.trace_id[0], record.trace_id.len(), record.span_id[7]), (0x5b, 16, 0x74));
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let pair = |key: &str, value| KeyValue { key: key.to_owned(), value, key_strindex: 0 };
        assert_eq!(body(r#"{"stringValue":"a\ud83d"}"#), Some(Value::StringValue("a\u{fffd}".to_owned())));
        assert_eq!(body(r#"{"boolValue":false}"#), Some(Value::BoolValue(false)));
        assert_eq!(body(r#"{"intValue":"-9223372036854775808"}"#), Some(Value::IntValue(i64::MIN)));
        assert_eq!(body(r#"{"intValue":7}"#), Some(Value::IntValue(7)));
        assert_eq!(body(r#"{"doubleValue":3}"#), Some(Value::DoubleValue(3.0)));
        assert_eq!(body(r#"{"doubleValue":"-Infinity"}"#), Some(Value::DoubleValue(f64::NEG_INFINITY)));
        for base64 in ["+/8=", "-_8=", "+/8", "-_8"] {
            let json = format!(r#"{{"bytesValue":"{base64}"}}"#);
            assert_eq!(body(&json), Some(Value::BytesValue(vec![0xfb, 0xff])), "{base64}");
        }
        assert_eq!(body(r#"{"arrayValue":{}}"#), Some(Value::ArrayValue(ArrayValue::default())));
        assert_eq!(
            body(r#"{"arrayValue":{"values":[{},{"boolValue":true}]}}"#),
            Some(Value::ArrayValue(ArrayValue {
                values: [None, Some(Value::BoolValue(true))].map(|value| AnyValue { value }).to_vec()
            }))
        );
        assert_eq!(
            body(r#"{"kvlistValue":{"values":[{"key":"k"},{"value":{}}]}}"#),
            Some(Value::KvlistValue(KeyValueList {
                values: vec![pair("k", None), pair("", Some(AnyValue::default()))]
            }))
        );
        assert_eq!((body("{}"), body(r#"{"later":1}"#), body("null")), (None, None, None));
    }

    #[test]
    fn what_is_no_request_says_why() {
        let error = |json| record(json).unwrap_err();
        insta::assert_snapshot!(error(r#"{"severityNumber":"SEVERITY_NUMBER_INFO"}"#), @r#"it is not JSON: "SEVERITY_NUMBER_INFO" is not an integer of 32 bits at line 1 column 87"#);
        insta::assert_snapshot!(error(r#"{"timeUnixNano":-1}"#), @"it is not JSON: -1 is not an integer of 64 bits at line 1 column 65");
        insta::assert_snapshot!(error(r#"{"traceId":"W47/95gDgQPSabYzgT/GDA=="}"#), @"it is not JSON: an id is not hexadecimal at line 1 column 84");
        insta::assert_snapshot!(error(r#"{"body":"text"}"#), @r#"it is not JSON: invalid type: string "text", expected an object with `stringValue` or another kind of value at line 1 column 60"#);
        insta::assert_snapshot!(error(r#"{"body":{"intValue":"1.5"}}"#), @r#"it is not JSON: "1.5" is not an integer of 64 bits at line 1 column 73"#);
        insta::assert_snapshot!(read(b"[]").unwrap_err().to_string(), @"it is JSON, but not an object");
        insta::assert_snapshot!(read(b"{} x").unwrap_err().to_string(), @"it is not JSON: trailing characters at line 1 column 4");
        assert_eq!(read(b"").unwrap(), ExportLogsServiceRequest::default());
    }

    #[test]
    fn values_that_nest_too_deep_are_refused() {
        let nested = |levels| {
            format!(
                r#"{{"body":{}{{}}{}}}"#,
                r#"{"arrayValue":{"values":["#.repeat(levels),
                "]}}".repeat(levels)
            )
        };
        assert!(record(&nested(39)).is_ok());
        insta::assert_snapshot!(record(&nested(100_000)).unwrap_err(), @"it is not JSON: recursion limit exceeded at line 1 column 1055");
    }

    proptest! {
        /// What the published types write, by an implementation that is not ours.
        #[test]
        fn a_request_is_read_as_it_was_written(request in any_request()) {
            prop_assert_eq!(read(&serde_json::to_vec(&request).unwrap()).unwrap(), request);
        }
    }
}
