//! The HTTP side of Tidegate: admit, normalise, publish.

pub mod payload;
pub mod publish;

pub use payload::{PayloadFailure, PayloadStore};
pub use publish::{EventStream, Put, Refusal, StreamFailure, StreamRecord};
