//! An event between ingest and the consumer, as one line of JSON.

use serde::{Deserialize, Deserializer, de};

use super::claim_check::{ClaimCheck, Part};
use super::content_hash;
use super::facts::{Facts, line_with_facts};
use super::key;
use super::line_writer::LineWriter;
use crate::fields::Fields;
use crate::gzip::{self, Level};
use crate::origin::Origin;

/// The version of the line. A reader takes this one and those before it.
pub const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub facts: Facts,
    /// The flat text. Empty as long as the event is a head.
    pub text: String,
    /// The client's other members. Empty as long as the event is a head.
    pub fields: Fields,
    /// The text was made from the fields. So it has nothing that they do not have, but their spelling.
    pub is_flattened: bool,
    /// A header, or a CloudEvent's source and id, names the message itself, not its content: another event with this id is the
    /// same again, whatever else changed.
    pub is_message: bool,
    /// Where the whole line is stored, if it is too large for a record. Such an event is written as a head, also after
    /// the consumer has filled in text and fields.
    pub claim_check: Option<ClaimCheck>,
    /// Every origin that the event had before it was redriven; empty if it comes from ingest. If its item names one of them, the
    /// consumer makes the item name the new origin.
    pub redrive_of: Vec<Origin>,
}

impl Event {
    /// What is known of an event if its text is elsewhere.
    pub fn of_facts(facts: Facts) -> Self {
        let (text, fields) = (String::new(), Fields::empty());
        let (is_flattened, is_message) = (false, false);
        Self { facts, text, fields, is_flattened, is_message, claim_check: None, redrive_of: Vec::new() }
    }

    /// The event as one line of JSON, without the newline: the head, if it has a claim check.
    pub fn line(&self) -> Vec<u8> {
        let mut line =
            LineWriter::with_capacity(Facts::BYTES + self.text.len() + self.fields.as_json().len());
        self.facts.write_first(VERSION, &mut line);
        if self.claim_check.is_none() {
            line.text("text", &self.text);
            if !self.fields.is_empty() {
                line.json("fields", self.fields.as_json());
            }
        }
        if self.is_flattened {
            line.json("flattened", "true");
        }
        if self.is_message {
            line.json("message", "true");
        }
        if let Some(claim_check) = &self.claim_check {
            line.value("claim_check", claim_check);
        }
        if !self.redrive_of.is_empty() {
            line.value("redrive_of", &self.redrive_of);
        }
        self.facts.write_last(&mut line);
        line.finish()
    }

    /// What decides whether two events with the same id are the same event ([`content_hash::is_same`]).
    pub fn content_hash(&self) -> String {
        match &self.claim_check {
            Some(claim_check) => claim_check.content_hash.clone(),
            None => content_hash::of(self),
        }
    }

    /// Makes the event the head of `line`, its own line. Gives the parts to store.
    pub fn check_in(&mut self, line: &[u8]) -> Vec<Part> {
        self.check_in_compressed(gzip::compress(line, Level::FAST), line.len())
    }

    /// The same, of a line of `line_bytes` that is compressed already.
    pub fn check_in_compressed(&mut self, stored: Vec<u8>, line_bytes: usize) -> Vec<Part> {
        let key = |sha256: &str| key::claim(&self.facts.tenant, &self.facts.id, sha256);
        let (claim_check, parts) = ClaimCheck::new(stored, line_bytes, self.content_hash(), key);
        (self.text, self.fields, self.claim_check) = (String::new(), Fields::empty(), Some(claim_check));
        parts
    }
}

