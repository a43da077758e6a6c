//! The archive: what was stored, as compact gzip NDJSON objects, in the stream's order.
//!
//! An object is named after the first place that it covers and says in its metadata which is the last, so a second
//! attempt at the same batch finds what the first one left, and goes on behind it. That holds as long as the second
//! attempt begins where the first one did and reaches as far. After a crash the mapping may halve the batch; what the
//! first attempt had archived of the other half is then archived again, until the ledger ([`crate::commit`]) knows
//! better.

use bytes::Bytes;
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

/// What the archive has of a batch.
#[derive(Debug)]
pub(crate) struct Archived {
    /// What was finished in this attempt.
    pub(crate) prefix: Prefix<Settled>,
    /// The objects that cover it, in order.
    pub(crate) objects: Vec<ArchivedObject>,
    /// How many records of the batch the objects cover, with those that yield no lines. More than the prefix has
    /// where an earlier attempt got further than this one; it did all that is to be done for what it archived.
    pub(crate) records: usize,
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
) -> Archived {
    let lines = lines(&prefix, config);
    let shelf = Shelf { batch, objects, until, jitter };
    let mut roller = Roller::new(config.object_bytes, config.level());
    let mut archived = Vec::new();
    let mut from = Place { record: 0, position: 0 };
    let mut rest = &lines[..];
    while from.record < prefix.records {
        let object = if rest.is_empty() {
            // A prefix that was cut is answered by where it ends. If an earlier attempt archived beyond that, the next
            // one would begin within an object that it cannot find.
            if prefix.records == batch.records().len() {
                break;
            }
            shelf.find(from).await
        } else {
            let (count, packed) = roller.next(rest);
            shelf.write(from, last_covered(&prefix, rest, count), packed).await.map(Some)
        };
        match object {
            Ok(Some(object)) => {
                from = behind(&prefix, batch, &object.covers);
                rest = &rest[rest.partition_point(|line| line.place < from)..];
                archived.push(object);
            }
            Ok(None) => break,
            Err(error) => {
                tracing::error!(%error, batch.record = from.record, "the archive is out of reach, the batch ends there");
                prefix.end_before(from.record);
            }
        }
    }
    Archived { records: from.record.max(prefix.records), prefix, objects: archived }
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
        None => end_of(prefix.records - 1),
        Some(next) if next.place.record == last.record => last,
        Some(_) => end_of(last.record),
    }
}

/// Where a batch's archive objects are.
struct Shelf<'a, O> {
    batch: &'a Batch,
    objects: &'a O,
    until: Instant,
    jitter: &'a Jitter,
}

impl<O: ObjectStore> Shelf<'_, O> {
    /// Writes the object that covers `from` to `through`, or finds one written. On the second attempt it is there, and
    /// what it covers counts, which may be less than what was to be written now, or more.
    async fn write(&self, from: Place, through: Place, packed: Packed) -> Result<ArchivedObject, GaveUp> {
        let key = self.key(from);
        let covers = Covers {
            sequence_number: self.batch.records()[through.record].sequence_number.to_string(),
            position: through.position,
        };
        let Packed { bytes, ranges } = packed;
        let bytes = Bytes::from(bytes);
        let put = || self.objects.put_if_absent(&key, bytes.clone(), Some(&covers));
        match retry(self.until, self.jitter, put).await? {
            Created::New => {
                let written = Some(WrittenObject { bytes: bytes.len(), ranges });
                Ok(ArchivedObject { key, covers, written })
            }
            Created::Existed => {
                let covers = retry(self.until, self.jitter, || read_covers(self.objects, &key)).await?;
                Ok(ArchivedObject { key, covers, written: None })
            }
        }
    }

    /// The object that covers from `from` on, if there is one.
    async fn find(&self, from: Place) -> Result<Option<ArchivedObject>, GaveUp> {
        let key = self.key(from);
        let covers = retry(self.until, self.jitter, || self.objects.covers(&key)).await?;
        Ok(covers.map(|covers| ArchivedObject { key, covers, written: None }))
    }

    fn key(&self, from: Place) -> String {
        let first = &self.batch.records()[from.record];
        key::archive_object(self.batch.shard(), &first.sequence_number, from.position, first.arrival)
    }
}

async fn read_covers(objects: &impl ObjectStore, key: &str) -> Result<Covers, ObjectFailure> {
    let covers = objects.covers(key).await?;
    covers.ok_or_else(|| ObjectFailure(format!("the object `{key}` does not say what it covers")))
}

/// The first place behind what an object covers.
fn behind(prefix: &Prefix<Settled>, batch: &Batch, covers: &Covers) -> Place {
    let is_covered = |sequence_number: &str| as_number(sequence_number) <= as_number(&covers.sequence_number);
    let covered = batch.records().partition_point(|record| is_covered(&record.sequence_number));
    // An object may end within a record: then that record is not done.
    let last = covered.saturating_sub(1);
    let ends_within = *batch.records()[last].sequence_number == covers.sequence_number
        && prefix.last_positions.get(last).is_none_or(|end| covers.position < *end);
    if ends_within {
        Place { record: last, position: covers.position + 1 }
    } else {
        Place { record: covered, position: 0 }
    }
}

/// Sequence numbers compare as numbers do; they are too large for one.
fn as_number(sequence_number: &str) -> (usize, &str) {
    (sequence_number.len(), sequence_number)
}
