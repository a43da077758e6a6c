//! Packs lines into objects of limited size. It decides where an object ends before it appends a line.
//!
//! The compression ratio is known only after compression. So the first try takes all lines, which is right for almost every
//! batch. Where that is too large, or would probably be, the ratio of this data is known, and the next tries aim just below the limit.

use std::collections::BTreeMap;

use shared::gzip::{self, Level};
use shared::id::TenantId;
use shared::time::Timestamp;

use crate::batch::BatchPosition;
use crate::manifest::{Contents, widened};
use shared::format::manifest_row::TenantRange;

/// A try aims at this part of the limit, since the ratio varies.
const AIM: f64 = 0.97;
/// An object of at least this part of the limit is full enough.
const FULL: f64 = 0.90;
/// Tries by the estimate. After them a try takes the middle between what fits and what does not.
const ESTIMATED_TRIES: u32 = 4;

/// Lines of more than so many limits are compressed at once only if a sample says that they fit: the logs of most programs become
/// a fifth.
const USUALLY_FIT: usize = 4;
/// A sample has this part of the limit, before compression.
const SAMPLE: usize = 5;

/// One line of the archive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) position: BatchPosition,
    pub(crate) tenant: &'a TenantId,
    /// When ingest received its event.
    pub(crate) received_at: Timestamp,
    /// With its newline.
    pub(crate) bytes: &'a [u8],
}

/// The bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) bytes: Vec<u8>,
    /// The same as [`Contents::scan`] finds in the bytes.
    pub(crate) contents: Contents,
}

/// Decides where objects end.
#[derive(Debug)]
pub(crate) struct Roller {
    limit: usize,
    level: Level,
    /// Compressed bytes for each byte of lines, as last seen.
    ratio: Option<f64>,
    /// How many bytes of lines were compressed.
    #[cfg(test)]
    work: usize,
}

impl Roller {
    /// For objects of at most `limit` bytes.
    pub(crate) fn new(limit: usize, level: Level) -> Self {
        Self {
            limit,
            level,
            ratio: None,
            #[cfg(test)]
            work: 0,
        }
    }

