//! The manifest: what each archive object holds, so that one tenant's lines can be found without reading the rest.
//!
//! A row says nothing but what the object says: it is made from the bytes that were written, or from those that were
//! found, and is the same either way.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::blob::sha256;
use shared::gzip::{self, Cap};
use shared::id::TenantId;
use shared::time::Timestamp;

use crate::items::Attribute;
use shared::origin::ShardPosition;

/// What is told of an archive object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// The object's key.
    pub key: String,
    /// The first place that it covers.
    pub first: ShardPosition,
    /// The first place behind what it covers.
    pub before: ShardPosition,
    /// Its size in bytes.
    pub bytes: usize,
    /// Its checksum, SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// How many lines it has.
    pub lines: usize,
    /// When the door had the oldest and the youngest of its events.
    pub received_at: [Timestamp; 2],
    /// Where each tenant's lines are.
    pub tenants: Tenants,
}

/// Where each tenant's lines are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenants {
    /// In these ranges.
    Ranges(Vec<TenantRange>),
    /// In the ranges that lie, as gzip JSON, in the object of this key: they are too many for a row.
    Sidecar(String),
}

/// Where a tenant's lines lie in an object: a gzip member of their own, so that they can be read by range, and
/// nobody else's with them. Written as an array, `["acme",0,120,3]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(TenantId, usize, usize, usize)", into = "(TenantId, usize, usize, usize)")]
pub struct TenantRange {
    /// Whose lines.
    pub tenant: TenantId,
    /// The first byte in the object.
    pub offset: usize,
    /// How many bytes.
    pub length: usize,
    /// How many lines they hold.
    pub lines: usize,
}

impl From<(TenantId, usize, usize, usize)> for TenantRange {
    fn from((tenant, offset, length, lines): (TenantId, usize, usize, usize)) -> Self {
        Self { tenant, offset, length, lines }
    }
}

impl From<TenantRange> for (TenantId, usize, usize, usize) {
    fn from(range: TenantRange) -> Self {
        (range.tenant, range.offset, range.length, range.lines)
    }
}

/// The most that a row holds of ranges, in bytes: a quarter of a DynamoDB item, since every reader pays for it.
const ROW_BYTES: usize = 100_000;

/// The most that a sidecar inflates to: an object of the largest size has fewer than a million tenants in it.
const SIDECAR_BYTES: usize = 128 * 1024 * 1024;

/// What an archive object holds, as far as its bytes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// In the order of the bytes, without gaps.
    pub(crate) ranges: Vec<TenantRange>,
    /// When the door had the oldest and the youngest; nothing for an object without lines.
    pub(crate) received_at: Option<[Timestamp; 2]>,
}

impl Contents {
    /// Reads an object that somebody else wrote.
    pub(crate) fn scan(object: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Line {
            tenant: TenantId,
            received_at: Timestamp,
        }
        let (mut ranges, mut received_at, mut offset) = (Vec::new(), None, 0);
        while offset < object.len() {
            let (mut tenant, mut lines, mut bad) = (None, 0, None);
            let length = gzip::first_member_lines(&object[offset..], |line| {
                match serde_json::from_slice::<Line>(line) {
                    Ok(line) => {
                        received_at = Some(widened(received_at, line.received_at));
                        tenant = Some(line.tenant);
                    }
                    Err(error) => bad = Some(error),
                }
                lines += 1;
            });
            let length = length.map_err(|error| error.to_string())?;
            if let Some(error) = bad {
                return Err(format!("a line of it cannot be read: {error}"));
            }
            ranges.extend(tenant.map(|tenant| TenantRange { tenant, offset, length, lines }));
            offset += length;
        }
        Ok(Self { ranges, received_at })
    }
}

/// The span of time that has `at` in it, too.
pub(crate) fn widened(span: Option<[Timestamp; 2]>, at: Timestamp) -> [Timestamp; 2] {
    span.map_or([at, at], |[oldest, youngest]| [oldest.min(at), youngest.max(at)])
}

impl ManifestRow {
    /// The row of an object, and what is to be written beside it first. Nothing for an object without lines.
    pub(crate) fn new(
        key: &str,
        first: &ShardPosition,
        before: &ShardPosition,
        object: &[u8],
        contents: Contents,
    ) -> Option<(Self, Option<Bytes>)> {
        let lines = contents.ranges.iter().map(|range| range.lines).sum();
        let json = serde_json::to_vec(&contents.ranges).expect("ranges always serialise");
        let (tenants, sidecar) = if json.len() <= ROW_BYTES {
            (Tenants::Ranges(contents.ranges), None)
        } else {
            let compressed = gzip::compress(&json, gzip::Level::FAST);
            (Tenants::Sidecar(shared::key::manifest_sidecar(key)), Some(compressed.into()))
        };
        let row = Self {
            key: key.to_owned(),
            first: first.clone(),
            before: before.clone(),
            bytes: object.len(),
            sha256: sha256(object),
            lines,
            received_at: contents.received_at?,
            tenants,
        };
        Some((row, sidecar))
    }

