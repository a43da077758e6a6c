//! A stream is resharded three times under load: `KinesisStream` puts, and our event source mapping reads with
//! `KinesisReader` from all shards. `tests/pipeline/split.rs` does the same with the embedded stream.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws::kinesis::{KinesisReader, Share};
use aws_sdk_kinesis::types::{Shard, StreamStatus};
use base64_simd::STANDARD;
use bytes::Bytes;
use ingest_fn::publish::kinesis::KinesisStream;
use ingest_fn::{EventStream, Put, StreamFailure, StreamRecord};
use local::event_source_mapping::ports::{Checkpoints, InvokeFailure, Invoker};
use local::event_source_mapping::{EventSourceMapping, Rules, Running, Settings};
use serde_json::Value;
use shared::backoff::Backoff;
use shared::id::Ids;
use shared::objects::memory::MemoryObjects;
use shared::time::Clock;
use tests::site::{DEADLINE, eventually};
use uuid::Uuid;

use crate::emulator::{Emulator, installed, sdk, start};

const STREAM: &str = "events";
const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/events";
/// Each has its own sender. There are keys on both sides of every split.
const PARTITION_KEYS: [&str; 6] = ["acme#0", "acme#1", "beta#0", "beta#1", "gamma#0", "gamma#1"];
/// Each sender puts about so many records before the first split, between two, and after the last.
const STRETCH: usize = 15;

fn kinesis_local() -> Emulator {
    let package = installed("KINESIS_LOCAL", "kinesis-local/node_modules/kinesis-local");
    let loopback = Path::new(env!("CARGO_MANIFEST_DIR")).join("aws/kinesis-local/loopback.cjs");
    let (script, certificate) = (package.join("main.js"), package.join("server.json"));
    let arguments = [OsStr::new("--require"), loopback.as_os_str(), script.as_os_str()];
    let variables =
        [("KINESIS_MOCK_CERT_PATH", certificate.as_os_str()), ("KINESIS_MOCK_TLS_PORT", OsStr::new("0"))];
    start(Path::new("node"), &arguments, "KINESIS_MOCK_PLAIN_PORT", &variables)
}

/// One record as the function got it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Delivered {
    shard: String,
    partition_key: String,
    data: String,
}

#[derive(Clone, Default)]
struct FakeConsumer(Arc<Mutex<Consumed>>);

#[derive(Default)]
struct Consumed {
    /// In the order of delivery.
    delivered: Vec<Delivered>,
    checkpoints: HashMap<String, String>,
}

impl Invoker for FakeConsumer {
    async fn invoke(&self, payload: Bytes) -> Result<Bytes, InvokeFailure> {
        let event: Value = serde_json::from_slice(&payload).unwrap();
        let delivered = event["Records"].as_array().unwrap().iter().map(|record| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let data = STANDARD.decode_to_vec(text(&record["kinesis"]["data"])).unwrap();
            Delivered {
                shard: text(&record["eventID"]).split_once(':').unwrap().0.to_owned(),
                partition_key: text(&record["kinesis"]["partitionKey"]),
                data: String::from_utf8(data).unwrap(),
            }
        });
        self.0.lock().unwrap().delivered.extend(delivered);
        Ok(Bytes::from_static(br#"{"batchItemFailures":[]}"#))
    }
}

impl Checkpoints for FakeConsumer {
    async fn load(&self, shard: &str) -> anyhow::Result<Option<String>> {
        Ok(self.0.lock().unwrap().checkpoints.get(shard).cloned())
    }

    async fn save(&self, shard: &str, sequence_number: &str) -> anyhow::Result<()> {
        self.0.lock().unwrap().checkpoints.insert(shard.to_owned(), sequence_number.to_owned());
        Ok(())
    }
}

/// A fast mapping with small batches, so that it still reads a parent when there are children.
fn mapping(url: &str, consumer: &FakeConsumer, failures: &MemoryObjects) -> Running {
    let settings = Settings {
        mapping_id: Uuid::nil(),
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:consumer".to_owned(),
        stream_arn: ARN.to_owned(),
        role_arn: "arn:aws:iam::000000000000:role/consumer".to_owned(),
        rules: Rules {
            batch_size: 10,
            batching_window: Duration::ZERO,
            backoff: Backoff { first: Duration::from_millis(20), cap: Duration::from_secs(1) },
            ..Rules::default()
        },
        poll_interval: Duration::from_millis(50),
        discovery_interval: Duration::from_millis(100),
        ids: Ids::system(),
    };
    let reader = KinesisReader::new(&sdk(url), STREAM.to_owned(), Share::Whole);
    let consumer = || consumer.clone();
    EventSourceMapping::new(settings, reader, consumer(), consumer(), failures.clone(), &Clock::system())
        .run()
}

struct Operator(aws_sdk_kinesis::Client);

impl Operator {
    async fn create(&self) {
        self.0.create_stream().stream_name(STREAM).shard_count(1).send().await.unwrap();
        self.active().await;
    }

