//! Records that were read and are in no batch yet, and how many of them fit into one event.

use std::collections::VecDeque;

use crate::event_source_mapping::payload::{RenderedRecord, event_length};

#[derive(Debug, Default)]
pub(super) struct Buffer {
    records: VecDeque<RenderedRecord>,
    /// The bytes of their JSON.
    sum: usize,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn push(&mut self, record: RenderedRecord) {
        self.sum += record.json.len();
        self.records.push_back(record);
    }

    pub(super) fn take_first(&mut self) -> Option<RenderedRecord> {
        let record = self.records.pop_front()?;
        self.sum -= record.json.len();
        Some(record)
    }

    /// As many of the first records as fit into one event; none if the first alone does not fit.
    pub(super) fn take(&mut self, batch_size: usize, payload_limit: usize) -> Vec<RenderedRecord> {
        let mut count = 0;
        let mut sum = 0;
        for record in self.records.iter().take(batch_size) {
            if event_length(count + 1, sum + record.json.len()) > payload_limit {
                break;
            }
            count += 1;
            sum += record.json.len();
        }
        self.sum -= sum;
        self.records.drain(..count).collect()
    }

    /// The length of an event with all of them.
    pub(super) fn event_length(&self) -> usize {
        event_length(self.records.len(), self.sum)
    }
}
