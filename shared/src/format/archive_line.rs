//! A line of an archive object: an event as analysts read it, after the transform, with the origin that it is archived
//! from. Readers that need only a few members of many lines use a smaller struct: [`Owner`], [`Identity`], or
//! [`ShardPosition`](crate::origin::ShardPosition).

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, de};

use super::Column;
use super::claim_check::ClaimCheck;
use super::facts::{Facts, line_with_facts};
use super::line_writer::LineWriter;
use crate::fields::Fields;
use crate::id::{AdmissionId, EventId, TenantId};
use crate::origin::Origin;
use crate::tier::Tier;
use crate::time::Timestamp;

const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveLine<'a> {
    pub facts: Cow<'a, Facts>,
    pub processed_at: Timestamp,
    pub origin: Cow<'a, Origin>,
    /// The transformed text. Empty in a head.
    pub text: Cow<'a, str>,
    /// The client's other members and the configured constants. Empty in a head.
    pub fields: Cow<'a, Fields>,
    /// The text as it came in, with `archive.content = "both"`.
    pub original_text: Option<Cow<'a, str>>,
    /// Where the whole line is stored, if it is too large for an archive object. The line is then written as a head.
    pub claim_check: Option<ClaimCheck>,
}

line_with_facts!(Line {
    processed_at: Timestamp,
    text: Option<String>,
    #[serde(default)]
    fields: Fields,
    shard: Arc<str>,
    sequence_number: Arc<str>,
    position: u32,
    original_text: Option<String>,
    claim_check: Option<ClaimCheck>,
});

impl ArchiveLine<'_> {
    pub const COLUMNS: &'static [Column] = &[
        ("v", "int", ""),
        ("id", "string", ""),
        ("admission_id", "string", ""),
        ("tenant", "string", ""),
        ("tier", "string", ""),
        ("source", "string", ""),
        ("received_at", "string", "RFC 3339, UTC"),
        ("event_time", "string", ""),
        ("processed_at", "string", ""),
        ("text", "string", ""),
        ("fields", "string", "JSON: every other member that the client sent"),
        ("shard", "string", ""),
        ("sequence_number", "string", ""),
        ("position", "int", ""),
        ("original_text", "string", ""),
        ("claim_check", "string", "JSON: where a line too large for an object is stored"),
        ("trace", "string", "the `traceparent` header of the request"),
    ];

    /// The line with its newline: the head, if it has a claim check.
    pub fn to_bytes(&self) -> Vec<u8> {
        let original_bytes = self.original_text.as_ref().map_or(0, |text| text.len());
        let bytes = Facts::BYTES + self.text.len() + self.fields.as_json().len() + original_bytes;
        let mut line = LineWriter::with_capacity(bytes);
        self.facts.write_first(VERSION, &mut line);
        line.text("processed_at", self.processed_at.written().as_str());
        if self.claim_check.is_none() {
            line.text("text", &self.text);
            if !self.fields.is_empty() {
                line.json("fields", self.fields.as_json());
            }
        }
        line.text("shard", &self.origin.shard);
        line.text("sequence_number", &self.origin.sequence_number);
        line.value("position", &self.origin.position);
        match (&self.claim_check, &self.original_text) {
            (Some(claim_check), _) => line.value("claim_check", claim_check),
            (None, Some(original)) => line.text("original_text", original),
            (None, None) => {}
        }
        self.facts.write_last(&mut line);
        let mut bytes = line.finish();
        bytes.push(b'\n');
        bytes
    }
}

impl<'de> Deserialize<'de> for ArchiveLine<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = Line::deserialize(deserializer)?;
        let parts = line.into_parts(VERSION).map_err(de::Error::custom)?;
        let (facts, processed_at, text, fields, shard, sequence_number, position, original_text, claim_check) =
            parts;
        if text.is_some() == claim_check.is_some() {
            return Err(de::Error::custom("an archive line has one of `text` and `claim_check`"));
        }
        Ok(Self {
            facts: Cow::Owned(facts),
            processed_at,
            origin: Cow::Owned(Origin { shard, sequence_number, position }),
            text: Cow::Owned(text.unwrap_or_default()),
            fields: Cow::Owned(fields),
            original_text: original_text.map(Cow::Owned),
            claim_check,
        })
    }
}

/// Readers choose lines by this.
#[derive(Debug, Deserialize)]
pub struct Owner {
    pub tenant: TenantId,
    pub received_at: Timestamp,
}

/// Which event a line is, and where it was on the stream.
#[derive(Debug, Deserialize)]
pub struct Identity {
    pub id: EventId,
    pub admission_id: AdmissionId,
    pub tenant: TenantId,
    pub tier: Tier,
    pub received_at: Timestamp,
    shard: Arc<str>,
    sequence_number: Arc<str>,
    position: u32,
    claim_check: Option<IgnoredAny>,
}

impl Identity {
    /// Whether the line's text is stored apart.
    pub fn is_head(&self) -> bool {
        self.claim_check.is_some()
    }

    pub fn origin(&self) -> Origin {
        let (shard, sequence_number) = (self.shard.clone(), self.sequence_number.clone());
        Origin { shard, sequence_number, position: self.position }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::ShardPosition;

    /// These bytes were in archives on 21 November 2026.
    const GOLDEN: &str = r#"{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50.234200Z","processed_at":"2026-11-21T09:30:02.000Z","text":"User [REDACTED]","fields":{"b":1.0},"shard":"shardId-000000000000","sequence_number":"95","position":0,"original_text":"User 555-0199"}"#;

    #[test]
    fn golden_lines_are_read_and_written_to_the_same_bytes() {
        let traced = GOLDEN.replace("0199\"}", "0199\",\"trace\":\"00-4bf9-00f0-01\"}");
        let head = r#""claim_check":{"key":"texts/acme/123/ab","parts":2,"bytes":9000000,"sha256":"ab","line_bytes":12000000,"content_hash":"cd"}"#;
        let head = GOLDEN.replace(r#""original_text":"User 555-0199""#, head);
        let head = head.replace(r#""text":"User [REDACTED]","fields":{"b":1.0},"#, "");
        for golden in [GOLDEN, &traced, &head] {
            let line: ArchiveLine<'_> = serde_json::from_str(golden).unwrap();
            assert_eq!(String::from_utf8(line.to_bytes()).unwrap(), format!("{golden}\n"));
        }
        let line: ArchiveLine<'_> = serde_json::from_str(&traced).unwrap();
        assert_eq!(line.facts.trace.as_deref(), Some("00-4bf9-00f0-01"));
    }

    #[test]
    fn the_smaller_structs_agree_with_the_whole_line() {
        let line: ArchiveLine<'_> = serde_json::from_str(GOLDEN).unwrap();
        let owner: Owner = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!((&owner.tenant, owner.received_at), (&line.facts.tenant, line.facts.received_at));
        let identity: Identity = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!((identity.origin(), &identity.id), (line.origin.clone().into_owned(), &line.facts.id));
        let position: ShardPosition = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(position, ShardPosition::from(line.origin.as_ref()));
    }
}