    /// The attributes but the keys. Names are in the table for as long as objects are: add at the end, never rename.
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        use Attribute::{Number, Text};
        let count = |count: usize| Number(i64::try_from(count).unwrap_or(i64::MAX));
        let [oldest, youngest] = self.received_at;
        let tenants = match &self.tenants {
            Tenants::Ranges(ranges) => {
                ("tenants", Text(serde_json::to_string(ranges).expect("ranges always serialise")))
            }
            Tenants::Sidecar(key) => ("tenants_key", Text(key.clone())),
        };
        vec![
            ("object_key", Text(self.key.clone())),
            ("first_sequence_number", Text(self.first.sequence_number.to_string())),
            ("first_position", Number(self.first.position.into())),
            ("before_sequence_number", Text(self.before.sequence_number.to_string())),
            ("before_position", Number(self.before.position.into())),
            ("object_bytes", count(self.bytes)),
            ("object_sha256", Text(self.sha256.clone())),
            ("object_lines", count(self.lines)),
            ("oldest_received_at", Text(oldest.to_string())),
            ("youngest_received_at", Text(youngest.to_string())),
            tenants,
        ]
    }

    /// Reads back [`ManifestRow::attributes`], by their names.
    pub fn read(attribute: impl Fn(&str) -> Option<Attribute>) -> Result<Self, UnreadableRow> {
        let unreadable = |name| UnreadableRow { attribute: name };
        let text = |name| match attribute(name) {
            Some(Attribute::Text(text)) => Ok(text),
            _ => Err(unreadable(name)),
        };
        let count = |name| match attribute(name) {
            Some(Attribute::Number(number)) => usize::try_from(number).map_err(|_| unreadable(name)),
            _ => Err(unreadable(name)),
        };
        let position = |name| u32::try_from(count(name)?).map_err(|_| unreadable(name));
        let time = |name| serde_json::from_value(text(name)?.into()).map_err(|_| unreadable(name));
        let tenants = match attribute("tenants_key") {
            Some(Attribute::Text(key)) => Tenants::Sidecar(key),
            _ => Tenants::Ranges(serde_json::from_str(&text("tenants")?).map_err(|_| unreadable("tenants"))?),
        };
        Ok(Self {
            key: text("object_key")?,
            first: ShardPosition::new(text("first_sequence_number")?, position("first_position")?),
            before: ShardPosition::new(text("before_sequence_number")?, position("before_position")?),
            bytes: count("object_bytes")?,
            sha256: text("object_sha256")?,
            lines: count("object_lines")?,
            received_at: [time("oldest_received_at")?, time("youngest_received_at")?],
            tenants,
        })
    }
}

/// A row that does not say what a row says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manifest row cannot be read: its attribute `{attribute}` is missing, or not of its form")]
pub struct UnreadableRow {
    attribute: &'static str,
}

/// The ranges that a sidecar holds ([`Tenants::Sidecar`]).
pub fn sidecar_ranges(object: &[u8]) -> Result<Vec<TenantRange>, String> {
    let cap = Cap { bytes: SIDECAR_BYTES, ratio: u32::MAX };
    let json = gzip::inflate(object, cap).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tenants: Tenants) -> ManifestRow {
        ManifestRow {
            key: "events/x".to_owned(),
            first: ShardPosition::new("4951", 0),
            before: ShardPosition::new("4959", 1),
            bytes: 220,
            sha256: "ab".to_owned(),
            lines: 5,
            received_at: [1_795_253_400_000, 1_795_253_401_000].map(Timestamp::from_unix_ms),
            tenants,
        }
    }

    fn ranges() -> Vec<TenantRange> {
        let tenant = |tenant| TenantId::parse(tenant).unwrap();
        vec![(tenant("acme"), 0, 120, 3).into(), (tenant("beta"), 120, 100, 2).into()]
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        for row in [row(Tenants::Ranges(ranges())), row(Tenants::Sidecar("manifests/x".to_owned()))] {
            let attributes = row.attributes();
            let attribute = |name: &str| {
                let found = attributes.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| value.clone())
            };
            assert_eq!(ManifestRow::read(attribute).unwrap(), row);
        }
    }

    #[test]
    fn a_row_without_an_attribute_is_refused_by_its_name() {
        let attributes = row(Tenants::Ranges(ranges())).attributes();
        for (missing, _) in &attributes {
            let attribute = |name: &str| {
                let found = attributes.iter().find(|(other, _)| *other == name && name != *missing);
                found.map(|(_, value)| value.clone())
            };
            let error = ManifestRow::read(attribute).unwrap_err().to_string();
            assert!(error.contains(missing), "{error}");
        }
    }

    #[test]
    fn a_sidecar_is_read_as_it_was_written() {
        let json = serde_json::to_vec(&ranges()).unwrap();
        assert_eq!(sidecar_ranges(&gzip::compress(&json, gzip::Level::FAST)), Ok(ranges()));
        assert!(sidecar_ranges(&json).is_err());
    }
}