    /// Waits until the stream is active. It takes one resharding call at a time.
    async fn active(&self) {
        let end = Instant::now() + DEADLINE;
        loop {
            let described = self.0.describe_stream_summary().stream_name(STREAM).send().await.unwrap();
            if described.stream_description_summary.unwrap().stream_status == StreamStatus::Active {
                return;
            }
            assert!(Instant::now() < end, "the stream does not become active");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn shards(&self) -> Vec<Shard> {
        self.0.list_shards().stream_name(STREAM).send().await.unwrap().shards.unwrap()
    }

    /// Splits `shard` in the middle of its range. Returns the children in the order of their ranges.
    async fn split(&self, shard: &str) -> [String; 2] {
        let shards = self.shards().await;
        let range = shards.iter().find(|listed| listed.shard_id == shard).unwrap().hash_key_range.clone();
        let [first, last] = range.map(|range| [range.starting_hash_key, range.ending_hash_key]).unwrap();
        let [first, last] = [first, last].map(|key| key.parse::<u128>().unwrap());
        let middle = first + (last - first) / 2 + 1;
        let call = self.0.split_shard().stream_name(STREAM).shard_to_split(shard);
        call.new_starting_hash_key(middle.to_string()).send().await.unwrap();
        self.active().await;
        let mut children = self.shards().await;
        children.retain(|listed| listed.parent_shard_id.as_deref() == Some(shard));
        children.sort_by_key(|child| {
            child.hash_key_range.as_ref().unwrap().starting_hash_key.parse::<u128>().unwrap()
        });
        children.into_iter().map(|child| child.shard_id).collect::<Vec<_>>().try_into().unwrap()
    }

    /// Merges two adjacent shards.
    async fn merge(&self, shard: &str, adjacent: &str) {
        let call = self.0.merge_shards().stream_name(STREAM).shard_to_merge(shard);
        call.adjacent_shard_to_merge(adjacent).send().await.unwrap();
        self.active().await;
    }
}

/// Puts one record after the other and waits for each, until `is_last` is set, and then [`STRETCH`] more. Returns how
/// many it put.
async fn send(
    stream: &KinesisStream,
    partition_key: &str,
    sent: &AtomicUsize,
    is_last: &AtomicBool,
) -> usize {
    let (mut count, mut left) = (0, STRETCH);
    while left > 0 {
        let record =
            StreamRecord { partition_key: partition_key.to_owned(), data: Bytes::from(count.to_string()) };
        match stream.put(std::slice::from_ref(&record)).await {
            Ok(puts) if puts == [Put::Taken] => {}
            // It is not on the stream, so it can be put again.
            Ok(_) | Err(StreamFailure::Throttled(_) | StreamFailure::Refused(_)) => continue,
            Err(StreamFailure::Ambiguous(message)) => panic!("it may be on the stream twice: {message}"),
        }
        if is_last.load(Ordering::SeqCst) {
            left -= 1;
        }
        count += 1;
        sent.fetch_add(1, Ordering::SeqCst);
    }
    count
}

/// Splits the only shard, splits the lower child, and merges the upper grandchild with the upper child, each in the
/// middle of the load.
async fn reshard(operator: &Operator, sent: &AtomicUsize, is_last: &AtomicBool) {
    let stretch = async || {
        let enough = sent.load(Ordering::SeqCst) + PARTITION_KEYS.len() * STRETCH;
        eventually("a stretch", || (sent.load(Ordering::SeqCst) >= enough).then_some(())).await;
    };
    stretch().await;
    let parent = operator.shards().await.remove(0).shard_id;
    let [lower, upper] = operator.split(&parent).await;
    stretch().await;
    let [_, middle] = operator.split(&lower).await;
    stretch().await;
    operator.merge(&middle, &upper).await;
    is_last.store(true, Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_that_split_and_merge_under_load_are_read_once_in_order_and_parents_first() {
    let emulator = kinesis_local();
    let operator = Operator(aws_sdk_kinesis::Client::new(&sdk(&emulator.url)));
    operator.create().await;
    let (consumer, failures) = (FakeConsumer::default(), MemoryObjects::default());
    let running = mapping(&emulator.url, &consumer, &failures);
    let stream = KinesisStream::new(&sdk(&emulator.url), STREAM.to_owned(), DEADLINE);
    let (sent, is_last) = (AtomicUsize::new(0), AtomicBool::new(false));
    let senders = PARTITION_KEYS.map(|key| send(&stream, key, &sent, &is_last));
    let (counts, ()) = tokio::join!(futures::future::join_all(senders), reshard(&operator, &sent, &is_last));

    let all = counts.iter().sum::<usize>();
    let delivered = || consumer.0.lock().unwrap().delivered.clone();
    eventually("all delivered", || (delivered().len() >= all).then_some(())).await;
    let drained = running.drain(DEADLINE).await;
    assert!(drained.complete, "{drained:?}");
    assert!(failures.keys("").is_empty(), "{failures:?}");

    // The records of each sender are delivered once and in order.
    let delivered = delivered();
    let mut by_sender: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for record in &delivered {
        by_sender.entry(&record.partition_key).or_default().push(&record.data);
    }
    for (key, count) in PARTITION_KEYS.iter().zip(&counts) {
        let expected: Vec<_> = (0..*count).map(|number| number.to_string()).collect();
        assert_eq!(by_sender[key], expected, "{key}");
    }
    assert_eq!(delivered.len(), all);

    // Every shard has records, and a child's first record comes after the last of its parents.
    let shards = operator.shards().await;
    assert_eq!(shards.len(), 6);
    let first = |shard: &str| delivered.iter().position(|record| record.shard == shard);
    let last = |shard: &str| delivered.iter().rposition(|record| record.shard == shard);
    for child in &shards {
        let begins = first(&child.shard_id).unwrap_or_else(|| panic!("{} is empty", child.shard_id));
        for parent in child.parent_shard_id.iter().chain(&child.adjacent_parent_shard_id) {
            assert!(last(parent).unwrap() < begins, "{} before the end of {parent}", child.shard_id);
        }
    }
}
