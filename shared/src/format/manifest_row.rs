//! A manifest row: the contents of an archive object, so that a reader finds one tenant's lines without reading the rest.

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use super::item::Attribute;
use super::key;
use crate::gzip::{self, Cap};
use crate::id::TenantId;
use crate::origin::ShardPosition;
use crate::time::Timestamp;

/// The most bytes of ranges in a row: a quarter of a DynamoDB item, since every reader pays for it.
const ROW_BYTES: usize = 100_000;

/// The most that a sidecar inflates to: an object of the largest size has fewer than a million tenants.
const SIDECAR_BYTES: usize = 128 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// The object's key.
    pub key: String,
    /// The first position that it covers.
    pub first: ShardPosition,
    /// The end of what it covers.
    pub end: ShardPosition,
    /// Its size in bytes.
    pub bytes: usize,
    /// SHA-256 of the object, in lower-case hexadecimal.
    pub sha256: String,
    pub lines: usize,
    /// When ingest received the oldest and the youngest of its events.
    pub received_at: [Timestamp; 2],
    pub tenants: TenantIndex,
}

/// Where each tenant's lines are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantIndex {
    Ranges(Vec<TenantRange>),
    /// The key of the object that has the ranges, as compressed JSON, if they are too many for a row.
    Sidecar(String),
}

impl TenantIndex {
    /// The index of the object `archive_key`, and its sidecar if it needs one.
    pub fn new(archive_key: &str, ranges: Vec<TenantRange>) -> (Self, Option<Bytes>) {
        let json = serde_json::to_vec(&ranges).expect("ranges always serialise");
        if json.len() <= ROW_BYTES {
            return (Self::Ranges(ranges), None);
        }
        let sidecar = gzip::compress(&json, gzip::Level::FAST);
        (Self::Sidecar(key::manifest_sidecar(archive_key)), Some(sidecar.into()))
    }
}

/// A tenant's lines in an object: a gzip member of their own, so that a range request reads only them. Written and read as
/// an array, `["acme",0,120,3]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TenantRange {
    pub tenant: TenantId,
    /// The first byte in the object.
    pub offset: usize,
    pub length: usize,
    pub lines: usize,
}

impl Serialize for TenantRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.tenant, self.offset, self.length, self.lines).serialize(serializer)
    }
}

impl ManifestRow {
    /// The attributes, without the keys. Names are in the table for as long as objects live: never renamed.
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        use Attribute::{Number, Text};
        let count = |count: usize| Number(i64::try_from(count).unwrap_or(i64::MAX));
        let [oldest, youngest] = self.received_at;
        let tenants = match &self.tenants {
            TenantIndex::Ranges(ranges) => {
                ("tenants", Text(serde_json::to_string(ranges).expect("ranges always serialise")))
            }
            TenantIndex::Sidecar(key) => ("tenants_key", Text(key.clone())),
        };
        vec![
            ("object_key", Text(self.key.clone())),
            ("first_sequence_number", Text(self.first.sequence_number.to_string())),
            ("first_position", Number(self.first.position.into())),
            ("end_sequence_number", Text(self.end.sequence_number.to_string())),
            ("end_position", Number(self.end.position.into())),
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
        let of = |name| match attribute(name) {
            Some(Attribute::Text(text)) => Some(text),
            _ => None,
        };
        let unreadable =
            |name| UnreadableRow { attribute: name, object: of("object_key").unwrap_or_default() };
        let text = |name| of(name).ok_or_else(|| unreadable(name));
        let count = |name| match attribute(name) {
            Some(Attribute::Number(number)) => usize::try_from(number).map_err(|_| unreadable(name)),
            _ => Err(unreadable(name)),
        };
        let position = |name| u32::try_from(count(name)?).map_err(|_| unreadable(name));
        let time = |name| serde_json::from_value(text(name)?.into()).map_err(|_| unreadable(name));
        let tenants = match attribute("tenants_key") {
            Some(Attribute::Text(key)) => TenantIndex::Sidecar(key),
            _ => TenantIndex::Ranges(
                serde_json::from_str(&text("tenants")?).map_err(|_| unreadable("tenants"))?,
            ),
        };
        let first = ShardPosition::new(text("first_sequence_number")?, position("first_position")?);
        // Readers go on from the position of the last row that they got. At another place they would never end.
        if of("sk").is_some_and(|sort| sort != key::manifest_sort(&first.sequence_number, first.position)) {
            return Err(unreadable("sk"));
        }
        Ok(Self {
            key: text("object_key")?,
            first,
            end: ShardPosition::new(text("end_sequence_number")?, position("end_position")?),
            bytes: count("object_bytes")?,
            sha256: text("object_sha256")?,
            lines: count("object_lines")?,
            received_at: [time("oldest_received_at")?, time("youngest_received_at")?],
            tenants,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manifest row of `{object}` cannot be read: its attribute `{attribute}` is missing or malformed")]
pub struct UnreadableRow {
    attribute: &'static str,
    /// The object's key, if the row has it.
    object: String,
}

/// The ranges in a sidecar ([`TenantIndex::Sidecar`]).
pub fn sidecar_ranges(object: &[u8]) -> Result<Vec<TenantRange>, String> {
    let cap = Cap { bytes: SIDECAR_BYTES, ratio: u32::MAX };
    let json = gzip::inflate(object, cap).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tenants: TenantIndex) -> ManifestRow {
        ManifestRow {
            key: "events/x".to_owned(),
            first: ShardPosition::new("4951", 0),
            end: ShardPosition::new("4959", 1),
            bytes: 220,
            sha256: "ab".to_owned(),
            lines: 5,
            received_at: [1_795_253_400_000, 1_795_253_401_000].map(Timestamp::from_unix_ms),
            tenants,
        }
    }

    fn ranges() -> Vec<TenantRange> {
        let tenant = |tenant| TenantId::parse(tenant).unwrap();
        vec![
            TenantRange { tenant: tenant("acme"), offset: 0, length: 120, lines: 3 },
            TenantRange { tenant: tenant("beta"), offset: 120, length: 100, lines: 2 },
        ]
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        for row in [row(TenantIndex::Ranges(ranges())), row(TenantIndex::Sidecar("manifests/x".to_owned()))] {
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
        let attributes = row(TenantIndex::Ranges(ranges())).attributes();
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
