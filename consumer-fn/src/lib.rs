//! The stream side of Tidegate.

mod batch;
mod deadline;
mod decode;
pub mod items;
pub mod objects;
mod origin;
mod prefix;
mod quarantine;
mod response;
mod retry;
mod transform;

pub use batch::Batch;
pub use deadline::Deadline;
pub use origin::Origin;
