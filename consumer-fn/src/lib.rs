//! The stream side of Tidegate: batches of stream records become items and archive objects, or lie in quarantine.
//!
//! | stage | does |
//! |---|---|
//! | [`batch`] | reads the invocation's payload |
//! | [`decode`] | records to events |
//! | [`resolve`] | fetches lines that came as claim checks |
//! | [`transform`] | simulates work, where that is asked for; redacts, changes case, enriches |
//! | [`prepare`] | lays out item and archive line |
//! | [`texts`] | writes archive lines that are too large for an object |
//! | [`insert`] | items, and who comes second |
//! | [`quarantine`] | what goes no further |
//! | [`archive`] | lays out gzip NDJSON objects |
//! | [`commit`] | writes them, as [`protocol`] says, with their [`manifest`] rows |
//! | [`response`] | how much is done |
//!
//! [`handler`] strings them together. [`prefix`] is what they hand on: the rule that a batch is finished from the front.
//! Stages that talk to a store do it through three ports, [`ItemStore`],
//! [`ObjectStore`](shared::objects::ObjectStore) and [`Ledger`].

mod archive;
mod batch;
mod commit;
mod count;
mod deadline;
mod decode;
pub mod environment;
mod handler;
mod insert;
pub mod items;
pub mod lambda;
pub mod ledger;
pub mod manifest;
mod prefix;
mod prepare;
mod protocol;
mod quarantine;
mod resolve;
mod response;
mod retry;
#[cfg(test)]
mod tests;
mod texts;
mod transform;

pub use batch::Batch;
pub use commit::settle;
pub use deadline::Deadline;
pub use decode::{StreamLine, read_again};
pub use handler::Consumer;
pub use items::{Attribute, ItemStore};
pub use ledger::Ledger;
pub use quarantine::{NotKept, keep_unreadable};
pub use transform::InvalidTransform;
