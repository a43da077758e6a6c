//! Lines to objects, none larger than allowed: where the next one ends is decided before anything is appended.
//!
//! How well lines compress is known only after they were compressed. So the first try takes all of them, which is right
//! for almost every batch; where that is too large, it still tells how well this data compresses, and the next tries
//! aim just below the limit.

use shared::gzip::{self, Level};
use shared::id::TenantId;

use crate::origin::Place;

/// What a try aims at, as a part of the limit: data is never quite alike.
const AIM: f64 = 0.97;
/// An object is full enough from here on.
const FULL: f64 = 0.90;
/// Tries that follow the estimate. Then the middle between what fits and what does not.
const ESTIMATED_TRIES: u32 = 4;

/// One line of the archive.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) place: Place,
    pub(crate) tenant: TenantId,
    /// With its newline.
    pub(crate) bytes: Vec<u8>,
}

/// Where a tenant's lines lie in an object: a gzip member of their own, so that they can be read by range, and
/// nobody else's with them.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// The bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) bytes: Vec<u8>,
    /// By tenant, without gaps.
    pub(crate) ranges: Vec<TenantRange>,
}

/// Decides where objects end.
#[derive(Debug)]
pub(crate) struct Roller {
    limit: usize,
    level: Level,
    /// Compressed bytes for each byte of lines, as last seen.
    ratio: Option<f64>,
}

impl Roller {
    /// For objects of at most `limit` bytes.
    pub(crate) fn new(limit: usize, level: Level) -> Self {
        Self { limit, level, ratio: None }
    }

    /// The next object: how many of `lines` (at least one) go into it, and its bytes. An object ends with a record,
    /// since a batch is answered by records; only a record that is larger than an object by itself is divided.
    pub(crate) fn next(&mut self, lines: &[Line]) -> (usize, Packed) {
        let ends = record_ends(lines);
        self.fullest(lines, &ends).unwrap_or_else(|| {
            let each: Vec<usize> = (1..=ends[0]).collect();
            self.fullest(lines, &each).unwrap_or_else(|| (1, pack(&lines[..1], self.level)))
        })
    }

    /// The object that ends at the last of `ends` with which it is not too large, or a little before. Nothing if it
    /// is too large with the first.
    fn fullest(&mut self, lines: &[Line], ends: &[usize]) -> Option<(usize, Packed)> {
        let sizes: Vec<usize> = sizes(lines, ends);
        let limit = as_f64(self.limit);
        let mut best = None;
        // How many of `ends` fit, and how many are too many.
        let (mut fit, mut too_many) = (0, ends.len() + 1);
        for attempt in 0.. {
            if too_many - fit == 1 {
                break;
            }
            let count = match self.ratio {
                None => ends.len(),
                Some(ratio) if attempt < ESTIMATED_TRIES => {
                    sizes.partition_point(|size| as_f64(*size) * ratio <= limit * AIM)
                }
                Some(_) => usize::midpoint(fit, too_many),
            };
            let count = count.clamp(fit + 1, too_many - 1);
            let packed = pack(&lines[..ends[count - 1]], self.level);
            self.ratio = Some(as_f64(packed.bytes.len()) / as_f64(sizes[count - 1]));
            if packed.bytes.len() > self.limit {
                too_many = count;
                continue;
            }
            let full = as_f64(packed.bytes.len()) >= limit * FULL;
            fit = count;
            best = Some((ends[count - 1], packed));
            if full {
                break;
            }
        }
        best
    }
}

/// Sorts lines by tenant, each tenant's in their order, and compresses every tenant's for itself.
pub(crate) fn pack(lines: &[Line], level: Level) -> Packed {
    let mut sorted: Vec<&Line> = lines.iter().collect();
    sorted.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    let mut packed = Packed { bytes: Vec::new(), ranges: Vec::new() };
    for run in sorted.chunk_by(|a, b| a.tenant == b.tenant) {
        let plain: Vec<u8> = run.iter().flat_map(|line| &line.bytes).copied().collect();
        let member = gzip::compress(&plain, level);
        packed.ranges.push(TenantRange {
            tenant: run[0].tenant.clone(),
            offset: packed.bytes.len(),
            length: member.len(),
            lines: run.len(),
        });
        packed.bytes.extend(member);
    }
    packed
}

/// How many lines there are up to the end of each record.
fn record_ends(lines: &[Line]) -> Vec<usize> {
    let mut end = 0;
    let records = lines.chunk_by(|a, b| a.place.record == b.place.record);
    records
        .map(|record| {
            end += record.len();
            end
        })
        .collect()
}

/// How many bytes the lines have up to each of `ends`.
fn sizes(lines: &[Line], ends: &[usize]) -> Vec<usize> {
    let (mut at, mut size) = (0, 0);
    ends.iter()
        .map(|&end| {
            size += lines[at..end].iter().map(|line| line.bytes.len()).sum::<usize>();
            at = end;
            size
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "no batch comes near 2^52 bytes")]
fn as_f64(bytes: usize) -> f64 {
    bytes as f64
}
