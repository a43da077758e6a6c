//! Publishing: event lines onto the stream, packed, in order for each partition key, within a time budget.

mod port;

pub use port::{EventStream, Put, Refusal, StreamFailure, StreamRecord};
