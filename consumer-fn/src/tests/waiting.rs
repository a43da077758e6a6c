//! How long a batch waits for its stores. Virtual time passes only while nothing can be computed, so this is the waiting alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::format::manifest_row::ManifestRow;
use shared::limits;
use shared::objects::memory::MemoryObjects;
use shared::objects::{Created, FoundObject, ObjectFailure, ObjectStore};
use shared::origin::ShardPosition;
use shared::time::{Clock, Timestamp};
use tokio::time::{Instant, sleep};

use super::stores::{FakeLedger, Fault, Items};
use super::{ARRIVAL_MS, Pipeline, batch, record, unfinished};
use crate::deadline::Deadline;
use crate::handler::Consumer;
use crate::items::{DYNAMODB_CALLS, Insert, Item, ItemStore, TakeOver, TakenOver};
use crate::ledger::{Ledger, LedgerFailure, Progress, Written};

/// A call to DynamoDB.
const CALL: Duration = Duration::from_millis(5);
/// A put to S3.
const PUT: Duration = Duration::from_millis(40);

/// A store that takes its time for each call.
struct Slow<T>(T);

impl ItemStore for Slow<Items> {
    const CALL_ITEMS: usize = limits::BATCH_STATEMENTS;
    const CALLS: usize = DYNAMODB_CALLS;

    async fn insert(&self, items: &[Arc<Item>]) -> Vec<Insert> {
        sleep(CALL).await;
        self.0.insert(items).await
    }

    async fn take_over(&self, items: &[TakeOver]) -> Vec<TakenOver> {
        sleep(CALL).await;
        self.0.take_over(items).await
    }
}

impl Ledger for Slow<FakeLedger> {
    async fn read(&self, shard: &str) -> Result<Progress, LedgerFailure> {
        sleep(CALL).await;
        self.0.read(shard).await
    }

    async fn write(&self, shard: &str, progress: &Progress) -> Result<Written, LedgerFailure> {
        sleep(CALL).await;
        self.0.write(shard, progress).await
    }

    async fn note(&self, shard: &str, row: &ManifestRow) -> Result<(), LedgerFailure> {
        sleep(CALL).await;
        self.0.note(shard, row).await
    }
}

impl ObjectStore for Slow<MemoryObjects> {
    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers_end: Option<&ShardPosition>,
    ) -> Result<Created, ObjectFailure> {
        sleep(PUT).await;
        self.0.put_if_absent(key, bytes, covers_end).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        sleep(PUT).await;
        self.0.put(key, bytes).await
    }

    async fn find(&self, key: &str) -> Result<Option<FoundObject>, ObjectFailure> {
        self.0.find(key).await
    }

    async fn get_range(
        &self,
        key: &str,
        offset: usize,
        length: usize,
    ) -> Result<Option<Bytes>, ObjectFailure> {
        self.0.get_range(key, offset, length).await
    }
}

/// Processes so many records of 50 events. Gives the index of the first that is not done, and the time in milliseconds.
async fn process(records: usize, items: &Items) -> (usize, u128) {
    let Pipeline { config, objects, ledger, .. } = Pipeline::new();
    let deadline = Deadline::after(Duration::from_mins(1), &config);
    let clock = Clock::fixed(Timestamp::from_unix_ms(ARRIVAL_MS));
    let consumer =
        Consumer::new(Arc::new(config), Slow(items.clone()), Slow(objects), Slow(ledger), clock).unwrap();
    let record = |at| {
        let ids: Vec<_> = (0..50).map(|line| format!("{at}-{line}")).collect();
        record("acme", &ids.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let records: Vec<_> = (0..records).map(record).collect();
    let start = Instant::now();
    let response = consumer.handle(batch(0, &records), deadline).await;
    (unfinished(&response, records.len()), start.elapsed().as_millis())
}

/// After the items: the intent, the object, its row, the ledger.
const COMMIT_MS: u128 = 5 + 40 + 5 + 5;

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_as_many_rounds_of_calls_as_its_items_take_and_for_the_commit() {
    let items = Items::default();
    assert_eq!(process(1, &items).await, (1, 5 + COMMIT_MS), "two calls, and the ledger's read beside them");
    let items = Items::default();
    assert_eq!(process(200, &items).await, (200, 13 * 5 + COMMIT_MS), "400 calls, 32 at the same time");
    assert_eq!(items.keys().len(), 10_000);
    assert_eq!(items.calls(), [25; 400]);
}

#[tokio::test(start_paused = true)]
async fn the_items_of_calls_that_were_answered_count_if_another_call_hangs() {
    let mut items = Items::default();
    items.fail(|id| (id == "2-7").then_some(Fault::Hangs));
    assert_eq!(process(4, &items).await.0, 2);
}
