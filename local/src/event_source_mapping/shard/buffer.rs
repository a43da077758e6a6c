//! Records that were read and are in no batch yet, and how many of them fit into one event.

use std::collections::VecDeque;

use crate::event_source_mapping::payload::Envelope;
use crate::event_source_mapping::ports::RetainedRecord;

/// Records, each with the length of its JSON.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    records: VecDeque<(usize, RetainedRecord)>,
    sum: usize,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn push(&mut self, length: usize, record: RetainedRecord) {
        self.sum += length;
        self.records.push_back((length, record));
    }

    pub(super) fn take_first(&mut self) -> Option<RetainedRecord> {
        let (length, record) = self.records.pop_front()?;
        self.sum -= length;
        Some(record)
    }

    /// As many of the first records as fit into one event; none if the first alone does not fit.
    pub(super) fn take(&mut self, batch_size: usize, payload_limit: usize) -> Vec<RetainedRecord> {
        let mut count = 0;
        let mut sum = 0;
        for (length, _) in self.records.iter().take(batch_size) {
            if Envelope::event_length(count + 1, sum + length) > payload_limit {
                break;
            }
            count += 1;
            sum += length;
        }
        self.sum -= sum;
        self.records.drain(..count).map(|(_, record)| record).collect()
    }

    /// The length of an event with all of them.
    pub(super) fn event_length(&self) -> usize {
        Envelope::event_length(self.records.len(), self.sum)
    }
}
