//! The one form of an event between ingest and the consumer, and its line of JSON.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::claim_check::BlobRef;
use super::facts::{Facts, line_with_facts};
use crate::fields::Fields;
use crate::origin::Origin;

/// The version of the line. A reader takes this one and those before it.
pub const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub facts: Facts,
    pub text: Text,
    /// The client's other members.
    pub fields: Fields,
    /// Where the other members are stored if they are too large for the stream; `fields` is empty then.
    pub fields_ref: Option<BlobRef>,
    /// Every origin that the event had before it was redriven. The consumer takes its item over from the one that the
    /// item names. Empty when it comes from ingest.
    pub redrive_of: Vec<Origin>,
}

/// The flat text of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    Inline(String),
    /// Too large for the stream: it is on S3.
    Ref(BlobRef),
}

/// An event's line and its partition key: what is put on the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingLine {
    pub partition_key: String,
    /// Without its newline ([`Event::line`]).
    pub line: Bytes,
}

impl Event {
    /// The event as one line of JSON, without the newline.
    pub fn line(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an event always serialises")
    }
}

line_with_facts!(Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_ref: Option<Cow<'a, BlobRef>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    fields: Cow<'a, Fields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields_ref: Option<Cow<'a, BlobRef>>,
    #[serde(default, skip_serializing_if = "<[Origin]>::is_empty")]
    redrive_of: Cow<'a, [Origin]>,
});

fn is_empty(fields: &Fields) -> bool {
    fields.is_empty()
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (text, text_ref) = match &self.text {
            Text::Inline(text) => (Some(text.into()), None),
            Text::Ref(blob) => (None, Some(Cow::Borrowed(blob))),
        };
        let fields = Cow::Borrowed(&self.fields);
        let fields_ref = self.fields_ref.as_ref().map(Cow::Borrowed);
        let redrive_of = Cow::Borrowed(&self.redrive_of[..]);
        Line::new(VERSION, &self.facts, text, text_ref, fields, fields_ref, redrive_of).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = Line::deserialize(deserializer)?;
        let (facts, text, text_ref, fields, fields_ref, redrive_of) =
            line.into_parts(VERSION).map_err(de::Error::custom)?;
        let text = match (text, text_ref) {
            (Some(text), None) => Text::Inline(text.into_owned()),
            (None, Some(blob)) => Text::Ref(blob.into_owned()),
            _ => return Err(de::Error::custom("an event has one of `text` and `text_ref`")),
        };
        Ok(Self {
            facts,
            text,
            fields: fields.into_owned(),
            fields_ref: fields_ref.map(Cow::into_owned),
            redrive_of: redrive_of.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes were on streams on 21 November 2026. They decode for as long as there are streams.
    const GOLDEN: &str = r#"{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50.234200Z","text":"User 555-0199","fields":{"b":1.0,"a":[1e2]},"trace":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;
    const GOLDEN_BY_REFERENCE: &str = r#"{"v":1,"id":"big","admission_id":"019aa553-4a00-7000-8000-000000000002","tenant":"acme","tier":"free","source":"text_upload","received_at":"2026-11-21T09:30:00.123Z","text_ref":{"key":"payloads/acme/big/ab","parts":2,"bytes":10000000,"sha256":"ab"},"fields_ref":{"key":"payloads/acme/big/cd","parts":1,"bytes":4,"sha256":"cd"}}"#;

    const GOLDEN_REDRIVEN: &str = r#"{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000003","tenant":"acme","tier":"pro","source":"webhook","received_at":"2026-11-21T09:30:00.123Z","text":"hello","redrive_of":[{"shard":"shardId-000000000002","sequence_number":"49590338271490256608559692538361571095921575989136588898","position":3},{"shard":"shardId-000000000004","sequence_number":"49590338271490256608559692538361571095921575989136588899","position":0}]}"#;

    #[test]
    fn golden_lines_decode_and_encode_to_the_same_bytes() {
        for golden in [GOLDEN, GOLDEN_BY_REFERENCE, GOLDEN_REDRIVEN] {
            let event: Event = serde_json::from_str(golden).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), golden);
        }
        let redriven: Event = serde_json::from_str(GOLDEN_REDRIVEN).unwrap();
        assert_eq!(redriven.redrive_of[0].position, 3);
        assert_eq!(serde_json::from_str::<Event>(GOLDEN).unwrap().redrive_of, []);
    }

    #[test]
    fn a_member_from_a_newer_writer_is_passed_over() {
        let line = GOLDEN.replacen("{\"v\":1", "{\"v\":1,\"later\":{\"x\":[1]}", 1);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), serde_json::from_str(GOLDEN).unwrap());
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let line = GOLDEN.replacen("\"v\":1", "\"v\":2", 1);
        let error = serde_json::from_str::<Event>(&line).unwrap_err().to_string();
        assert!(error.contains("version 2 is newer than 1"), "{error}");
    }

    #[test]
    fn a_line_has_a_text_or_a_reference_to_it() {
        let neither = GOLDEN.replacen("\"text\":\"User 555-0199\",", "", 1);
        assert!(serde_json::from_str::<Event>(&neither).is_err());
    }
}
