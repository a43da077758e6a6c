//! The memory that a body would take when it is decoded, besides its texts: the sum of its structures. Two bytes of a body can
//! be a structure of 248, so it is found before anything is decoded. What cannot be decoded is not counted further.

use std::mem::size_of;

use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use shared::json::end_of_string;

use super::Encoding;

pub(super) fn decoded(encoding: Encoding, body: &[u8]) -> usize {
    match encoding {
        Encoding::Protobuf => protobuf(Message::Request, body, MESSAGES_DEEP),
        Encoding::Json => json(body),
    }
}

/// `prost` decodes no deeper.
const MESSAGES_DEEP: usize = 100;

/// A message that has others in it, or strings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Request,
    ResourceLogs,
    Resource,
    EntityRef,
    ScopeLogs,
    Scope,
    LogRecord,
    KeyValue,
    AnyValue,
    ArrayValue,
    KeyValueList,
}

impl Message {
    /// The message in the field `tag`, and the bytes that it takes besides those of the message around it.
    fn field(self, tag: u32) -> Option<(Self, usize)> {
        Some(match (self, tag) {
            (Self::Request, 1) => (Self::ResourceLogs, size_of::<ResourceLogs>()),
            (Self::ResourceLogs, 1) => (Self::Resource, 0),
            (Self::ResourceLogs, 2) => (Self::ScopeLogs, size_of::<ScopeLogs>()),
            (Self::Resource, 3) => (Self::EntityRef, size_of::<EntityRef>()),
            (Self::ScopeLogs, 1) => (Self::Scope, 0),
            (Self::ScopeLogs, 2) => (Self::LogRecord, size_of::<LogRecord>()),
            (Self::LogRecord, 5) | (Self::KeyValue, 2) => (Self::AnyValue, 0),
            (Self::LogRecord, 6) | (Self::Resource | Self::KeyValueList, 1) | (Self::Scope, 3) => {
                (Self::KeyValue, size_of::<KeyValue>())
            }
            (Self::AnyValue, 5) => (Self::ArrayValue, 0),
            (Self::AnyValue, 6) => (Self::KeyValueList, 0),
            (Self::ArrayValue, 1) => (Self::AnyValue, size_of::<AnyValue>()),
            _ => return None,
        })
    }
}

fn protobuf(message: Message, mut bytes: &[u8], deep: usize) -> usize {
    let mut sum = 0;
    while let Ok((tag, wire_type)) = decode_key(&mut bytes) {
        let is_length_delimited = wire_type == WireType::LengthDelimited;
        let Some((inner, own)) = message.field(tag).filter(|_| is_length_delimited) else {
            // Only these have repeated strings.
            sum += if message == Message::EntityRef { size_of::<String>() } else { 0 };
            match skip_field(wire_type, tag, &mut bytes, DecodeContext::default()) {
                Ok(()) => continue,
                Err(_) => break,
            }
        };
        let length = decode_varint(&mut bytes).ok().and_then(|length| usize::try_from(length).ok());
        let Some((field, rest)) = length.and_then(|length| bytes.split_at_checked(length)) else { break };
        sum += own + deep.checked_sub(1).map_or(0, |deep| protobuf(inner, field, deep));
        bytes = rest;
    }
    sum
}

/// In JSON a structure is what a bracket opens. Log records are at one depth, at which else only values of a resource's attributes
/// are: `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{`.
const RECORD_DEPTH: usize = 7;

fn json(bytes: &[u8]) -> usize {
    let (mut at, mut depth, mut sum) = (0, 0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        at = if *byte == b'"' { end_of_string(bytes, at) } else { at + 1 };
        match byte {
            b'{' | b'[' => {
                depth += 1;
                sum += match depth {
                    ..RECORD_DEPTH => size_of::<ScopeLogs>(),
                    RECORD_DEPTH => size_of::<LogRecord>(),
                    _ => size_of::<KeyValue>(),
                };
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::otlp::samples::any_request;

    /// The same by another way: of the decoded request.
    fn of(request: &ExportLogsServiceRequest) -> usize {
        let resources = request.resource_logs.iter().map(|logs| {
            let resource = logs.resource.as_ref().map_or(0, |resource| pairs(&resource.attributes));
            let scopes = logs.scope_logs.iter().map(|logs| {
                let scope = logs.scope.as_ref().map_or(0, |scope| pairs(&scope.attributes));
                let record = |record: &LogRecord| {
                    size_of::<LogRecord>() + pairs(&record.attributes) + record.body.as_ref().map_or(0, value)
                };
                size_of::<ScopeLogs>() + scope + logs.log_records.iter().map(record).sum::<usize>()
            });
            size_of::<ResourceLogs>() + resource + scopes.sum::<usize>()
        });
        resources.sum()
    }

    fn pairs(pairs: &[KeyValue]) -> usize {
        pairs.iter().map(|pair| size_of::<KeyValue>() + pair.value.as_ref().map_or(0, value)).sum()
    }

    fn value(of: &AnyValue) -> usize {
        match &of.value {
            Some(Value::ArrayValue(array)) => {
                array.values.iter().map(|element| size_of::<AnyValue>() + value(element)).sum()
            }
            Some(Value::KvlistValue(list)) => pairs(&list.values),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn the_size_is_known_before_decoding(request in any_request()) {
            prop_assert_eq!(decoded(Encoding::Protobuf, &request.encode_to_vec()), of(&request));
            prop_assert!(decoded(Encoding::Json, &serde_json::to_vec(&request).unwrap()) >= of(&request));
        }

        #[test]
        fn any_bytes_have_a_size(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            decoded(Encoding::Protobuf, &bytes);
            decoded(Encoding::Json, &bytes);
        }
    }

    #[test]
    fn small_parts_in_great_number_are_seen_in_both_encodings() {
        let records = |count| [&[0x12, 0][..]].concat().repeat(count);
        let scope = |inner: &[u8]| [&[0x12][..], &varint(inner.len()), inner].concat();
        let request = |inner: &[u8]| [&[0x0a][..], &varint(inner.len()), inner].concat();
        let body = request(&scope(&records(1_000)));
        assert_eq!(
            ExportLogsServiceRequest::decode(&body[..]).unwrap().resource_logs[0].scope_logs[0]
                .log_records
                .len(),
            1_000
        );
        assert!(decoded(Encoding::Protobuf, &body) >= 1_000 * size_of::<LogRecord>());
        // After a group, which is skipped.
        let body = [&[0x7b, 0x08, 1, 0x7c][..], &body].concat();
        assert!(decoded(Encoding::Protobuf, &body) >= 1_000 * size_of::<LogRecord>());
        // A message may also be written as an array of its members, which serde reads.
        for record in ["{}", "[]"] {
            let body = format!(
                r#"{{"x":"}}}}]","resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}]}}]}}]}}"#,
                [record; 1_000].join(",")
            );
            assert!(decoded(Encoding::Json, body.as_bytes()) >= 1_000 * size_of::<LogRecord>());
        }
    }

    fn varint(number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(number as u64, &mut bytes);
        bytes
    }
}
