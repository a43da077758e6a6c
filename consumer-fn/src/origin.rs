//! Where an event lies: on the stream for ever, and in the batch at hand.

use std::fmt;
use std::sync::Arc;

pub use shared::origin::Origin;

/// A place on a shard, named so that it can be told outside of a batch: the record, and the line in it. Ordered as the
/// shard is. Said of a range's end it is the first place that does *not* belong to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The record's sequence number.
    pub sequence_number: Arc<str>,
    /// Which line of the record, from 0. It may be one more than there are.
    pub position: u32,
}

impl Mark {
    /// The line `position` of the record `sequence_number`.
    pub fn new(sequence_number: impl Into<Arc<str>>, position: u32) -> Self {
        Self { sequence_number: sequence_number.into(), position }
    }

    /// The first place behind an event's.
    pub fn behind(origin: &Origin) -> Self {
        Self::new(origin.sequence_number.clone(), origin.position + 1)
    }

    /// Sequence numbers compare as numbers do; they are too large for one.
    fn order(&self) -> (usize, &str, u32) {
        (self.sequence_number.len(), &self.sequence_number, self.position)
    }
}

/// The place where an event lies, on the shard that its origin names.
impl From<&Origin> for Mark {
    fn from(origin: &Origin) -> Self {
        Self::new(origin.sequence_number.clone(), origin.position)
    }
}

impl Ord for Mark {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Mark {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence_number, self.position)
    }
}

/// Where an event lies in the batch. Ordered as the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Which record of the batch, from 0.
    pub(crate) record: usize,
    /// Which line of the record, from 0.
    pub(crate) position: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_in_the_order_of_the_shard() {
        let marks = [("9", 1), ("10", 0), ("10", 2), ("99", 0), ("100", 0)].map(|(n, p)| Mark::new(n, p));
        assert!(marks.is_sorted_by(|a, b| a < b));
    }
}
