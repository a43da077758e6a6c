//! One archive object against its manifest row. Bytes in, lines and faults out; no I/O.

use std::sync::Arc;

use consumer_fn::manifest::{ManifestRow, TenantRange};
use consumer_fn::{Mark, Origin};
use serde::Deserialize;
use shared::blob::sha256;
use shared::config::Items;
use shared::gzip;
use shared::id::{AdmissionId, EventId, TenantId};
use shared::tier::Tier;
use shared::time::Timestamp;

use super::facts::{Line, Object};
use super::verdict::{Finding, Kind};
use crate::archive::place;

/// An archive line, as far as it matters here.
#[derive(Deserialize)]
struct Read {
    id: EventId,
    admission_id: AdmissionId,
    tenant: TenantId,
    tier: Tier,
    received_at: Timestamp,
    shard: Arc<str>,
    sequence_number: Arc<str>,
    position: u32,
}

/// What the manifest says of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted<'a> {
    pub(crate) row: &'a ManifestRow,
    /// Its tenants' ranges, from the row or from beside it.
    pub(crate) ranges: &'a [TenantRange],
}

/// Reads an object's lines, and compares with its row and its name. `before` is the first place behind what it covers,
/// as far as that is known.
pub(crate) fn read(
    key: &str,
    bytes: &[u8],
    noted: Option<Noted<'_>>,
    before: Option<&Mark>,
    items: &Items,
) -> (Object, Vec<Finding>) {
    let mut object = Object { key: key.to_owned(), lines: Vec::new() };
    let ranges = match scan(bytes, items, &mut object.lines) {
        Ok(ranges) => ranges,
        Err(why) => return (object, vec![Finding::object(key, format!("it cannot be read: {why}"))]),
    };
    let mut faults = misplaced(&object, before);
    if let Some(Noted { row, ranges: of_row }) = noted {
        let says = |what: &str, row: &dyn std::fmt::Display, is: &dyn std::fmt::Display| {
            Finding::object(key, format!("its manifest row says {what} {row}, and it has {is}"))
        };
        if row.bytes != bytes.len() {
            faults.push(says("bytes", &row.bytes, &bytes.len()));
        }
        let digest = sha256(bytes);
        if row.sha256 != digest {
            faults.push(says("SHA-256", &row.sha256, &digest));
        }
        if row.lines != object.lines.len() {
            faults.push(says("lines", &row.lines, &object.lines.len()));
        }
        if of_row != ranges {
            faults
                .push(Finding::object(key, "its manifest row has other byte ranges of tenants than it has"));
        }
    }
    (object, faults)
}

/// Lines that lie in another object's part of the stream.
fn misplaced(object: &Object, before: Option<&Mark>) -> Vec<Finding> {
    let Some((shard, first)) = place(&object.key) else {
        return vec![Finding::object(&object.key, "its key is not that of an archive object")];
    };
    let is_within = |origin: &Origin| {
        let mark = Mark::new(origin.sequence_number.clone(), origin.position);
        *origin.shard == *shard && first <= mark && before.is_none_or(|before| mark < *before)
    };
    let outside = object.lines.iter().filter(|line| !is_within(&line.origin));
    let finding = |line: &Line| {
        let name = Some((&line.tenant, &line.id));
        let detail = "archived in an object that does not cover its origin";
        Finding::event(Kind::Misplaced, name, Some(&line.origin), detail).within(&object.key)
    };
    outside.map(finding).collect()
}

/// The lines, and where each tenant's are.
fn scan(bytes: &[u8], items: &Items, lines: &mut Vec<Line>) -> Result<Vec<TenantRange>, String> {
    let (mut ranges, mut offset) = (Vec::new(), 0);
    while offset < bytes.len() {
        let (before, mut bad) = (lines.len(), None);
        let length = gzip::first_member_lines(&bytes[offset..], |line| match serde_json::from_slice(line) {
            Ok(read) => lines.push(of_archive(read, items)),
            Err(error) => bad = Some(error),
        });
        let length = length.map_err(|error| error.to_string())?;
        if let Some(error) = bad {
            return Err(format!("a line of it is not an archive line: {error}"));
        }
        let member = &lines[before..];
        if let Some(Line { tenant, .. }) = member.first() {
            if member.iter().any(|line| line.tenant != *tenant) {
                return Err(format!("the member at byte {offset} has lines of several tenants"));
            }
            ranges.push(TenantRange { tenant: tenant.clone(), offset, length, lines: member.len() });
        }
        offset += length;
    }
    Ok(ranges)
}

fn of_archive(read: Read, items: &Items) -> Line {
    Line {
        item_until: items.time_to_live(&read.tier).map(|life| read.received_at.plus(life)),
        tenant: read.tenant,
        id: read.id,
        admission_id: read.admission_id,
        origin: Origin { shard: read.shard, sequence_number: read.sequence_number, position: read.position },
        received_at: read.received_at,
    }
}

/// Objects of a shard whose parts of the stream overlap: `(key, first, before)`, in the shard's order.
pub(crate) fn overlaps(rows: &[ManifestRow]) -> Vec<Finding> {
    let pairs = rows.iter().zip(rows.iter().skip(1));
    let overlapping = pairs.filter(|(one, next)| next.first < one.before);
    let finding = |(one, next): (&ManifestRow, &ManifestRow)| {
        Finding::object(&next.key, format!("it covers from {} on what `{}` covers, too", next.first, one.key))
    };
    overlapping.map(finding).collect()
}
