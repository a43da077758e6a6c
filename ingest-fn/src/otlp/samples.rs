//! Requests for tests.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(super) fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text.to_owned())) }
}

pub(super) fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text(value)), key_strindex: 0 }
}

/// A request of one resource and one scope.
pub(super) fn request(attributes: Vec<KeyValue>, records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_logs = vec![ScopeLogs { log_records: records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { resource, scope_logs, schema_url: String::new() }];
    ExportLogsServiceRequest { resource_logs }
}

prop_compose! {
    pub(super) fn any_request()(resource_logs in vec(any_resource_logs(), 0..4)) -> ExportLogsServiceRequest {
        ExportLogsServiceRequest { resource_logs }
    }
}

prop_compose! {
    fn any_resource_logs()(
        resource in option::of((any_pairs(), any::<u32>())),
        scope_logs in vec(any_scope_logs(), 0..4),
        schema_url in any_text(),
    ) -> ResourceLogs {
        let resource = resource.map(|(attributes, dropped_attributes_count)| {
            Resource { attributes, dropped_attributes_count, entity_refs: Vec::new() }
        });
        ResourceLogs { resource, scope_logs, schema_url }
    }
}

prop_compose! {
    fn any_scope_logs()(
        scope in option::of((any_text(), any_text(), any_pairs(), any::<u32>())),
        log_records in vec(any_record(), 0..8),
        schema_url in any_text(),
    ) -> ScopeLogs {
        let scope = scope.map(|(name, version, attributes, dropped_attributes_count)| {
            InstrumentationScope { name, version, attributes, dropped_attributes_count }
        });
        ScopeLogs { scope, log_records, schema_url }
    }
}

prop_compose! {
    fn any_record()(
        (time_unix_nano, observed_time_unix_nano) in (any::<u64>(), prop_oneof![Just(0), any::<u64>()]),
        (severity_number, severity_text) in (0..25, any_text()),
        body in option::of(any_value()),
        attributes in any_pairs(),
        (dropped_attributes_count, flags) in any::<(u32, u32)>(),
        (trace_id, span_id) in (option::of(any::<[u8; 16]>()), option::of(any::<[u8; 8]>())),
        event_name in any_text(),
    ) -> LogRecord {
        let (trace_id, span_id) =
            (trace_id.map(|id| id.to_vec()).unwrap_or_default(), span_id.map(|id| id.to_vec()).unwrap_or_default());
        LogRecord {
            time_unix_nano, observed_time_unix_nano, severity_number, severity_text, body, attributes,
            dropped_attributes_count, flags, trace_id, span_id, event_name,
        }
    }
}

/// Characters that are long in JSON, or in a flattened text, are frequent.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.]{0,12}", "[\u{1}\"\\\\\n=é\u{2028}\u{7f}]{0,40}"]
}

fn any_pairs() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(any_pair(any_value()), 0..6)
}

fn any_pair(value: impl Strategy<Value = AnyValue>) -> impl Strategy<Value = KeyValue> {
    (any_text(), option::of(value)).prop_map(|(key, value)| KeyValue { key, value, key_strindex: 0 })
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = option::of(prop_oneof![
        any_text().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        proptest::num::f64::NORMAL.prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..16).prop_map(Value::BytesValue),
    ]);
    let leaf = leaf.prop_map(|value| AnyValue { value });
    leaf.prop_recursive(4, 24, 6, |inner| {
        let inner = inner.boxed();
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec(any_pair(inner), 0..6).prop_map(|values| Value::KvlistValue(KeyValueList { values })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}
