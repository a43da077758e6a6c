//! `make scale`: how fresh stored events are, and how many objects and invocations they take, from 1 shard to 1,000. The event source
//! mapping is the real one, in virtual time; the consumer takes as long as it was measured to. Prints a JSON object a scenario, and
//! `cdk/scripts/scale.ts` makes the table of docs/performance.md of them.
//!
//! Shards are independent, but for the table's capacity and the function's concurrency. So one of them is simulated, with its share of
//! both.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use local::event_source_mapping::ports::{
    Checkpoints, InvokeFailure, Invoker, ReadLimit, ShardRead, ShardTail, StreamReader, StreamShard,
};
use local::event_source_mapping::{EventSourceMapping, Rules, Settings};
use operate::deployment::RetainedRecord;
use serde::{Deserialize, Serialize};
use shared::id::Ids;
use shared::objects::memory::MemoryObjects;
use shared::time::{Clock, Timestamp};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How long events are sent.
const SENT_FOR: Duration = Duration::from_mins(5);
/// How long the last of them may take to be stored.
const WAIT: Duration = Duration::from_mins(5);
/// Processor time of an event of 390 bytes, with what the AWS SDK adds: about twice docs/performance.md.
const EVENT: Duration = Duration::from_micros(40);
/// An S3 PUT of an archive object, and the three writes of the ledger around it.
const COMMIT: Duration = Duration::from_millis(40 + 3 * 5);
/// A call to DynamoDB, the events in one, and how many are made at a time.
const CALL: Duration = Duration::from_millis(5);
const CALL_EVENTS: usize = 25;
const CALLS: usize = 16;
/// Write units of an item.
const ITEM_UNITS: f64 = 1.0;
const STARTED_MS: i64 = 1_795_000_000_000;

/// Events with the same load on each of their shards.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    shards: u32,
    /// Events a second on each shard.
    events: f64,
    /// Events in a record, and the record's bytes.
    packed: usize,
    record_bytes: usize,
    /// Write units a second that the table takes.
    table_units: f64,
    window: Duration,
}

/// What became of the events of one shard.
#[derive(Clone, Debug, Default)]
struct Outcome {
    /// Of each invocation's events: how many, and how old the oldest was when they were stored, in seconds.
    stored: Vec<(usize, f64)>,
    busy: Duration,
}

fn main() {
    let new_table = 4_000.0;
    let quota = 40_000.0;
    let single = Scenario {
        shards: 1,
        events: 700.0,
        packed: 1,
        record_bytes: 700,
        table_units: new_table,
        window: Rules::default().batching_window,
    };
    let packed = Scenario { events: 1_000.0, packed: 50, record_bytes: 50 * 150, ..single };
    for scenario in [
        single,
        Scenario { shards: 5, ..single },
        Scenario { shards: 10, ..single },
        Scenario { shards: 10, table_units: quota, ..single },
        Scenario { shards: 50, table_units: quota, ..single },
        Scenario { shards: 100, table_units: quota, ..single },
        Scenario { shards: 100, table_units: f64::INFINITY, ..single },
        Scenario { shards: 1_000, table_units: f64::INFINITY, ..single },
        packed,
        Scenario { events: 6_000.0, table_units: quota, ..packed },
        Scenario { shards: 100, events: 6_000.0, table_units: f64::INFINITY, ..packed },
        Scenario { shards: 1_000, table_units: f64::INFINITY, ..packed },
        Scenario { shards: 1_000, table_units: f64::INFINITY, window: Duration::from_mins(1), ..packed },
    ] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let outcome = runtime.expect("a runtime").block_on(scenario.run());
        println!("{}", serde_json::to_string(&scenario.summary(&outcome)).expect("numbers"));
    }
}

impl Scenario {
    async fn run(self) -> Outcome {
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let sender = Sender { scenario: self, started: Instant::now() };
        let settings = Settings {
            mapping_id: Uuid::nil(),
            function_arn: "arn:aws:lambda:us-east-1:123456789012:function:consumer".to_owned(),
            stream_arn: "arn:aws:kinesis:us-east-1:123456789012:stream/events".to_owned(),
            role_arn: "arn:aws:iam::123456789012:role/consumer".to_owned(),
            rules: Rules { batching_window: self.window, ..Rules::default() },
            poll_interval: Duration::from_secs(1),
            discovery_interval: Duration::from_hours(1),
            ids: Ids::new(Uuid::nil),
        };
        let clock = Clock::fixed(Timestamp::from_unix_ms(STARTED_MS));
        let consumer = Measured { sender, outcome: Arc::clone(&outcome) };
        let mapping = EventSourceMapping::new(
            settings,
            sender,
            NoCheckpoints,
            consumer,
            MemoryObjects::default(),
            &clock,
        );
        let running = mapping.run();
        sleep(SENT_FOR + WAIT).await;
        drop(running);
        let outcome = outcome.lock().expect("no one panicked");
        outcome.clone()
    }

