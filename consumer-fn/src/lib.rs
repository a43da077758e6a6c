//! The consumer, the stream function of Tidegate: it stores batches of stream records as items and archive objects, or puts
//! them into quarantine.
//!
//! | stage | does |
//! |---|---|
//! | [`batch`] | reads the invocation's payload |
//! | [`decode`] | records to events |
//! | [`resolve`] | fetches lines that came as claim checks |
//! | [`transform`] | simulates work if configured; redacts, changes case, enriches |
//! | [`prepare`] | lays out item and archive line |
//! | [`texts`] | writes archive lines that are too large for an object |
//! | [`insert`] | inserts items, recognises duplicates |
//! | [`quarantine`] | saves what cannot be processed |
//! | [`dispatch`] | sends stored events to the dispatch queue, if there is one |
//! | [`archive`] | lays out gzip NDJSON objects |
//! | [`commit`] | writes them as [`protocol`] decides, with their [`manifest`] rows |
//! | [`response`] | answers how much is done |
//!
//! [`handler`] connects them. They pass on a [`prefix`]: a batch is finished from the front.
//! Stages that talk to a store do it through four ports, [`ItemStore`],
//! [`DispatchQueue`], [`ObjectStore`](shared::objects::ObjectStore) and [`Ledger`].

mod archive;
mod batch;
mod commit;
mod count;
mod deadline;
mod decode;
pub mod dispatch;
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
mod quarantined;
mod resolve;
mod response;
mod retry;
mod span;
#[cfg(test)]
mod tests;
mod texts;
mod transform;
mod unreadable;

pub use batch::Batch;
pub use commit::{NotFenced, fence};
pub use deadline::Deadline;
pub use decode::{StreamLine, read_again};
pub use dispatch::DispatchQueue;
pub use handler::Consumer;
pub use items::{Attribute, ItemStore};
pub use ledger::Ledger;
pub use transform::Transform;
pub use unreadable::{NotQuarantined, quarantine_unreadable};
