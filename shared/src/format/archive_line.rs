//! A line of an archive object: an event as analysts read it, after the transform, with the origin that it is archived
//! from. Readers that need only a few members of many lines read them with a smaller struct below.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::claim_check::BlobRef;
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
    /// The transformed text.
    pub text: Option<Cow<'a, str>>,
    pub text_ref: Option<Cow<'a, BlobRef>>,
    pub fields: Cow<'a, Fields>,
    pub fields_ref: Option<Cow<'a, BlobRef>>,
    /// The text as it came in, with `archive.content = "both"`.
    pub original_text: Option<Cow<'a, str>>,
    pub original_ref: Option<Cow<'a, BlobRef>>,
}

line_with_facts!(Line {
    processed_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_ref: Option<Cow<'a, BlobRef>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    fields: Cow<'a, Fields>,
    shard: Arc<str>,
    sequence_number: Arc<str>,
    position: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields_ref: Option<Cow<'a, BlobRef>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_ref: Option<Cow<'a, BlobRef>>,
});

fn is_empty(fields: &Fields) -> bool {
    fields.is_empty()
}

fn borrowed<'a, T: ToOwned + ?Sized>(value: Option<&'a Cow<'_, T>>) -> Option<Cow<'a, T>> {
    value.map(|value| Cow::Borrowed(&**value))
}

impl Serialize for ArchiveLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let line = Line::new(
            VERSION,
            &self.facts,
            self.processed_at,
            borrowed(self.text.as_ref()),
            borrowed(self.text_ref.as_ref()),
            Cow::Borrowed(&self.fields),
            self.origin.shard.clone(),
            self.origin.sequence_number.clone(),
            self.origin.position,
            borrowed(self.fields_ref.as_ref()),
            borrowed(self.original_text.as_ref()),
            borrowed(self.original_ref.as_ref()),
        );
        line.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ArchiveLine<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = Line::deserialize(deserializer)?;
        let parts = line.into_parts(VERSION).map_err(de::Error::custom)?;
        let (
            facts,
            processed_at,
            text,
            text_ref,
            fields,
            shard,
            sequence_number,
            position,
            fields_ref,
            original_text,
            original_ref,
        ) = parts;
        Ok(Self {
            facts: Cow::Owned(facts),
            processed_at,
            origin: Cow::Owned(Origin { shard, sequence_number, position }),
            text,
            text_ref,
            fields,
            fields_ref,
            original_text,
            original_ref,
        })
    }
}

/// What a line is chosen by.
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
}

impl Identity {
    pub fn origin(&self) -> Origin {
        let (shard, sequence_number) = (self.shard.clone(), self.sequence_number.clone());
        Origin { shard, sequence_number, position: self.position }
    }
}

/// A line's position on the shard that its object is of.
#[derive(Debug, Deserialize, PartialEq, Eq, Hash)]
pub struct Position {
    sequence_number: Arc<str>,
    position: u32,
}

impl Position {
    pub fn of(origin: &Origin) -> Self {
        Self { sequence_number: origin.sequence_number.clone(), position: origin.position }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes were in archives on 21 November 2026.
    const GOLDEN: &str = r#"{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50.234200Z","processed_at":"2026-11-21T09:30:02.000Z","text":"User [REDACTED]","fields":{"b":1.0},"shard":"shardId-000000000000","sequence_number":"95","position":0,"original_text":"User 555-0199"}"#;

    #[test]
    fn golden_lines_are_read_and_written_to_the_same_bytes() {
        let traced = GOLDEN.replace("0199\"}", "0199\",\"trace\":\"00-4bf9-00f0-01\"}");
        for golden in [GOLDEN, &traced] {
            let line: ArchiveLine<'_> = serde_json::from_str(golden).unwrap();
            assert_eq!(serde_json::to_string(&line).unwrap(), golden);
        }
        let line: ArchiveLine<'_> = serde_json::from_str(&traced).unwrap();
        assert_eq!(line.facts.trace.as_deref(), Some("00-4bf9-00f0-01"));
    }

    #[test]
    fn the_smaller_structs_read_what_the_whole_line_says() {
        let line: ArchiveLine<'_> = serde_json::from_str(GOLDEN).unwrap();
        let owner: Owner = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!((&owner.tenant, owner.received_at), (&line.facts.tenant, line.facts.received_at));
        let identity: Identity = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!((identity.origin(), &identity.id), (line.origin.clone().into_owned(), &line.facts.id));
        let position: Position = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(position, Position::of(&line.origin));
    }
}
