//! The prefix rule. Whatever cannot be finished in this invocation ends the batch *before* it: the records up to there
//! are archived and committed, and the mapping comes back with the rest. No record is ever finished in part, and none
//! is finished while one before it is not.

use crate::batch::BatchPosition;
use crate::quarantine::Quarantined;

/// What is left of the batch, between two stages: its first `records` records, and what each of their lines became.
#[derive(Debug)]
pub(crate) struct Prefix<T> {
    /// How many records it has.
    pub(crate) records: usize,
    /// The position of the last line of each record that was decoded; 0 for a record without lines.
    pub(crate) last_positions: Vec<u32>,
    /// Lines that are on their way, in the stream's order.
    pub(crate) entries: Vec<Entry<T>>,
    /// Lines and records that are not, and why.
    pub(crate) quarantined: Vec<Quarantined>,
}

/// What one line became.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) place: BatchPosition,
    pub(crate) value: T,
}

impl<T> Prefix<T> {
    /// Leaves `record` and all behind it to a later invocation.
    pub(crate) fn end_before(&mut self, record: usize) {
        self.records = record;
        self.entries.retain(|entry| entry.place.record < record);
        self.quarantined.retain(|quarantined| quarantined.place.record < record);
    }

    /// Takes each entry a stage further, or into quarantine.
    pub(crate) fn and_then<U>(self, mut step: impl FnMut(Entry<T>) -> Result<U, Quarantined>) -> Prefix<U> {
        let mut quarantined = self.quarantined;
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in self.entries {
            let place = entry.place;
            match step(entry) {
                Ok(value) => entries.push(Entry { place, value }),
                Err(entry) => quarantined.push(entry),
            }
        }
        Prefix { records: self.records, last_positions: self.last_positions, entries, quarantined }
    }

    /// Takes each entry a stage further.
    pub(crate) fn map<U>(self, mut step: impl FnMut(BatchPosition, T) -> U) -> Prefix<U> {
        self.and_then(|entry| Ok(step(entry.place, entry.value)))
    }
}
