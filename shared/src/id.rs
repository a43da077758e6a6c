//! The ids of tenants, events and admissions. They are checked once, when they are parsed.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::limits;

/// Implements, for text that `parse` checks: reading it back, as text, and `Display`.
macro_rules! checked_text {
    ($name:ident) => {
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::text::parsed(deserializer, |text| Self::parse(text))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

pub(crate) use checked_text;

/// Who an event belongs to: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`. Safe in keys, paths and logs without encoding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TenantId(Arc<str>);

/// A string that is not a tenant id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "tenant id `{shown}` is not allowed: 1 to {} of the characters A-Z a-z 0-9 . _ -, the first a letter or a digit",
    limits::TENANT_ID_BYTES
)]
pub struct InvalidTenantId {
    shown: String,
}

impl TenantId {
    pub fn parse(id: &str) -> Result<Self, InvalidTenantId> {
        let bytes = id.as_bytes();
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fits = bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.len() <= limits::TENANT_ID_BYTES
            && bytes.iter().all(allowed);
        if fits { Ok(Self(id.into())) } else { Err(InvalidTenantId { shown: shown(id) }) }
    }
}

checked_text!(TenantId);

/// The client's id of an event, or ours if it sent none: 1 to 256 bytes without control characters. Unique within a
/// tenant. Percent-encode it in keys and paths ([`crate::format::key`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct EventId(String);

/// A string that is not an event id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "event id `{shown}` ({bytes} bytes) is not allowed: 1 to {} bytes without control characters",
    limits::EVENT_ID_BYTES
)]
pub struct InvalidEventId {
    shown: String,
    bytes: usize,
}

impl EventId {
    pub fn parse(id: impl Into<String>) -> Result<Self, InvalidEventId> {
        let id = id.into();
        if id.is_empty() || id.len() > limits::EVENT_ID_BYTES || id.chars().any(char::is_control) {
            Err(InvalidEventId { shown: shown(&id), bytes: id.len() })
        } else {
            Ok(Self(id))
        }
    }
}

checked_text!(EventId);

impl EventId {
    /// The id of one of several events that would have the same: `{name}#{digest}`.
    pub fn of_part(name: &str, digest: &str) -> Result<Self, InvalidEventId> {
        Self::parse(format!("{name}#{digest}"))
    }
}

impl From<Uuid> for EventId {
    fn from(id: Uuid) -> Self {
        Self(id.to_string())
    }
}

/// One event of one request that was answered 202. If it is seen again, we sent it again, not the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AdmissionId(pub Uuid);

impl AdmissionId {
    /// The admission of a foreign producer's event: derived from its origin, so that each attempt to read it gives the
    /// same one.
    pub fn of_foreign(shard: &str, sequence_number: &str, position: u32) -> Self {
        let digest = Sha256::digest(format!("{shard}\n{sequence_number}\n{position}"));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for AdmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Makes new ids.
#[derive(Clone)]
pub struct Ids(Arc<dyn Fn() -> Uuid + Send + Sync>);

impl Ids {
    /// Random ones (version 4). Ids that rise with time would put a tenant's newest items on one partition of the table.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is where the ban points to")]
        Self::new(Uuid::new_v4)
    }

    /// Ids that `next` makes, for tests.
    pub fn new(next: impl Fn() -> Uuid + Send + Sync + 'static) -> Self {
        Self(Arc::new(next))
    }

    pub fn next(&self) -> Uuid {
        (self.0)()
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids")
    }
}

/// Input as an error shows it: escaped, and cut so that it does not flood a log.
pub(crate) fn shown(input: &str) -> String {
    let mut shown: String = input.chars().take(64).flat_map(char::escape_debug).collect();
    if input.chars().nth(64).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_id_begins_with_a_letter_or_digit_and_has_at_most_64_bytes() {
        for good in ["a", "acme", "A.b_c-9", "0", &"x".repeat(64)] {
            assert_eq!(TenantId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".acme", "-a", "a b", "acme/../beta", "größe", "a\n", &"x".repeat(65)] {
            assert!(TenantId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_id_may_hold_anything_but_control_characters() {
        for good in ["1", "a/b c#ü", &"é".repeat(128)] {
            assert_eq!(EventId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", "\u{7f}", &"x".repeat(257)] {
            assert!(EventId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_show_the_input_escaped_and_cut() {
        insta::assert_snapshot!(
            TenantId::parse("a\nb").unwrap_err(),
            @r"tenant id `a\nb` is not allowed: 1 to 64 of the characters A-Z a-z 0-9 . _ -, the first a letter or a digit"
        );
        assert!(EventId::parse("x".repeat(10_000)).unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn a_foreign_event_gets_the_same_admission_each_time() {
        let first = AdmissionId::of_foreign("shardId-000000000000", "495", 0);
        assert_eq!(first, AdmissionId::of_foreign("shardId-000000000000", "495", 0));
        assert_ne!(first, AdmissionId::of_foreign("shardId-000000000000", "495", 1));
    }
}
