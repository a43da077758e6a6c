//! Positions: on the stream, and within the batch.

pub use shared::origin::{Origin, ShardPosition};

/// An event's position within the batch. Ordered as the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchPosition {
    /// Which record of the batch, from 0.
    pub(crate) record: usize,
    /// Which line of the record, from 0.
    pub(crate) position: u32,
}
