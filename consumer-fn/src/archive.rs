//! The archive: what was stored, laid out as compact gzip NDJSON objects, in the stream's order.
//!
//! An object is named after the first position that it covers, and its metadata has the end of what it covers. So a second
//! attempt names the same object, finds what the first one wrote, and continues after it. [`crate::protocol`] decides when
//! an object may be written.

use bytes::Bytes;
use shared::config;
use shared::format::key;

use self::roll::{Line, Packed, Roller};
use crate::batch::Batch;
use crate::batch::BatchPosition;
use crate::insert::Settled;
use crate::ledger::Intent;
use crate::manifest::Contents;
use crate::prefix::Prefix;
use crate::prepare::Prepared;
use crate::protocol::Planned;
use shared::origin::ShardPosition;

pub(crate) mod roll;

/// Trace headers in one log line.
pub(crate) const LOGGED_TRACES: usize = 10;

/// A batch's stored events, as the objects they are to become.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    batch: &'a Batch,
    records: usize,
    last_positions: &'a [u32],
    lines: Vec<Line>,
    /// The trace headers of the events that have one.
    traces: Vec<(BatchPosition, &'a str)>,
    roller: Roller,
    /// The object that was asked for last.
    last: Option<(Planned, Bytes, Contents)>,
}

impl<'a> Layout<'a> {
    /// Of what was stored in `prefix`.
    pub(crate) fn new(prefix: &'a Prefix<Settled>, batch: &'a Batch, config: &config::Archive) -> Self {
        Self {
            batch,
            records: prefix.records,
            last_positions: &prefix.last_positions,
            lines: lines(prefix),
            traces: stored(prefix)
                .filter_map(|(place, prepared)| Some((place, prepared.item.facts.trace.as_deref()?)))
                .collect(),
            roller: Roller::new(config.object_bytes, config.level()),
            last: None,
        }
    }

    /// The next object, if everything before `settled` is settled; none if no line is left.
    pub(crate) fn next(&mut self, settled: &ShardPosition) -> Option<Planned> {
        let from = self.place(settled);
        let rest = &self.lines[self.lines.partition_point(|line| line.place < from)..];
        if rest.is_empty() {
            return None;
        }
        let intent = Intent { key: self.key(from), from: self.mark(from) };
        if let Some((planned, ..)) = self.last.as_ref().filter(|(planned, ..)| planned.intent == intent) {
            return Some(planned.clone());
        }
        let (count, Packed { bytes, contents }) = self.roller.next(rest);
        let through = self.last_covered(rest, count);
        let planned = Planned {
            intent,
            before: self.mark(BatchPosition { position: through.position + 1, ..through }),
        };
        self.last = Some((planned.clone(), bytes.into(), contents));
        Some(planned)
    }

    /// The bytes of an object that was just asked for, and what they hold.
    pub(crate) fn object(&self, planned: &Planned) -> (Bytes, Contents) {
        let last = self.last.as_ref().filter(|(last, ..)| last == planned);
        let (_, bytes, contents) = last.expect("an object is written as soon as it is planned");
        (bytes.clone(), contents.clone())
    }

    /// The trace headers of the first few events of an object: its log line has them.
    pub(crate) fn traces(&self, planned: &Planned) -> Vec<&'a str> {
        let covered = self.place(&planned.intent.from)..self.place(&planned.before);
        let traces = self.traces.iter().filter(|(place, _)| covered.contains(place));
        traces.map(|(_, trace)| *trace).take(LOGGED_TRACES).collect()
    }

    /// The first place behind the prefix, if not everything before it is before `settled`: what comes last in it went to
    /// quarantine or was there already, so that no object covers it.
    pub(crate) fn open_end(&self, settled: &ShardPosition) -> Option<ShardPosition> {
        let record = self.records.checked_sub(1)?;
        let end = self.mark(BatchPosition { record, position: self.last_positions[record] + 1 });
        (*settled < end).then_some(end)
    }

    /// The first place of the batch at or behind a mark.
    pub(crate) fn place(&self, mark: &ShardPosition) -> BatchPosition {
        let records = self.batch.records();
        let before = |number: &std::sync::Arc<str>| {
            ShardPosition::new(number.clone(), 0) < ShardPosition::new(mark.sequence_number.clone(), 0)
        };
        let record = records.partition_point(|record| before(&record.sequence_number));
        let is_within =
            records.get(record).is_some_and(|found| found.sequence_number == mark.sequence_number);
        if !is_within {
            return BatchPosition { record, position: 0 };
        }
        // Of a record that was not read, nobody knows where it ends.
        let ends = self.last_positions.get(record).is_some_and(|last| mark.position > *last);
        if ends {
            BatchPosition { record: record + 1, position: 0 }
        } else {
            BatchPosition { record, position: mark.position }
        }
    }

    fn mark(&self, place: BatchPosition) -> ShardPosition {
        ShardPosition {
            sequence_number: self.batch.records()[place.record].sequence_number.clone(),
            position: place.position,
        }
    }

    fn key(&self, from: BatchPosition) -> String {
        let first = &self.batch.records()[from.record];
        key::archive_object(self.batch.shard(), &first.sequence_number, from.position, first.arrival)
    }

    /// The last place that an object covers which holds the first `count` of `lines`: records that yield no lines
    /// belong to the object before them only at the end, where there is no other.
    fn last_covered(&self, lines: &[Line], count: usize) -> BatchPosition {
        let last = lines[count - 1].place;
        let end_of = |record: usize| BatchPosition { record, position: self.last_positions[record] };
        match lines.get(count) {
            None => end_of(self.records - 1),
            Some(next) if next.place.record == last.record => last,
            Some(_) => end_of(last.record),
        }
    }
}

fn lines(prefix: &Prefix<Settled>) -> Vec<Line> {
    let line = |(place, prepared): (BatchPosition, &Prepared)| Line {
        place,
        tenant: prepared.item.facts.tenant.clone(),
        received_at: prepared.item.facts.received_at,
        bytes: prepared.line.clone(),
    };
    stored(prefix).map(line).collect()
}

fn stored(prefix: &Prefix<Settled>) -> impl Iterator<Item = (BatchPosition, &Prepared)> {
    prefix.entries.iter().filter_map(|entry| match &entry.value {
        Settled::Stored(prepared) => Some((entry.place, &**prepared)),
        Settled::Redelivered | Settled::Deduplicated => None,
    })
}
