//! Positions on the stream: of an event, and between events.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The one position on the stream at which an event is stored. No other event is ever there. An item names its event's
/// origin, and the event is archived from that origin only. Names are on the wire: never renamed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The shard, such as `shardId-000000000002`.
    pub shard: Arc<str>,
    /// The record's sequence number, a decimal number of up to 128 bits and more.
    pub sequence_number: Arc<str>,
    /// Which line of the record, from 0.
    pub position: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.shard, self.sequence_number, self.position)
    }
}

/// A position within one shard: a record, and a line in it. Ordered as the shard is. As the end of a range it is
/// exclusive: the first position that is *not* in the range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShardPosition {
    /// The record's sequence number.
    pub sequence_number: Arc<str>,
    /// Which line of the record, from 0. It may be one more than there are.
    pub position: u32,
}

impl ShardPosition {
    pub fn new(sequence_number: impl Into<Arc<str>>, position: u32) -> Self {
        Self { sequence_number: sequence_number.into(), position }
    }

    /// The next position after an event's.
    pub fn after(origin: &Origin) -> Self {
        Self::new(origin.sequence_number.clone(), origin.position + 1)
    }

    /// Sequence numbers compare as numbers, but are too large for an integer type.
    fn order(&self) -> (usize, &str, u32) {
        (self.sequence_number.len(), &self.sequence_number, self.position)
    }
}

/// The event's position on the shard that its origin names.
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
    fn positions_are_in_the_order_of_the_shard() {
        let positions = [("9", 1), ("10", 0), ("10", 2), ("99", 0), ("100", 0)];
        let positions = positions.map(|(number, position)| ShardPosition::new(number, position));
        assert!(positions.is_sorted_by(|a, b| a < b));
    }
}
