//! A line of an archive object: an event as analysts read it, after the transform, with the origin that it is archived
//! from. Readers that need only a few members of many lines use a smaller struct: [`Owner`], [`Identity`], or
//! [`ShardPosition`](crate::origin::ShardPosition).

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Column;
use super::claim_check::ClaimCheck;
use super::facts::{Facts, line_with_facts};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    fields: Cow<'a, Fields>,
    shard: Arc<str>,
    sequence_number: Arc<str>,
    position: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim_check: Option<Cow<'a, ClaimCheck>>,
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
        let mut bytes = serde_json::to_vec(self).expect("a line always serialises");
        bytes.push(b'\n');
        bytes
    }
}

impl Serialize for ArchiveLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (text, fields, original_text) = match self.claim_check {
            None => (Some((&*self.text).into()), Cow::Borrowed(&*self.fields), self.original_text.as_deref()),
            Some(_) => (None, Cow::default(), None),
        };
        let line = Line::new(
            VERSION,
            &self.facts,
            (
                self.processed_at,
                text,
                fields,
                self.origin.shard.clone(),
                self.origin.sequence_number.clone(),
                self.origin.position,
                original_text.map(Cow::Borrowed),
                self.claim_check.as_ref().map(Cow::Borrowed),
            ),
        );
        line.serialize(serializer)
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
            text: text.unwrap_or_default(),
            fields,
            original_text,
            claim_check: claim_check.map(Cow::into_owned),
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
            assert_eq!(serde_json::to_string(&line).unwrap(), golden);
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
