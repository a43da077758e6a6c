//! The consumer: an invocation's payload as JSON to its answer, with stores in memory that take everything.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use consumer_fn::items::{Attribute, Insert, Item, ItemStore, TakeOver, TakenOver};
use consumer_fn::ledger::{Ledger, LedgerFailure, Progress, Written};
use consumer_fn::{Batch, Consumer, Deadline};
use serde_json::{Value, json};
use shared::config::Config;
use shared::format::manifest_row::ManifestRow;
use shared::objects::memory::MemoryObjects;
use shared::time::Clock;

/// The attributes of an item.
type Attributes = Vec<(&'static str, Attribute)>;

/// A table that takes every item, and lays out its attributes, as the adapter of DynamoDB does. It keeps them if it is to.
#[derive(Clone, Debug, Default)]
struct Items {
    kept: Option<Arc<Mutex<Vec<Attributes>>>>,
}

impl ItemStore for Items {
    async fn insert(&self, items: &[Arc<Item>]) -> Vec<Insert> {
        for item in items {
            let attributes = std::hint::black_box(item.attributes());
            if let Some(kept) = &self.kept {
                kept.lock().unwrap().push(attributes);
            }
        }
        vec![Insert::Inserted; items.len()]
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
    items: Items,
    objects: MemoryObjects,
    config: Arc<Config>,
}

impl Run {
    pub fn new(config: &Arc<Config>) -> Self {
        Self::with(config, Items::default())
    }

    /// The same, with a table that keeps its items.
    pub fn keeping(config: &Arc<Config>) -> Self {
        Self::with(config, Items { kept: Some(Arc::default()) })
    }

    fn with(config: &Arc<Config>, items: Items) -> Self {
        let objects = MemoryObjects::default();
        let ledger = OneShard::default();
        let consumer =
            Consumer::new(Arc::clone(config), items.clone(), objects.clone(), ledger, Clock::system())
                .unwrap();
        Self { consumer, items, objects, config: Arc::clone(config) }
    }

    pub async fn process(&self, batch: &str) {
        let batch: Batch = serde_json::from_str(batch).unwrap();
        let deadline = Deadline::after(Duration::from_mins(1), &self.config);
        let answer = self.consumer.handle(batch, deadline).await;
        assert!(answer.batch_item_failures.is_empty(), "the batch is not done");
    }

    /// The archive objects, one after another.
    pub fn archive(&self) -> Vec<u8> {
        self.objects.keys("events/").iter().flat_map(|key| self.objects.bytes(key)).collect()
    }

    /// The items that were kept, as objects of JSON.
    pub fn items(&self) -> Vec<Value> {
        let value = |attribute: &Attribute| match attribute {
            Attribute::Text(text) => json!(text),
            Attribute::Number(number) => json!(number),
            Attribute::Flag(flag) => json!(flag),
        };
        let item = |attributes: &Attributes| {
            attributes.iter().map(|(name, attribute)| ((*name).to_owned(), value(attribute))).collect()
        };
        self.items
            .kept
            .iter()
            .flat_map(|kept| kept.lock().unwrap().iter().map(item).collect::<Vec<_>>())
            .collect()
    }

    /// The keys of everything that was written to S3, such as quarantine.
    pub fn keys(&self) -> Vec<String> {
        self.objects.keys("")
    }
}
