//! The embedded adapters that the functions get. The tests wrap each adapter to inject faults.

use consumer_fn::DispatchQueue;
use consumer_fn::items::ItemStore;
use consumer_fn::ledger::Ledger;
use dispatch_fn::DispatchItems;
use ingest_fn::publish::EventStream;
use ingest_fn::{EventReader, SpillQueue};
use shared::objects::ObjectStore;

use crate::embedded::{
    EmbeddedItems, EmbeddedLedger, EmbeddedObjects, EmbeddedQueue, EmbeddedReader, EmbeddedStream,
};

/// Each method may wrap its adapter. By default, none does.
pub trait Adapters: Send + Sync {
    /// For ingest and the drain.
    fn stream(&self, stream: EmbeddedStream) -> impl EventStream {
        stream
    }

    /// For ingest.
    fn spill(&self, queue: EmbeddedQueue) -> impl SpillQueue {
        queue
    }

    /// For ingest.
    fn reader(&self, reader: EmbeddedReader) -> impl EventReader {
        reader
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

    /// For the consumer.
    fn dispatch(&self, queue: EmbeddedQueue) -> impl DispatchQueue {
        queue
    }

    /// For the dispatcher: what it notes on items.
    fn dispatched(&self, items: EmbeddedItems) -> impl DispatchItems {
        items
    }
}

/// Wraps nothing.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Adapters for Plain {}