    /// How long the consumer works on that many events.
    fn work(self, events: usize) -> Duration {
        let count = u32::try_from(events).expect("a batch has at most 500,000 events");
        let calls = u32::try_from(events.div_ceil(CALL_EVENTS).div_ceil(CALLS)).expect("fewer than events");
        let share = self.table_units / f64::from(self.shards);
        let by_table = Duration::from_secs_f64(f64::from(count) * ITEM_UNITS / share);
        EVENT * count + by_table.max(CALL * calls) + COMMIT
    }

    fn summary(self, outcome: &Outcome) -> Summary {
        let mut ages = outcome.stored.clone();
        ages.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        let events: usize = ages.iter().map(|(events, _)| events).sum();
        let quantile = |part: f64| {
            let mut seen = 0.0;
            let found = ages.iter().find(|(stored, _)| {
                seen += count(*stored);
                seen >= part * count(events)
            });
            found.map_or(f64::NAN, |(_, age)| *age)
        };
        let invocations = count(ages.len());
        Summary {
            events_a_second: self.events * f64::from(self.shards),
            shards: self.shards,
            packed: self.packed,
            record_bytes: self.record_bytes,
            table_units: self.table_units.is_finite().then_some(self.table_units),
            window_seconds: self.window.as_secs(),
            oldest_p50_seconds: quantile(0.5),
            oldest_p99_seconds: quantile(0.99),
            busy: outcome.busy.as_secs_f64() / SENT_FOR.as_secs_f64(),
            invocations_a_million: 1e6 * invocations / count(events),
            invocation_seconds: outcome.busy.as_secs_f64() / invocations,
        }
    }
}

/// A scenario, and what came of it: what `cdk/scripts/scale.ts` reads.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    events_a_second: f64,
    shards: u32,
    /// Events in a record.
    packed: usize,
    record_bytes: usize,
    /// Write units a second that the table takes. `None`: as many as are needed.
    table_units: Option<f64>,
    window_seconds: u64,
    /// When it is stored.
    oldest_p50_seconds: f64,
    oldest_p99_seconds: f64,
    /// The part of the time in which a shard's invocation runs. Above 1, a backlog grows.
    busy: f64,
    invocations_a_million: f64,
    invocation_seconds: f64,
}

#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 events")]
fn count(events: usize) -> f64 {
    events as f64
}

/// Sends evenly, from the beginning.
#[derive(Clone, Copy)]
struct Sender {
    scenario: Scenario,
    started: Instant,
}

impl Sender {
    fn at(&self, index: usize) -> Duration {
        Duration::from_secs_f64(count(index * self.scenario.packed) / self.scenario.events)
    }
}

impl StreamReader for Sender {
    async fn shards(&self) -> anyhow::Result<Vec<StreamShard>> {
        Ok(vec![StreamShard { id: "shardId-000000000000".to_owned(), parents: Vec::new() }])
    }

    async fn read(&self, _: &str, after: Option<&str>, limit: ReadLimit) -> anyhow::Result<ShardRead> {
        let elapsed = self.started.elapsed().min(SENT_FOR);
        let first = after.map_or(Ok(0), |number| number.parse().map(|index: usize| index + 1))?;
        let most = limit.records.min(limit.bytes.div_ceil(self.scenario.record_bytes));
        let data = Bytes::from(vec![b'x'; self.scenario.record_bytes]);
        let record = |index: usize| RetainedRecord {
            sequence_number: index.to_string(),
            partition_key: String::new(),
            data: data.clone(),
            arrival: Timestamp::from_unix_ms(STARTED_MS).plus(self.at(index)),
        };
        let arrived = |index: &usize| self.at(*index) < elapsed;
        let records: Vec<_> = (first..).take_while(arrived).take(most).map(record).collect();
        let tail = if arrived(&(first + records.len())) { ShardTail::More } else { ShardTail::Tip };
        Ok(ShardRead { records, tail })
    }
}

struct NoCheckpoints;

impl Checkpoints for NoCheckpoints {
    async fn load(&self, _: &str) -> anyhow::Result<Option<String>> {
        Ok(None)
    }

    async fn save(&self, _: &str, _: &str) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The consumer, as far as the mapping sees it.
struct Measured {
    sender: Sender,
    outcome: Arc<Mutex<Outcome>>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    kinesis: Kinesis,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kinesis {
    approximate_arrival_timestamp: f64,
}

impl Invoker for Measured {
    async fn invoke(&self, payload: Bytes) -> Result<Bytes, InvokeFailure> {
        let batch: Payload = serde_json::from_slice(&payload).expect("the mapping sends what Lambda sends");
        let events = batch.records.len() * self.sender.scenario.packed;
        let work = self.sender.scenario.work(events);
        sleep(work).await;
        let oldest = batch.records.first().map_or(0.0, |record| record.kinesis.approximate_arrival_timestamp);
        let now = Duration::from_millis(STARTED_MS.unsigned_abs()) + self.sender.started.elapsed();
        let mut outcome = self.outcome.lock().expect("no one panicked");
        outcome.stored.push((events, now.as_secs_f64() - oldest));
        outcome.busy += work;
        Ok(Bytes::from_static(b"{\"batchItemFailures\":[]}"))
    }
}
