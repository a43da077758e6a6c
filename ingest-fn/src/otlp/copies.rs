//! Resource and scope. A request has them once for many records, and they are stored with each. So that a small request does
//! not store a lot, they are bounded: what does not fit loses its largest members, which are counted as OpenTelemetry counts
//! dropped attributes.

use std::cmp::Reverse;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use shared::limits::{OTLP_COPY_BYTES, OTLP_COPY_RATIO};

use super::record::{Attributes, Value, is_zero};

/// What a record has from around it, as JSON.
pub(super) struct Copied<'a> {
    pub(super) resource: &'a RawValue,
    pub(super) scope: &'a RawValue,
}

/// The bytes that each record of a request may have of copies.
pub(super) fn room(body_bytes: usize, records: usize) -> usize {
    OTLP_COPY_BYTES + OTLP_COPY_RATIO * body_bytes / records.max(1)
}

/// Three quarters of the room are the resource's.
pub(super) fn resource(logs: &ResourceLogs, room: usize) -> Box<RawValue> {
    let (attributes, dropped) = match &logs.resource {
        Some(resource) => (&resource.attributes[..], resource.dropped_attributes_count),
        None => Default::default(),
    };
    Around { name: "", version: "", schema_url: &logs.schema_url, attributes, dropped }.within(room / 4 * 3)
}

pub(super) fn scope(logs: &ScopeLogs, room: usize) -> Box<RawValue> {
    let (name, version, attributes, dropped) = match &logs.scope {
        Some(scope) => (&*scope.name, &*scope.version, &scope.attributes[..], scope.dropped_attributes_count),
        None => Default::default(),
    };
    Around { name, version, schema_url: &logs.schema_url, attributes, dropped }.within(room / 4)
}

/// A resource or a scope.
struct Around<'a> {
    name: &'a str,
    version: &'a str,
    schema_url: &'a str,
    attributes: &'a [KeyValue],
    dropped: u32,
}

#[derive(Serialize)]
struct AroundJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "Attributes::is_empty")]
    attributes: Attributes<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    schema_url: &'a str,
}

impl Around<'_> {
    /// As JSON of at most `room` bytes, which are several hundred.
    fn within(mut self, room: usize) -> Box<RawValue> {
        let whole = self.json(self.attributes);
        if whole.get().len() <= room {
            return whole;
        }
        // The attributes have the rest. A text longer than this is no name; JSON writes a byte with at most six.
        for text in [&mut self.name, &mut self.version, &mut self.schema_url] {
            if text.len() > room / 32 {
                (*text, self.dropped) = ("", self.dropped.saturating_add(1));
            }
        }
        let sizes: Vec<_> = self.attributes.iter().map(size).collect();
        let mut by_size: Vec<_> = (0..sizes.len()).collect();
        by_size.sort_by_key(|index| Reverse(sizes[*index]));
        let mut bytes = self.json(&[]).get().len() + EMPTY.len() + sizes.iter().sum::<usize>();
        let mut is_kept = vec![true; sizes.len()];
        for index in by_size {
            if bytes <= room {
                break;
            }
            bytes -= sizes[index];
            is_kept[index] = false;
            self.dropped = self.dropped.saturating_add(1);
        }
        let kept = self.attributes.iter().zip(is_kept).filter(|(_, is_kept)| *is_kept);
        let kept: Vec<_> = kept.map(|(attribute, _)| attribute.clone()).collect();
        self.json(&kept)
    }

    fn json(&self, attributes: &[KeyValue]) -> Box<RawValue> {
        let &Self { name, version, schema_url, dropped, .. } = self;
        let attributes = Attributes(attributes);
        let json = AroundJson { name, version, attributes, dropped_attributes_count: dropped, schema_url };
        to_raw_value(&json).expect("it always serialises")
    }
}

/// What there may be besides texts and attributes.
const EMPTY: &str = r#""attributes":{},"dropped_attributes_count":4294967295,"#;

/// The bytes of an attribute as a member, with its comma.
fn size(attribute: &KeyValue) -> usize {
    // As an array it has two brackets instead of the colon and the comma.
    let json = to_raw_value(&(&attribute.key, Value(attribute.value.as_ref())));
    json.expect("it always serialises").get().len()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use proptest::prelude::*;

    use super::*;
    use crate::otlp::samples::{any_request, pair};

    fn of(attributes: Vec<KeyValue>, room: usize) -> String {
        let logs = ResourceLogs {
            resource: Some(Resource { attributes, ..Resource::default() }),
            ..ResourceLogs::default()
        };
        resource(&logs, room).get().to_owned()
    }

    #[test]
    fn what_fits_is_whole_and_what_does_not_fit_loses_its_largest_attributes() {
        let attributes = vec![
            pair("process.command_line", &"-cp ".repeat(500)),
            pair("service.name", "checkout"),
            pair("process.command_args", &"x".repeat(1_000)),
            pair("host.name", "node-7"),
        ];
        assert!(of(attributes.clone(), 5_000).starts_with(r#"{"attributes":{"process.command_line":"-cp "#));
        let less = of(attributes.clone(), 2_500);
        assert!(
            less.contains("command_args") && less.ends_with(r#""dropped_attributes_count":1}"#),
            "{less}"
        );
        let least = of(attributes, 1_000);
        insta::assert_snapshot!(least, @r#"{"attributes":{"service.name":"checkout","host.name":"node-7"},"dropped_attributes_count":2}"#);
    }

    #[test]
    fn a_long_name_is_dropped_too() {
        let scope_of = |name: String| InstrumentationScope {
            name,
            version: "1".to_owned(),
            ..InstrumentationScope::default()
        };
        let of = |name: &str, count| {
            scope(&ScopeLogs { scope: Some(scope_of(name.repeat(count))), ..ScopeLogs::default() }, 2_048)
                .get()
                .to_owned()
        };
        insta::assert_snapshot!(of("a", 3), @r#"{"name":"aaa","version":"1"}"#);
        insta::assert_snapshot!(of("a", 5_000), @r#"{"version":"1","dropped_attributes_count":1}"#);
    }

    proptest! {
        #[test]
        fn no_copy_is_larger_than_its_room(request in any_request(), room in OTLP_COPY_BYTES..4_000) {
            for logs in &request.resource_logs {
                prop_assert!(resource(logs, room).get().len() <= room / 4 * 3);
                for logs in &logs.scope_logs {
                    prop_assert!(scope(logs, room).get().len() <= room / 4);
                }
            }
        }
    }
}
