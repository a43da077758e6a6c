//! The one shard of a data folder as the event source mapping sees it: what it has not processed yet goes to the consumer, or to the
//! failure destination.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consumer_fn::{Consumer, Deadline};
use local::adapters::Plain;
use local::data::DataFolder;
use local::embedded::{EmbeddedCheckpoints, EmbeddedItems, EmbeddedLedger, LocalQueue};
use local::event_source_mapping::ports::Checkpoints;
use operate::deployment::{Deployment, RetainedRecord, Start};
use serde_json::{Value, json};
use shared::config::Config;
use shared::format::event_line::Event;
use shared::format::failed_batch::{
    BatchInfo, Condition, FailedBatchObject, RequestContext, ResponseContext,
};
use shared::objects::ObjectStore;
use shared::time::{Clock, Timestamp};
use uuid::Uuid;

pub(crate) struct Shard<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) data: &'a DataFolder,
    pub(crate) now: Timestamp,
}

impl Shard<'_> {
    /// One invocation with everything that is not processed yet.
    pub(crate) async fn consume(&self, config: &Config) {
        let (shard, records) = self.unread().await;
        let database = || self.data.database().unwrap();
        let (items, ledger) = (EmbeddedItems(database()), EmbeddedLedger(database()));
        let objects = self.data.objects().unwrap();
        let clock = Clock::fixed(self.now.plus(Duration::from_secs(2)));
        let consumer =
            Consumer::new(Arc::new(config.clone()), items, objects, ledger, clock.clone()).unwrap();
        let queue = self.data.queue(LocalQueue::Dispatch, &clock).unwrap();
        let consumer = consumer.dispatching(Some(queue));
        // Its members borrow from the text.
        let payload = payload(&records);
        let batch = serde_json::from_str(&payload).unwrap();
        let answer = consumer.handle(batch, Deadline::after(Duration::from_mins(1), config)).await;
        assert!(answer.batch_item_failures.is_empty(), "{answer:?}");
        self.pass(&shard, &records).await;
    }

    /// Everything that is not processed yet is a batch that failed permanently.
    pub(crate) async fn fail(&self, number: u128) {
        let (shard, records) = self.unread().await;
        let numbers: Vec<_> = records.iter().map(sequence_number).collect();
        let object = FailedBatchObject {
            object_key: format!("aws/lambda/mapping/{shard}/2026/11/28/2026-11-28T07.00.0{number}-x"),
            request_context: RequestContext {
                request_id: Uuid::from_u128(number),
                function_arn: "arn:aws:lambda:us-east-2:123456789012:function:consumer".to_owned(),
                condition: Condition::RetryAttemptsExhausted,
                approximate_invoke_count: 31,
            },
            response_context: Some(ResponseContext {
                status_code: 200,
                executed_version: "$LATEST",
                function_error: Some("Unhandled"),
            }),
            version: "1.0",
            timestamp: self.now,
            batch_info: BatchInfo {
                shard_id: shard.clone(),
                start_sequence_number: numbers[0].to_owned(),
                end_sequence_number: numbers[numbers.len() - 1].to_owned(),
                approximate_arrival_of_first_record: self.now,
                approximate_arrival_of_last_record: self.now,
                batch_size: numbers.len(),
                stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/events".to_owned(),
            },
            payload: Some(payload(&records)),
        };
        self.put_object(&object.object_key, object.to_json().into()).await;
        self.pass(&shard, &records).await;
    }

    /// Stores the event as a claim check, and gives its head.
    pub(crate) async fn check_in(&self, mut event: Event) -> Event {
        let line = event.line();
        for (key, part) in event.check_in(&line) {
            self.put_object(&key, part).await;
        }
        event
    }

    pub(crate) async fn put_object(&self, key: &str, bytes: Bytes) {
        self.data.objects().unwrap().put(key, bytes).await.unwrap();
    }

    /// The records that are not processed yet, as the event source mapping would send them.
    async fn unread(&self) -> (String, Vec<Value>) {
        let deployment = local::deployment::open(self.folder, &Plain).await.unwrap();
        let shard = deployment.shards().await.unwrap().remove(0);
        let checkpoint = deployment.checkpoint(&shard).await.unwrap();
        let start = checkpoint.map_or(Start::Oldest, Start::After);
        let read = deployment.records(&shard, start).await.unwrap().records;
        let record = |record: RetainedRecord| {
            #[expect(clippy::cast_precision_loss, reason = "it is a time of today")]
            let seconds = record.arrival.unix_ms() as f64 / 1_000.0;
            json!({
                "eventID": format!("{shard}:{}", record.sequence_number),
                "kinesis": {
                    "sequenceNumber": record.sequence_number, "partitionKey": record.partition_key,
                    "approximateArrivalTimestamp": seconds,
                    "data": base64_simd::STANDARD.encode_to_string(&record.data),
                },
            })
        };
        (shard.clone(), read.into_iter().map(record).collect())
    }

    async fn pass(&self, shard: &str, records: &[Value]) {
        let checkpoints = EmbeddedCheckpoints(self.data.database().unwrap());
        checkpoints.save(shard, sequence_number(records.last().unwrap())).await.unwrap();
    }
}

fn payload(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

fn sequence_number(record: &Value) -> &str {
    record["kinesis"]["sequenceNumber"].as_str().unwrap()
}
