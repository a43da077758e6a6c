//! The one event form, from the door to the archive, and its line of JSON.

use std::fmt;

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::blob::BlobRef;
use crate::fields::Fields;
use crate::id::{AdmissionId, EventId, TenantId};
use crate::origin::Origin;
use crate::tier::Tier;
use crate::time::Timestamp;

/// The version of the event's line. A reader takes this one and those before it; what is newer it refuses by name,
/// so consumers are deployed before producers.
pub const VERSION: u32 = 1;

/// One event of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The client's id, or ours where it gave none. Unique within the tenant.
    pub id: EventId,
    /// Which admission this is: the same one again is our own resend.
    pub admission_id: AdmissionId,
    /// Who it belongs to.
    pub tenant: TenantId,
    /// The tier that the request named.
    pub tier: Tier,
    /// How it came in.
    pub source: Source,
    /// When the door had it.
    pub received_at: Timestamp,
    /// When it happened, by the client.
    pub event_time: Option<EventTime>,
    /// The flat text, or where it lies.
    pub text: Text,
    /// The client's other members.
    pub fields: Fields,
    /// Where the other members lie when they are too large for the stream; `fields` is empty then.
    pub fields_ref: Option<BlobRef>,
    /// The W3C `traceparent` or X-Ray trace header of the request.
    pub trace: Option<String>,
    /// Every place where it lay before, if it was brought back from where it had failed: whoever stores it takes its
    /// item over from the one that the item names. Empty as it comes from the door.
    pub redrive_of: Vec<Origin>,
}

/// The flat text of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// The text itself.
    Inline(String),
    /// Too large for the stream: it lies on S3.
    Ref(BlobRef),
}

/// How an event came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// JSON over HTTP, or a foreign producer's JSON on the stream.
    JsonUpload,
    /// `text/plain` over HTTP.
    TextUpload,
    /// The webhook path.
    Webhook,
}

impl Source {
    /// The name it is stored under.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonUpload => "json_upload",
            Self::TextUpload => "text_upload",
            Self::Webhook => "webhook",
        }
    }
}

/// When an event happened, by its client: a point in time in UTC with up to nine digits of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventTime(DateTime<Utc>);

impl EventTime {
    /// `None` outside the years 0 to 9999, for which RFC 3339 has no form.
    pub fn new(utc: DateTime<Utc>) -> Option<Self> {
        (0..=9999).contains(&utc.year()).then_some(Self(utc))
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = DateTime::parse_from_rfc3339(&text).ok().and_then(|t| Self::new(t.with_timezone(&Utc)));
        time.ok_or_else(|| de::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }
}

/// The line as it is written. Names and order are on the wire: add at the end, never rename.
#[derive(Serialize)]
struct LineOut<'a> {
    v: u32,
    id: &'a EventId,
    admission_id: AdmissionId,
    tenant: &'a TenantId,
    tier: &'a Tier,
    source: Source,
    received_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_time: Option<EventTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_ref: Option<&'a BlobRef>,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    fields: &'a Fields,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields_ref: Option<&'a BlobRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Origin]>::is_empty")]
    redrive_of: &'a [Origin],
}

/// The line as it is read. Members it does not know are passed over: a newer writer may add some.
#[derive(Deserialize)]
struct LineIn {
    v: u32,
    id: EventId,
    admission_id: AdmissionId,
    tenant: TenantId,
    tier: Tier,
    source: Source,
    received_at: Timestamp,
    event_time: Option<EventTime>,
    text: Option<String>,
    text_ref: Option<BlobRef>,
    #[serde(default)]
    fields: Fields,
    fields_ref: Option<BlobRef>,
    trace: Option<String>,
    #[serde(default)]
    redrive_of: Vec<Origin>,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (text, text_ref) = match &self.text {
            Text::Inline(text) => (Some(text.as_str()), None),
            Text::Ref(blob) => (None, Some(blob)),
        };
        LineOut {
            v: VERSION,
            id: &self.id,
            admission_id: self.admission_id,
            tenant: &self.tenant,
            tier: &self.tier,
            source: self.source,
            received_at: self.received_at,
            event_time: self.event_time,
            text,
            text_ref,
            fields: &self.fields,
            fields_ref: self.fields_ref.as_ref(),
            trace: self.trace.as_deref(),
            redrive_of: &self.redrive_of,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = LineIn::deserialize(deserializer)?;
        if line.v > VERSION {
            return Err(de::Error::custom(format!("version {} is newer than {VERSION}", line.v)));
        }
        let text = match (line.text, line.text_ref) {
            (Some(text), None) => Text::Inline(text),
            (None, Some(blob)) => Text::Ref(blob),
            _ => return Err(de::Error::custom("an event has one of `text` and `text_ref`")),
        };
        Ok(Self {
            id: line.id,
            admission_id: line.admission_id,
            tenant: line.tenant,
            tier: line.tier,
            source: line.source,
            received_at: line.received_at,
            event_time: line.event_time,
            text,
            fields: line.fields,
            fields_ref: line.fields_ref,
            trace: line.trace,
            redrive_of: line.redrive_of,
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
