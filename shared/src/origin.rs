//! Where an event is on the stream.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Where an event is on the stream: no other event ever has the same origin. An item names its event's origin, and the
/// event is archived only from there. The names are on the wire: never rename them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The shard, such as `shardId-000000000002`.
    pub shard: Arc<str>,
    /// The record's sequence number, a decimal number of 128 bits or more.
    pub sequence_number: Arc<str>,
    /// Which line of the record, from 0.
    pub position: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.shard, self.sequence_number, self.position)
    }
}

/// Whether `text` is a sequence number: a decimal number.
pub fn is_sequence_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A position on one shard: a record, and a line in it. Positions compare in the order of the shard. As the end of a
/// range it is exclusive: the first position that does not belong to the range. The names are on disk: never rename them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShardPosition {
    /// The record's sequence number.
    pub sequence_number: Arc<str>,
    /// Which line of the record, from 0. As an exclusive end it may equal the number of lines.
    pub position: u32,
}

impl ShardPosition {
    pub fn new(sequence_number: impl Into<Arc<str>>, position: u32) -> Self {
        Self { sequence_number: sequence_number.into(), position }
    }

    /// The end of a range whose last event is at `origin`.
    pub fn after(origin: &Origin) -> Self {
        Self::new(origin.sequence_number.clone(), origin.position + 1)
    }

    /// Sequence numbers are too large for a number type. The longer one is the larger.
    fn order(&self) -> (usize, &str, u32) {
        (self.sequence_number.len(), &self.sequence_number, self.position)
    }
}

impl From<&Origin> for ShardPosition {
    fn from(origin: &Origin) -> Self {
        Self::new(origin.sequence_number.clone(), origin.position)
    }
}

impl Ord for ShardPosition {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for ShardPosition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ShardPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence_number, self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_compare_in_the_order_of_the_shard() {
        let positions =
            [("9", 1), ("10", 0), ("10", 2), ("99", 0), ("100", 0)].map(|(n, p)| ShardPosition::new(n, p));
        assert!(positions.is_sorted_by(|a, b| a < b));
    }
}
