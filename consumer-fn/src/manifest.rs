//! From an archive object's bytes to its manifest row. A row says only what the object says, whether this attempt wrote
//! the object or found it.

use bytes::Bytes;
use shared::digest::sha256;
use shared::format::archive_line::Owner;
use shared::format::manifest_row::{ManifestRow, TenantIndex, TenantRange};
use shared::gzip;
use shared::time::Timestamp;

use shared::origin::ShardPosition;

/// What an archive object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// In the order of the bytes, without gaps.
    pub ranges: Vec<TenantRange>,
    /// When ingest received the oldest and the youngest event; `None` for an object without lines.
    pub received_at: Option<[Timestamp; 2]>,
}

impl Contents {
    /// Reads an object that another attempt wrote, or from which events were erased.
    pub fn scan(object: &[u8]) -> Result<Self, String> {
        let (mut ranges, mut received_at, mut offset) = (Vec::new(), None, 0);
        while offset < object.len() {
            let (mut tenant, mut lines, mut bad) = (None, 0, None);
            let length = gzip::first_member_lines(&object[offset..], |line| {
                match serde_json::from_slice::<Owner>(line) {
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

/// The row of an object, and the sidecar that is to be written before it. `None` for an object without lines.
pub(crate) fn row(
    key: &str,
    first: &ShardPosition,
    end: &ShardPosition,
    object: &[u8],
    contents: Contents,
) -> Option<(ManifestRow, Option<Bytes>)> {
    let lines = contents.ranges.iter().map(|range| range.lines).sum();
    let (tenants, sidecar) = TenantIndex::new(key, contents.ranges);
    let row = ManifestRow {
        key: key.to_owned(),
        first: first.clone(),
        end: end.clone(),
        bytes: object.len(),
        sha256: sha256(object),
        lines,
        received_at: contents.received_at?,
        tenants,
    };
    Some((row, sidecar))
}

/// The span of time, widened to include `at`.
pub(crate) fn widened(span: Option<[Timestamp; 2]>, at: Timestamp) -> [Timestamp; 2] {
    span.map_or([at, at], |[oldest, youngest]| [oldest.min(at), youngest.max(at)])
}