    /// The next object: how many of `lines` (at least one) go into it, and its bytes. An object ends with a record,
    /// since a batch is answered by records; only a record that is larger than an object by itself is divided.
    pub(crate) fn next(&mut self, lines: &[Line<'_>]) -> (usize, Packed) {
        let ends = record_ends(lines);
        self.fullest(lines, &ends).unwrap_or_else(|| {
            let each: Vec<usize> = (1..=ends[0]).collect();
            self.fullest(lines, &each).unwrap_or_else(|| (1, self.pack(&lines[..1])))
        })
    }

    /// The object that ends at the last of `ends` with which it is not too large, or a little before. Nothing if it
    /// is too large with the first.
    fn fullest(&mut self, lines: &[Line<'_>], ends: &[usize]) -> Option<(usize, Packed)> {
        let sizes: Vec<usize> = sizes(lines, ends);
        if self.ratio.is_none() && sizes.last().is_some_and(|all| *all > USUALLY_FIT * self.limit) {
            let sampled = sizes.partition_point(|size| *size < self.limit / SAMPLE);
            self.pack(&lines[..ends[sampled]]);
        }
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
            let packed = self.pack(&lines[..ends[count - 1]]);
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

    fn pack(&mut self, lines: &[Line<'_>]) -> Packed {
        let packed = pack(lines, self.level);
        let bytes: usize = lines.iter().map(|line| line.bytes.len()).sum();
        self.ratio = Some(as_f64(packed.bytes.len()) / as_f64(bytes));
        #[cfg(test)]
        (self.work += bytes);
        packed
    }
}

/// Compresses every tenant's lines for itself, in their order. Tenants are sorted.
fn pack(lines: &[Line<'_>], level: Level) -> Packed {
    let mut tenants = BTreeMap::<_, Vec<_>>::new();
    for run in lines.chunk_by(|a, b| a.tenant == b.tenant) {
        tenants.entry(run[0].tenant).or_default().push(run);
    }
    let received_at = lines.iter().fold(None, |span, line| Some(widened(span, line.received_at)));
    let mut packed = Packed { bytes: Vec::new(), contents: Contents { ranges: Vec::new(), received_at } };
    let mut joined = Vec::new();
    for (tenant, runs) in tenants {
        joined.clear();
        runs.iter().copied().flatten().for_each(|line| joined.extend_from_slice(line.bytes));
        let member = gzip::compress(&joined, level);
        packed.contents.ranges.push(TenantRange {
            tenant: tenant.clone(),
            offset: packed.bytes.len(),
            length: member.len(),
            lines: runs.iter().map(|run| run.len()).sum(),
        });
        packed.bytes.extend(member);
    }
    packed
}

/// How many lines there are up to the end of each record.
fn record_ends(lines: &[Line<'_>]) -> Vec<usize> {
    let mut end = 0;
    let records = lines.chunk_by(|a, b| a.position.record == b.position.record);
    records
        .map(|record| {
            end += record.len();
            end
        })
        .collect()
}

/// How many bytes the lines have up to each of `ends`.
fn sizes(lines: &[Line<'_>], ends: &[usize]) -> Vec<usize> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::gzip::Cap;

    use super::*;
    use shared::noise::noise;

    const CAP: Cap = Cap { bytes: 1 << 30, ratio: 2_000 };

    struct Owned {
        position: BatchPosition,
        tenant: TenantId,
        bytes: Vec<u8>,
    }

    impl Owned {
        fn line(&self) -> Line<'_> {
            let Self { position, tenant, bytes } = self;
            Line { position: *position, tenant, received_at: Timestamp::from_unix_ms(0), bytes }
        }
    }

    fn line(record: usize, position: u32, tenant: &str, text: &str) -> Owned {
        let bytes = format!("{tenant} {record} {position} {text}\n").into_bytes();
        let tenant = TenantId::parse(tenant).unwrap();
        Owned { position: BatchPosition { record, position }, tenant, bytes }
    }

    /// The objects, and how many bytes were compressed.
    fn roll_counted(lines: &[Owned], limit: usize) -> (Vec<(usize, Packed)>, usize) {
        let mut roller = Roller::new(limit, Level::new(6).unwrap());
        let lines: Vec<_> = lines.iter().map(Owned::line).collect();
        let (mut objects, mut rest) = (Vec::new(), &lines[..]);
        while !rest.is_empty() {
            let (count, packed) = roller.next(rest);
            rest = &rest[count..];
            objects.push((count, packed));
        }
        (objects, roller.work)
    }

    fn roll(lines: &[Owned], limit: usize) -> Vec<(usize, Packed)> {
        roll_counted(lines, limit).0
    }

    #[test]
    fn what_fits_is_one_object_in_which_each_tenant_has_a_member_of_its_own() {
        let tenants = ["beta", "acme", "gamma"];
        let lines: Vec<_> = (0..300).map(|at| line(at, 0, tenants[at % 3], "hello")).collect();
        let [(300, packed)] = &roll(&lines, 5_000_000)[..] else { panic!("one object") };

        let mut end = 0;
        for range in &packed.contents.ranges {
            assert_eq!((range.offset, range.lines), (end, 100));
            end += range.length;
            let text = gzip::inflate(&packed.bytes[range.offset..end], CAP).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.lines().all(|line| line.starts_with(range.tenant.as_str())));
            assert_eq!(text.lines().count(), 100);
        }
        assert_eq!(end, packed.bytes.len(), "no gaps");
        let order: Vec<_> = packed.contents.ranges.iter().map(|range| range.tenant.as_str()).collect();
        assert_eq!(order, ["acme", "beta", "gamma"]);
    }

    #[test]
    fn objects_of_incompressible_lines_are_nearly_full() {
        let lines: Vec<_> = (0..150).map(|at| line(at, 0, "acme", &noise(100_000, at as u64))).collect();
        let objects = roll(&lines, 5_000_000);
        let (last, full) = objects.split_last().unwrap();
        assert!(full.iter().all(|(_, packed)| (4_500_000..=5_000_000).contains(&packed.bytes.len())));
        assert!(last.1.bytes.len() <= 5_000_000);
    }

    #[test]
    fn objects_are_full_where_compressibility_changes_along_the_way() {
        let text = |at: u64| if at % 200 < 100 { "x".repeat(10_000) } else { noise(10_000, at) };
        let lines: Vec<_> = (0..600).map(|at| line(at, 0, "acme", &text(at as u64))).collect();
        let objects = roll(&lines, 200_000);
        let (_, full) = objects.split_last().unwrap();
        assert!(full.iter().all(|(_, packed)| (170_000..=200_000).contains(&packed.bytes.len())));
    }

    #[test]
    fn lines_of_several_objects_are_compressed_about_once() {
        let lines: Vec<_> = (0..9_000).map(|at| line(at, 0, "acme", &noise(100, at as u64))).collect();
        let bytes: usize = lines.iter().map(|line| line.bytes.len()).sum();
        let (objects, compressed) = roll_counted(&lines, bytes / 5);
        assert!(objects.len() > 3 && compressed < bytes * 11 / 10, "{compressed} of {bytes} bytes");
    }

    #[test]
    fn an_object_ends_with_a_record_unless_the_record_is_larger() {
        let noise = noise(1_000, 1);
        let small = (0..40).flat_map(|record| (0..3).map(move |position| (record, position)));
        let large = (0..100).map(|position| (40, position));
        let lines: Vec<_> = small
            .chain(large)
            .map(|(record, position)| line(record, position, &format!("t{position}"), &noise))
            .collect();
        let mut at = 0;
        for (count, _) in roll(&lines, 20_000) {
            at += count;
            let inside = at < lines.len() && lines[at].position.record == lines[at - 1].position.record;
            assert!(!inside || lines[at].position.record == 40);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_object_passes_the_limit_and_no_line_is_lost(
            lines in proptest::collection::vec((0_usize..3, any::<bool>(), 0_usize..9_000, any::<bool>()), 1..80)
        ) {
            let (mut record, mut position) = (0, 0);
            let lines: Vec<_> = lines
                .iter()
                .enumerate()
                .map(|(seed, &(tenant, same_record, length, noisy))| {
                    (record, position) = if same_record { (record, position + 1) } else { (record + 1, 0) };
                    let text = if noisy { noise(length, seed as u64) } else { "x".repeat(length) };
                    line(record, position, ["acme", "beta", "gamma"][tenant], &text)
                })
                .collect();
            let objects = roll(&lines, 20_000);
            prop_assert_eq!(&objects, &roll(&lines, 20_000), "the same again");
            let mut rest = &lines[..];
            for (count, packed) in objects {
                prop_assert!(packed.bytes.len() <= 20_000);
                let (these, others) = rest.split_at(count);
                let mut expected: Vec<_> = these.iter().map(|line| String::from_utf8_lossy(&line.bytes)).collect();
                expected.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
                prop_assert_eq!(gzip::inflate(&packed.bytes, CAP).unwrap(), expected.concat().into_bytes());
                rest = others;
            }
            prop_assert!(rest.is_empty());
        }
    }
}
