//! The prefix rule. A record that cannot be finished in this invocation ends the batch *before* it: the records before it are
//! archived and committed, and the mapping sends the rest again. Records are finished whole and in order.

use crate::batch::BatchPosition;
use crate::quarantined::Quarantined;

/// What two stages pass on: the first `records` records of the batch, with the state of each line.
#[derive(Debug)]
pub(crate) struct Prefix<T> {
    pub(crate) records: usize,
    /// The position of the last line of each record that was decoded; 0 for a record without lines.
    pub(crate) last_positions: Vec<u32>,
    /// The lines that are processed, in the stream's order.
    pub(crate) entries: Vec<Entry<T>>,
    /// The lines and records that are quarantined.
    pub(crate) quarantined: Vec<Quarantined>,
}

/// One line, with the value that the last stage made.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) position: BatchPosition,
    pub(crate) value: T,
}

impl<T> Prefix<T> {
    /// Leaves `record` and all records after it to a later invocation.
    pub(crate) fn end_before(&mut self, record: usize) {
        self.records = record;
        self.entries.retain(|entry| entry.position.record < record);
        self.quarantined.retain(|quarantined| quarantined.position.record < record);
    }

    /// Replaces each entry by the result of `step`, or quarantines it.
    pub(crate) fn and_then<U>(self, mut step: impl FnMut(Entry<T>) -> Result<U, Quarantined>) -> Prefix<U> {
        let mut quarantined = self.quarantined;
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in self.entries {
            let position = entry.position;
            match step(entry) {
                Ok(value) => entries.push(Entry { position, value }),
                Err(entry) => quarantined.push(entry),
            }
        }
        Prefix { records: self.records, last_positions: self.last_positions, entries, quarantined }
    }

    /// Replaces each entry by the result of `step`.
    pub(crate) fn map<U>(self, mut step: impl FnMut(BatchPosition, T) -> U) -> Prefix<U> {
        self.and_then(|entry| Ok(step(entry.position, entry.value)))
    }
}
