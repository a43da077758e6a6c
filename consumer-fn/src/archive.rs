//! The archive: what was stored, laid out as compact gzip NDJSON objects, in the stream's order.
//!
//! An object is named after the first place that it covers, and says in its metadata which is the first one behind. So
//! a second attempt names the same object, finds what the first one left, and goes on behind it. When an object may be
//! written is not decided here but in [`crate::protocol`].

use bytes::Bytes;
use shared::config;
use shared::key;

use self::roll::{Line, Packed, Roller};
use crate::batch::Batch;
use crate::insert::Settled;
use crate::ledger::Intent;
use crate::manifest::Contents;
use crate::origin::{Mark, Place};
use crate::prefix::Prefix;
use crate::protocol::Planned;

pub(crate) mod line;
pub(crate) mod roll;

/// A batch's stored events, as the objects they are to become.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    batch: &'a Batch,
    records: usize,
    last_positions: &'a [u32],
    lines: Vec<Line>,
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
            lines: lines(prefix, config),
            roller: Roller::new(config.object_bytes, config.level()),
            last: None,
        }
    }

    /// The next object, if everything before `settled` is settled; none if no line is left.
    pub(crate) fn next(&mut self, settled: &Mark) -> Option<Planned> {
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
        let planned =
            Planned { intent, before: self.mark(Place { position: through.position + 1, ..through }) };
        self.last = Some((planned.clone(), bytes.into(), contents));
        Some(planned)
    }

    /// The bytes of an object that was just asked for, and what they hold.
    pub(crate) fn object(&self, planned: &Planned) -> (Bytes, Contents) {
        let last = self.last.as_ref().filter(|(last, ..)| last == planned);
        let (_, bytes, contents) = last.expect("an object is written as soon as it is planned");
        (bytes.clone(), contents.clone())
    }

    /// The first place behind the prefix, if not everything before it is before `settled`: what comes last in it went to
    /// quarantine or was there already, so that no object covers it.
    pub(crate) fn open_end(&self, settled: &Mark) -> Option<Mark> {
        let record = self.records.checked_sub(1)?;
        let end = self.mark(Place { record, position: self.last_positions[record] + 1 });
        (*settled < end).then_some(end)
    }

    /// The first place of the batch at or behind a mark.
    pub(crate) fn place(&self, mark: &Mark) -> Place {
        let records = self.batch.records();
        let before = |number: &std::sync::Arc<str>| {
            Mark::new(number.clone(), 0) < Mark::new(mark.sequence_number.clone(), 0)
        };
        let record = records.partition_point(|record| before(&record.sequence_number));
        let is_within =
            records.get(record).is_some_and(|found| found.sequence_number == mark.sequence_number);
        if !is_within {
            return Place { record, position: 0 };
        }
        // Of a record that was not read, nobody knows where it ends.
        let ends = self.last_positions.get(record).is_some_and(|last| mark.position > *last);
        if ends {
            Place { record: record + 1, position: 0 }
        } else {
            Place { record, position: mark.position }
        }
    }

    fn mark(&self, place: Place) -> Mark {
        Mark {
            sequence_number: self.batch.records()[place.record].sequence_number.clone(),
            position: place.position,
        }
    }

    fn key(&self, from: Place) -> String {
        let first = &self.batch.records()[from.record];
        key::archive_object(self.batch.shard(), &first.sequence_number, from.position, first.arrival)
    }

    /// The last place that an object covers which holds the first `count` of `lines`: records that yield no lines
    /// belong to the object before them only at the end, where there is no other.
    fn last_covered(&self, lines: &[Line], count: usize) -> Place {
        let last = lines[count - 1].place;
        let end_of = |record: usize| Place { record, position: self.last_positions[record] };
        match lines.get(count) {
            None => end_of(self.records - 1),
            Some(next) if next.place.record == last.record => last,
            Some(_) => end_of(last.record),
        }
    }
}

fn lines(prefix: &Prefix<Settled>, config: &config::Archive) -> Vec<Line> {
    let stored = prefix.entries.iter().filter_map(|entry| match &entry.value {
        Settled::Stored(prepared) => Some((entry.place, prepared)),
        Settled::Redelivered | Settled::Deduplicated => None,
    });
    let line = |(place, prepared): (Place, &Box<_>)| {
        let prepared: &crate::prepare::Prepared = prepared;
        Line {
            place,
            tenant: prepared.item.tenant.clone(),
            received_at: prepared.item.received_at,
            bytes: line::line(prepared, config.content),
        }
    };
    stored.map(line).collect()
}
