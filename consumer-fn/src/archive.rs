//! The archive: what was stored, as compact gzip NDJSON objects, in the stream's order.
//!
//! An object is named after the first place that it covers and says in its metadata which is the last, so a second
//! attempt at the same batch finds what the first one left, and goes on behind it. That holds as long as the second
//! attempt begins where the first one did. After a crash the mapping may halve the batch and begin elsewhere; what
//! the first attempt had archived is then archived again, until the ledger ([`crate::commit`]) knows better.

use shared::config;
use shared::key;
use tokio::time::Instant;

use self::roll::{Line, Packed, Roller};
use crate::batch::Batch;
use crate::insert::Settled;
use crate::objects::{Covers, Created, ObjectFailure, ObjectStore};
use crate::origin::Place;
use crate::prefix::Prefix;
use crate::retry::{GaveUp, Jitter, retry};

pub(crate) mod line;
pub(crate) mod roll;

pub use self::roll::TenantRange;

/// An object of the archive, as a ledger would know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedObject {
    /// Its key, which names the first place that it covers.
    pub key: String,
    /// The last place that it covers.
    pub covers: Covers,
    /// What was written; `None` if the object was there already.
    pub written: Option<WrittenObject>,
}

/// What an object that was written consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenObject {
    /// Its size in bytes.
    pub bytes: usize,
    /// Each tenant's bytes in it.
    pub ranges: Vec<TenantRange>,
}

/// Writes the prefix's stored events, object after object. Where one cannot be written until `until`, the prefix ends
/// before the first record that is not archived.
pub(crate) async fn archive(
    mut prefix: Prefix<Settled>,
    batch: &Batch,
    objects: &impl ObjectStore,
    config: &config::Archive,
    until: Instant,
    jitter: &Jitter,
) -> (Prefix<Settled>, Vec<ArchivedObject>) {
    let lines = lines(&prefix, config);
    let mut roller = Roller::new(config.object_bytes, config.level());
    let mut archived = Vec::new();
    let mut from = Place { record: 0, position: 0 };
    let mut rest = &lines[..];
    while !rest.is_empty() {
        let (count, packed) = roller.next(rest);
        let through = last_covered(&prefix, rest, count);
        let object = match write(batch, objects, from, through, packed, until, jitter).await {
            Ok(object) => object,
            Err(error) => {
                tracing::error!(%error, batch.record = from.record, "the archive could not be written, the batch ends there");
                prefix.end_before(from.record);
                break;
            }
        };
        from = behind(&prefix, batch, &object.covers);
        archived.push(object);
        rest = &rest[rest.partition_point(|line| line.place < from)..];
    }
    (prefix, archived)
}

fn lines(prefix: &Prefix<Settled>, config: &config::Archive) -> Vec<Line> {
    let stored = prefix.entries.iter().filter_map(|entry| match &entry.value {
        Settled::Stored(prepared) => Some((entry.place, prepared)),
        Settled::Redelivered | Settled::Deduplicated => None,
    });
    let line = |(place, prepared): (Place, &Box<_>)| {
        let prepared: &crate::prepare::Prepared = prepared;
        Line { place, tenant: prepared.item.tenant.clone(), bytes: line::line(prepared, config.content) }
    };
    stored.map(line).collect()
}

/// The last place that an object covers which holds the first `count` of `lines`: records that yield no lines belong
/// to the object before them only at the end, where there is no other.
fn last_covered(prefix: &Prefix<Settled>, lines: &[Line], count: usize) -> Place {
    let last = lines[count - 1].place;
    let end_of = |record: usize| Place { record, position: prefix.last_positions[record] };
    match lines.get(count) {
        None => end_of(prefix.records() - 1),
        Some(next) if next.place.record == last.record => last,
        Some(_) => end_of(last.record),
    }
}

/// Writes an object, or finds it written. On the second attempt the object is there, and what it covers counts,
/// which may be less than what was to be written now, or more.
async fn write(
    batch: &Batch,
    objects: &impl ObjectStore,
    from: Place,
    through: Place,
    packed: Packed,
    until: Instant,
    jitter: &Jitter,
) -> Result<ArchivedObject, GaveUp> {
    let first = &batch.records()[from.record];
    let key = key::archive_object(batch.shard(), &first.sequence_number, from.position, first.arrival);
    let covers = Covers {
        sequence_number: batch.records()[through.record].sequence_number.to_string(),
        position: through.position,
    };
    let Packed { bytes, ranges } = packed;
    let bytes = bytes::Bytes::from(bytes);
    let created = retry(until, jitter, || objects.put_if_absent(&key, bytes.clone(), Some(&covers))).await?;
    match created {
        Created::New => {
            let written = Some(WrittenObject { bytes: bytes.len(), ranges });
            Ok(ArchivedObject { key, covers, written })
        }
        Created::Existed => {
            let covers = retry(until, jitter, || read_covers(objects, &key)).await?;
            Ok(ArchivedObject { key, covers, written: None })
        }
    }
}

async fn read_covers(objects: &impl ObjectStore, key: &str) -> Result<Covers, ObjectFailure> {
    let covers = objects.covers(key).await?;
    covers.ok_or_else(|| ObjectFailure(format!("the object `{key}` does not say what it covers")))
}

/// The first place behind what an object covers.
fn behind(prefix: &Prefix<Settled>, batch: &Batch, covers: &Covers) -> Place {
    let is_covered = |sequence_number: &str| as_number(sequence_number) <= as_number(&covers.sequence_number);
    let records = &batch.records()[..prefix.records()];
    let covered = records.partition_point(|record| is_covered(&record.sequence_number));
    let last =
        covered.checked_sub(1).filter(|&last| *records[last].sequence_number == covers.sequence_number);
    match last {
        Some(record) if covers.position < prefix.last_positions[record] => {
            Place { record, position: covers.position + 1 }
        }
        _ => Place { record: covered, position: 0 },
    }
}

/// Sequence numbers compare as numbers do; they are too large for one.
fn as_number(sequence_number: &str) -> (usize, &str) {
    (sequence_number.len(), sequence_number)
}
