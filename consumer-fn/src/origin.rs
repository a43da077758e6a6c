//! Where an event lies: on the stream for ever, and in the batch at hand.

use std::fmt;
use std::sync::Arc;

/// Where an event lies on the stream. An item names its event's origin, and the event is archived by that one only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

/// Where an event lies in the batch. Ordered as the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Which record of the batch, from 0.
    pub(crate) record: usize,
    /// Which line of the record, from 0.
    pub(crate) position: u32,
}
