//! A line of a quarantine object: bytes that cannot be processed, the reason, and their origin on the stream.

use serde::{Deserialize, Serialize};

use super::Column;
use crate::id::{EventId, TenantId};
use crate::origin::Origin;
use crate::time::Timestamp;

/// Names are on disk: never renamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineLine {
    /// The stable name of the reason.
    pub reason: String,
    /// The reason in words, for people.
    pub detail: String,
    /// `None` where the bytes could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
    #[serde(flatten)]
    pub origin: Origin,
    /// When the record arrived on the stream.
    pub arrival: Timestamp,
    pub partition_key: Option<String>,
    /// The line, or the whole record where it could not be cut into lines. On disk as base64.
    #[serde(with = "base64")]
    pub bytes: Vec<u8>,
    /// The trace header of the event's request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl QuarantineLine {
    pub const COLUMNS: &'static [Column] = &[
        ("reason", "string", ""),
        ("detail", "string", ""),
        ("tenant", "string", ""),
        ("id", "string", ""),
        ("shard", "string", ""),
        ("sequence_number", "string", ""),
        ("position", "int", ""),
        ("arrival", "string", ""),
        ("partition_key", "string", ""),
        ("bytes", "string", "base64"),
        ("trace", "string", "the `traceparent` header of the request"),
    ];

    /// The lines of a quarantine object.
    pub fn read_all(object: &[u8]) -> Result<Vec<Self>, serde_json::Error> {
        Self::read_each(object).collect()
    }

    /// The same, where one line that cannot be read does not hide the others.
    pub fn read_each(object: &[u8]) -> impl Iterator<Item = Result<Self, serde_json::Error>> + '_ {
        let lines = object.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(serde_json::from_slice)
    }
}

mod base64 {
    use std::borrow::Cow;

    use base64_simd::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode_to_string(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        STANDARD.decode_to_vec(text.as_bytes()).map_err(|_| de::Error::custom("its bytes are not base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes were in buckets on 21 November 2026.
    const GOLDEN: &str = r#"{"reason":"unrecognised","detail":"the record is neither","shard":"shardId-000000000000","sequence_number":"4951","position":0,"arrival":"2026-11-21T09:30:00.123Z","partition_key":"t0","bytes":"AHBvaXNvbg=="}"#;

    #[test]
    fn golden_lines_are_read_and_written_to_the_same_bytes() {
        let lines = QuarantineLine::read_all(format!("{GOLDEN}\n{GOLDEN}\n").as_bytes()).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].origin.to_string(), "shardId-000000000000:4951:0");
        assert_eq!((&lines[0].bytes[..], &lines[0].tenant), (&b"\x00poison"[..], &None));
        assert_eq!(serde_json::to_string(&lines[0]).unwrap(), GOLDEN);
        assert!(QuarantineLine::read_all(b"{}\n").is_err());
    }
}
