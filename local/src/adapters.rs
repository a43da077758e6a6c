//! The seam at which the tests put faults between the functions and the embedded adapters.

use consumer_fn::items::ItemStore;
use consumer_fn::ledger::Ledger;
use ingest_fn::SpillQueue;
use ingest_fn::publish::EventStream;
use shared::objects::ObjectStore;

use crate::embedded::{EmbeddedItems, EmbeddedLedger, EmbeddedObjects, EmbeddedQueue, EmbeddedStream};

/// What the functions get for each embedded adapter.
pub trait Adapters: Send + Sync {
    /// For the door's stream, and the redriver's.
    fn stream(&self, stream: EmbeddedStream) -> impl EventStream;
    /// For the door's spill queue.
    fn spill(&self, queue: EmbeddedQueue) -> impl SpillQueue;
    /// For the consumer's items.
    fn items(&self, items: EmbeddedItems) -> impl ItemStore;
    /// For the consumer's objects.
    fn objects(&self, objects: EmbeddedObjects) -> impl ObjectStore;
    /// For the consumer's ledger.
    fn ledger(&self, ledger: EmbeddedLedger) -> impl Ledger;
}

/// The adapters as they are.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Adapters for Plain {
    fn stream(&self, stream: EmbeddedStream) -> impl EventStream {
        stream
    }

    fn spill(&self, queue: EmbeddedQueue) -> impl SpillQueue {
        queue
    }

    fn items(&self, items: EmbeddedItems) -> impl ItemStore {
        items
    }

    fn objects(&self, objects: EmbeddedObjects) -> impl ObjectStore {
        objects
    }

    fn ledger(&self, ledger: EmbeddedLedger) -> impl Ledger {
        ledger
    }
}