line_with_facts!(Line {
    text: Option<String>,
    #[serde(default)]
    fields: Fields,
    #[serde(default)]
    flattened: bool,
    #[serde(default)]
    message: bool,
    claim_check: Option<ClaimCheck>,
    #[serde(default)]
    redrive_of: Vec<Origin>,
});

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = Line::deserialize(deserializer)?;
        let (facts, text, fields, is_flattened, is_message, claim_check, redrive_of) =
            line.into_parts(VERSION).map_err(de::Error::custom)?;
        if text.is_some() == claim_check.is_some() {
            return Err(de::Error::custom("an event has one of `text` and `claim_check`"));
        }
        Ok(Self {
            facts,
            text: text.unwrap_or_default(),
            fields: if claim_check.is_some() { Fields::empty() } else { fields },
            is_flattened,
            is_message,
            claim_check,
            redrive_of,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes were on streams on 21 November 2026. They decode for as long as there are streams.
    const GOLDEN: &str = r#"{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50.234200Z","text":"User 555-0199","fields":{"b":1.0,"a":[1e2]},"trace":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;
    const GOLDEN_HEAD: &str = r#"{"v":1,"id":"big","admission_id":"019aa553-4a00-7000-8000-000000000002","tenant":"acme","tier":"free","source":"text_upload","received_at":"2026-11-21T09:30:00.123Z","claim_check":{"key":"claims/acme/big/ab","parts":2,"bytes":9000000,"sha256":"ab","line_bytes":12000000,"content_hash":"cd"}}"#;

    /// From a header that names the message; the text was made from the fields. First written on 27 November 2026.
    const GOLDEN_MESSAGE: &str = r#"{"v":1,"id":"msg_1","admission_id":"019aa553-4a00-7000-8000-000000000004","tenant":"acme","tier":"pro","source":"webhook","received_at":"2026-11-27T09:30:00.123Z","text":"id=7","fields":{"id":7},"flattened":true,"message":true}"#;
    const GOLDEN_REDRIVEN: &str = r#"{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000003","tenant":"acme","tier":"pro","source":"webhook","received_at":"2026-11-21T09:30:00.123Z","text":"hello","redrive_of":[{"shard":"shardId-000000000002","sequence_number":"49590338271490256608559692538361571095921575989136588898","position":3},{"shard":"shardId-000000000004","sequence_number":"49590338271490256608559692538361571095921575989136588899","position":0}]}"#;

    #[test]
    fn golden_lines_decode_and_encode_to_the_same_bytes() {
        for golden in [GOLDEN, GOLDEN_HEAD, GOLDEN_REDRIVEN, GOLDEN_MESSAGE] {
            let event: Event = serde_json::from_str(golden).unwrap();
            assert_eq!(String::from_utf8(event.line()).unwrap(), golden);
        }
        let redriven: Event = serde_json::from_str(GOLDEN_REDRIVEN).unwrap();
        assert_eq!(redriven.redrive_of[0].position, 3);
        assert_eq!(serde_json::from_str::<Event>(GOLDEN).unwrap().redrive_of, []);
    }

    #[test]
    fn a_member_from_a_newer_writer_is_ignored() {
        let line = GOLDEN.replacen("{\"v\":1", "{\"v\":1,\"later\":{\"x\":[1]}", 1);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), serde_json::from_str(GOLDEN).unwrap());
    }

    #[test]
    fn a_foreign_line_that_some_reader_could_not_read_is_made_readable_or_refused() {
        let foreign = |from, to| serde_json::from_str::<Event>(&GOLDEN.replace(from, to));
        let event = foreign(r#""b":1.0"#, r#""a":{"b":1,"b":2},"b":1e400"#).unwrap();
        assert_eq!(event.fields.as_json(), r#"{"b":"1e400","a":[1e2]}"#);
        let error = foreign("01:42:50.234200Z", "01:42:60Z").unwrap_err().to_string();
        assert!(error.contains("`2024-01-11T01:42:60Z` is not an RFC 3339 time"), "{error}");
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let line = GOLDEN.replacen("\"v\":1", "\"v\":2", 1);
        let error = serde_json::from_str::<Event>(&line).unwrap_err().to_string();
        assert!(error.contains("version 2 is newer than 1"), "{error}");
    }

    #[test]
    fn a_line_has_a_text_or_a_claim_check() {
        let neither = GOLDEN.replacen("\"text\":\"User 555-0199\",", "", 1);
        assert!(serde_json::from_str::<Event>(&neither).is_err());
        let both = GOLDEN_HEAD.replacen("\"claim_check\"", "\"text\":\"x\",\"claim_check\"", 1);
        assert!(serde_json::from_str::<Event>(&both).is_err());
    }
}
