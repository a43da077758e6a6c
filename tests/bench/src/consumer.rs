//! The consumer: an invocation's payload as JSON to its answer, with stores in memory that take everything.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use consumer_fn::items::{Insert, Item, ItemStore, TakeOver, TakenOver};
use consumer_fn::ledger::{Ledger, LedgerFailure, Progress, Written};
use consumer_fn::{Batch, Consumer, Deadline};
use shared::config::Config;
use shared::format::manifest_row::ManifestRow;
use shared::objects::memory::MemoryObjects;
use shared::time::Clock;

/// A table that takes every item and keeps none, but lays out its attributes, as the adapter of DynamoDB does.
#[derive(Clone, Copy, Debug)]
struct Items;

impl ItemStore for Items {
    async fn insert(&self, items: &[Arc<Item>]) -> Vec<Insert> {
        let insert = |item: &Arc<Item>| {
            std::hint::black_box(item.attributes());
            Insert::Inserted
        };
        items.iter().map(insert).collect()
    }

    async fn take_over(&self, items: &[TakeOver]) -> Vec<TakenOver> {
        unreachable!("nothing is redriven, and yet {} items are taken over", items.len())
    }
}

#[derive(Debug, Default)]
struct OneShard(Mutex<Progress>);

impl Ledger for OneShard {
    async fn read(&self, _shard: &str) -> Result<Progress, LedgerFailure> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn write(&self, _shard: &str, progress: &Progress) -> Result<Written, LedgerFailure> {
        self.0.lock().unwrap().clone_from(progress);
        Ok(Written::Done)
    }

    async fn note(&self, _shard: &str, _row: &ManifestRow) -> Result<(), LedgerFailure> {
        Ok(())
    }
}

/// The consumer with new stores. It processes one batch: the ledger says of a second that it is done.
#[derive(Debug)]
pub struct Run {
    consumer: Consumer<Items, MemoryObjects, OneShard>,
    objects: MemoryObjects,
    config: Arc<Config>,
}

impl Run {
    pub fn new(config: &Arc<Config>) -> Self {
        let objects = MemoryObjects::default();
        let (items, ledger) = (Items, OneShard::default());
        let consumer =
            Consumer::new(Arc::clone(config), items, objects.clone(), ledger, Clock::system()).unwrap();
        Self { consumer, objects, config: Arc::clone(config) }
    }

    pub async fn process(&self, batch: &str) {
        let batch: Batch = serde_json::from_str(batch).unwrap();
        let deadline = Deadline::after(Duration::from_mins(1), &self.config);
        let answer = self.consumer.handle(batch, deadline).await;
        assert!(answer.batch_item_failures.is_empty(), "the batch is not done");
    }

    /// The bytes of the archive objects.
    pub fn archived(&self) -> usize {
        self.objects.keys("events/").iter().map(|key| self.objects.bytes(key).len()).sum()
    }

    /// The keys of everything that was written to S3, such as quarantine.
    pub fn keys(&self) -> Vec<String> {
        self.objects.keys("")
    }
}
