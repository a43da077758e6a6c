//! Where an event lies on the stream.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Where an event lies on the stream, for ever: no other ever lies there. An item names its event's origin, and the
/// event is archived by that one only. Names are on the wire: never renamed.
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
