//! The facts that an event carries from ingest to its item and its archive line. A new fact is added here, and every
//! line has it.

use std::fmt;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::line_writer::LineWriter;
use crate::id::{AdmissionId, EventId, TenantId};
use crate::text;
use crate::tier::Tier;
use crate::time::Timestamp;

/// All that is known of an event, except text and fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The client's id, or ours if it sent none. Unique within the tenant.
    pub id: EventId,
    /// If it is seen again, we sent the event again; with another one, the client did.
    pub admission_id: AdmissionId,
    pub tenant: TenantId,
    pub tier: Tier,
    pub source: Source,
    /// When ingest received it.
    pub received_at: Timestamp,
    /// When it happened, according to the client.
    pub event_time: Option<EventTime>,
    /// The W3C `traceparent` or X-Ray trace header of the request.
    pub trace: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// JSON over HTTP, or a foreign producer's JSON on the stream.
    JsonUpload,
    /// `text/plain` over HTTP.
    TextUpload,
    /// The webhook path.
    Webhook,
    /// A log record of OpenTelemetry (OTLP).
    Otlp,
}

impl Source {
    /// The same name as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonUpload => "json_upload",
            Self::TextUpload => "text_upload",
            Self::Webhook => "webhook",
            Self::Otlp => "otlp",
        }
    }
}

/// When an event happened, according to its client: a point in time in UTC with up to nine digits of a second. Every reader of
/// the archive can parse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventTime(DateTime<Utc>);

impl EventTime {
    /// `None` outside the years 1 to 9999, which Python has, and for leap seconds: most readers refuse `:60`, and then a
    /// query fails as a whole.
    pub fn new(utc: DateTime<Utc>) -> Option<Self> {
        ((1..=9999).contains(&utc.year()) && utc.nanosecond() < 1_000_000_000).then_some(Self(utc))
    }

    /// Nanoseconds since 1970, as OpenTelemetry has them: `None` for 0, which says that the time is not known.
    pub fn from_unix_nanos(nanos: u64) -> Option<Self> {
        const SECOND: u64 = 1_000_000_000;
        let seconds = i64::try_from(nanos / SECOND).ok().filter(|_| nanos > 0)?;
        Self::new(DateTime::from_timestamp(seconds, u32::try_from(nanos % SECOND).ok()?)?)
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
        text::parsed(deserializer, |text| {
            let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc));
            time.and_then(Self::new).ok_or_else(|| {
                format!("`{text}` is not an RFC 3339 time from year 1 to 9999, or is a leap second")
            })
        })
    }
}

impl Facts {
    /// About as many bytes as the facts of a line take, with all else but texts, fields and claim checks.
    pub(super) const BYTES: usize = 640;

    /// Writes the first members of a line. Order is on the wire: facts that were added after the first version come last, by
    /// [`Facts::write_last`].
    pub(super) fn write_first(&self, version: u32, line: &mut LineWriter) {
        line.value("v", &version);
        line.text("id", self.id.as_str());
        line.text("admission_id", self.admission_id.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        line.text("tenant", self.tenant.as_str());
        line.text("tier", self.tier.as_str());
        line.text("source", self.source.as_str());
        line.text("received_at", self.received_at.written().as_str());
        if let Some(time) = self.event_time {
            line.text("event_time", &time.to_string());
        }
    }

    pub(super) fn write_last(&self, line: &mut LineWriter) {
        if let Some(trace) = &self.trace {
            line.text("trace", trace);
        }
    }
}

/// Declares what is read of a line of JSON: `v`, the facts, and members of its own.
///
/// `#[serde(flatten)]` would do the same, but copies every member into a buffer before it reads it.
macro_rules! line_with_facts {
    ($line:ident { $($(#[$attribute:meta])* $member:ident: $type:ty,)* }) => {
        #[derive(serde::Deserialize)]
        struct $line {
            v: u32,
            id: $crate::id::EventId,
            admission_id: $crate::id::AdmissionId,
            tenant: $crate::id::TenantId,
            tier: $crate::tier::Tier,
            source: $crate::format::facts::Source,
            received_at: $crate::time::Timestamp,
            event_time: Option<$crate::format::facts::EventTime>,
            $($(#[$attribute])* $member: $type,)*
            trace: Option<String>,
        }

        impl $line {
            /// The facts and the line's own members, if the line's version is at most `newest`.
            fn into_parts(self, newest: u32) -> Result<($crate::format::facts::Facts, $($type),*), String> {
                if self.v > newest {
                    return Err(format!("version {} is newer than {newest}", self.v));
                }
                let facts = $crate::format::facts::Facts {
                    id: self.id,
                    admission_id: self.admission_id,
                    tenant: self.tenant,
                    tier: self.tier,
                    source: self.source,
                    received_at: self.received_at,
                    event_time: self.event_time,
                    trace: self.trace,
                };
                Ok((facts, $(self.$member),*))
            }
        }
    };
}

pub(crate) use line_with_facts;
