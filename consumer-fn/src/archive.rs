//! Lays out the stored events as compact gzip NDJSON objects, in the stream's order.
//!
//! An object's key names the first position that it covers; its metadata has the end. So a second attempt computes the same
//! key, finds the object of the first attempt, and continues after it. [`crate::protocol`] decides when an object may be
//! written.

use bytes::Bytes;
use shared::config;
use shared::format::key;

use self::roll::{Line, Packed, Roller};
use crate::batch::{BatchPosition, Records};
use crate::insert::{InsertOutcome, Stored};
use crate::ledger::Intent;
use crate::manifest::Contents;
use crate::prefix::Prefix;
use crate::protocol::Planned;
use crate::quarantine::LOGGED_TRACES;
use shared::origin::ShardPosition;

pub(crate) mod roll;

/// A batch's stored events, laid out as objects.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    records: &'a Records,
    prefix: &'a Prefix<InsertOutcome>,
    lines: Vec<Line<'a>>,
    roller: Roller,
    /// The last planned object.
    last: Option<(Planned, Bytes, Contents)>,
}

impl<'a> Layout<'a> {
    pub(crate) fn new(
        prefix: &'a Prefix<InsertOutcome>,
        records: &'a Records,
        config: &config::Archive,
    ) -> Self {
        Self {
            records,
            prefix,
            lines: stored(prefix).map(line).collect(),
            roller: Roller::new(config.object_bytes, config.level()),
            last: None,
        }
    }

    /// The next object, if everything before `committed` is committed; `None` if no line is left.
    pub(crate) fn next(&mut self, committed: &ShardPosition) -> Option<Planned> {
        let from = self.in_batch(committed);
        let rest = &self.lines[self.lines.partition_point(|line| line.position < from)..];
        if rest.is_empty() {
            return None;
        }
        let intent = Intent { key: self.key(from), from: self.on_shard(from) };
        if let Some((planned, ..)) = self.last.as_ref().filter(|(planned, ..)| planned.intent == intent) {
            return Some(planned.clone());
        }
        let (count, Packed { bytes, contents }) = self.roller.next(rest);
        let through = self.last_covered(rest, count);
        let planned = Planned {
            intent,
            end: self.on_shard(BatchPosition { position: through.position + 1, ..through }),
        };
        self.last = Some((planned.clone(), bytes.into(), contents));
        Some(planned)
    }

    /// The bytes and the contents of the object that was planned last.
    pub(crate) fn object(&self, planned: &Planned) -> (Bytes, Contents) {
        let last = self.last.as_ref().filter(|(last, ..)| last == planned);
        let (_, bytes, contents) = last.expect("an object is written as soon as it is planned");
        (bytes.clone(), contents.clone())
    }

    /// The trace headers of the first few events of an object: its log line has them.
    pub(crate) fn traces(&self, planned: &Planned) -> Vec<&'a str> {
        let covered = self.in_batch(&planned.intent.from)..self.in_batch(&planned.end);
        let events = stored(self.prefix).filter(|(position, _)| covered.contains(position));
        events.filter_map(|(_, event)| event.facts.trace.as_deref()).take(LOGGED_TRACES).collect()
    }

    /// The end of the prefix, if it is after `committed`: the last lines went to quarantine or were duplicates, so no object
    /// covers them.
    pub(crate) fn open_end(&self, committed: &ShardPosition) -> Option<ShardPosition> {
        let record = self.prefix.records.checked_sub(1)?;
        let end = self.on_shard(BatchPosition { record, position: self.prefix.last_positions[record] + 1 });
        (*committed < end).then_some(end)
    }

    /// The first position of the batch at or after a position on the shard.
    pub(crate) fn in_batch(&self, position: &ShardPosition) -> BatchPosition {
        let records = self.records.all();
        let before = |number: &std::sync::Arc<str>| {
            ShardPosition::new(number.clone(), 0) < ShardPosition::new(position.sequence_number.clone(), 0)
        };
        let record = records.partition_point(|record| before(&record.sequence_number));
        let is_within =
            records.get(record).is_some_and(|found| found.sequence_number == position.sequence_number);
        if !is_within {
            return BatchPosition { record, position: 0 };
        }
        // The end of a record that was not read is unknown.
        let ends = self.prefix.last_positions.get(record).is_some_and(|last| position.position > *last);
        if ends {
            BatchPosition { record: record + 1, position: 0 }
        } else {
            BatchPosition { record, position: position.position }
        }
    }

    fn on_shard(&self, position: BatchPosition) -> ShardPosition {
        ShardPosition {
            sequence_number: self.records.all()[position.record].sequence_number.clone(),
            position: position.position,
        }
    }

    fn key(&self, from: BatchPosition) -> String {
        let first = &self.records.all()[from.record];
        key::archive_object(self.records.shard(), &first.sequence_number, from.position, first.arrival)
    }

    /// The last position that an object with the first `count` of `lines` covers. Records without lines belong to the object
    /// before them only at the end of the batch, where no other object follows.
    fn last_covered(&self, lines: &[Line<'_>], count: usize) -> BatchPosition {
        let last = lines[count - 1].position;
        let end_of = |record: usize| BatchPosition { record, position: self.prefix.last_positions[record] };
        match lines.get(count) {
            None => end_of(self.prefix.records - 1),
            Some(next) if next.position.record == last.record => last,
            Some(_) => end_of(last.record),
        }
    }
}

fn line((position, Stored { facts, line, .. }): (BatchPosition, &Stored)) -> Line<'_> {
    Line { position, tenant: &facts.tenant, received_at: facts.received_at, bytes: line }
}

fn stored(prefix: &Prefix<InsertOutcome>) -> impl Iterator<Item = (BatchPosition, &Stored)> {
    prefix.entries.iter().filter_map(|entry| match &entry.value {
        InsertOutcome::Stored(event) => Some((entry.position, event)),
        InsertOutcome::Redelivered | InsertOutcome::Deduplicated => None,
    })
}
