//! Puts of ingest: `KinesisStream`, called by the publisher within its budget.

use std::time::{Duration, Instant};

use aws::kinesis::{KinesisReader, Share};
use bytes::Bytes;
use ingest_fn::publish::kinesis::KinesisStream;
use ingest_fn::{OutgoingLine, Publisher};
use local::event_source_mapping::ports::{ReadLimit, RetainedRecord, ShardTail, StreamReader};
use serde_json::json;
use shared::config::Config;
use shared::metric::Metric;

use crate::emulator::{sdk, stream, url};
use crate::proxy::{Proxy, ProxyFault};

fn config(budget_ms: u32, attempt_ms: u32) -> Config {
    let variables = [("BUDGET_MS", budget_ms), ("ATTEMPT_MS", attempt_ms)];
    let variables = variables.map(|(name, value)| (format!("TIDEGATE__PUBLISH__{name}"), value.to_string()));
    shared::config::load(None, variables).unwrap()
}

/// Enough for an emulator on a busy machine.
fn patient() -> Config {
    config(20_000, 10_000)
}

fn lines(keys: &[&str]) -> Vec<OutgoingLine> {
    let line = |key: &&str| OutgoingLine {
        partition_key: (*key).to_owned(),
        line: Bytes::from(format!("{{\"{key}\":1}}")),
        is_head: false,
        record: None,
    };
    keys.iter().map(line).collect()
}

/// Publishes a line for each key. Returns whether each was accepted.
async fn publish(proxy: &Proxy, stream: &str, config: &Config, keys: &[&str]) -> Vec<bool> {
    let stream = KinesisStream::new(&proxy.sdk(), stream.to_owned(), config.publish.attempt());
    let publisher = Publisher::new(stream, config.publish.clone(), Metric::PublishLatency);
    let answers = publisher.publish(lines(keys)).await;
    answers.iter().map(Result::is_ok).collect()
}

/// All records of the stream's first shard.
pub(crate) async fn records(stream: &str) -> Vec<RetainedRecord> {
    let reader = KinesisReader::new(&sdk(url()), stream.to_owned(), Share::Whole);
    let shard = reader.shards().await.unwrap().remove(0).id;
    let mut records: Vec<RetainedRecord> = Vec::new();
    loop {
        let after = records.last().map(|record| record.sequence_number.clone());
        let read = reader
            .read(&shard, after.as_deref(), ReadLimit { records: 10_000, bytes: 10_000_000 })
            .await
            .unwrap();
        records.extend(read.records);
        if read.tail != ShardTail::More {
            return records;
        }
    }
}

fn keys(records: &[RetainedRecord]) -> Vec<&str> {
    let mut keys: Vec<_> = records.iter().map(|record| record.partition_key.as_str()).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn a_published_line_is_on_the_stream_with_its_key() {
    let (stream, proxy) = (stream(1).await, Proxy::new(&[]).await);
    assert_eq!(publish(&proxy, &stream, &patient(), &["acme", "beta"]).await, [true, true]);
    let records = records(&stream).await;
    assert_eq!(keys(&records), ["acme", "beta"]);
    let acme = records.iter().find(|record| record.partition_key == "acme").unwrap();
    assert_eq!(acme.data, "{\"acme\":1}\n");
    assert_eq!(proxy.calls(), ["PutRecords"]);
}

#[tokio::test]
async fn only_the_refused_records_of_a_call_are_retried() {
    for error in [
        json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded for shard"}),
        json!({"ErrorCode": "InternalFailure", "ErrorMessage": "Internal service failure."}),
    ] {
        let (stream, proxy) = (stream(1).await, Proxy::new(&[(0, ProxyFault::RefuseSome(error))]).await);
        assert_eq!(publish(&proxy, &stream, &patient(), &["a", "b", "c", "d", "e"]).await, [true; 5]);
        assert_eq!(keys(&records(&stream).await), ["a", "b", "c", "d", "e"]);
        assert_eq!(proxy.calls(), ["PutRecords", "PutRecords"]);
    }
}

#[tokio::test]
async fn a_throttled_call_is_retried() {
    let throttled = json!({"__type": "ProvisionedThroughputExceededException", "message": "Rate exceeded"});
    let fault =
        ProxyFault::Answer(400, &[("content-type", "application/x-amz-json-1.1")], throttled.to_string());
    let (stream, proxy) = (stream(1).await, Proxy::new(&[(0, fault.clone()), (1, fault)]).await);
    assert_eq!(publish(&proxy, &stream, &patient(), &["acme"]).await, [true]);
    assert_eq!(keys(&records(&stream).await), ["acme"]);
    assert_eq!(proxy.calls().len(), 3);
}

#[tokio::test]
async fn after_a_lost_answer_the_same_bytes_are_put_again() {
    let (stream, proxy) = (stream(1).await, Proxy::new(&[(0, ProxyFault::LoseAnswer)]).await);
    assert_eq!(publish(&proxy, &stream, &patient(), &["acme"]).await, [true]);
    // The admission is the same, so the consumer recognises the duplicate.
    let records = records(&stream).await;
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].data, records[1].data);
}

#[tokio::test]
async fn an_attempt_that_hangs_is_aborted_and_retried_within_the_budget() {
    let (stream, proxy) = (stream(1).await, Proxy::new(&[(0, ProxyFault::Hang)]).await);
    assert_eq!(publish(&proxy, &stream, &config(20_000, 200), &["acme"]).await, [true]);
    assert_eq!(keys(&records(&stream).await), ["acme"]);
}

#[tokio::test]
async fn a_put_fails_when_every_attempt_hangs_until_the_budget_is_over() {
    let proxy = Proxy::new(&[0, 1, 2, 3].map(|call| (call, ProxyFault::Hang))).await;
    let begun = Instant::now();
    assert_eq!(publish(&proxy, "any", &config(250, 120), &["acme"]).await, [false]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(proxy.calls().len() >= 2, "{:?}", proxy.calls());
}

#[tokio::test]
async fn a_put_to_a_missing_stream_fails() {
    let proxy = Proxy::new(&[]).await;
    assert_eq!(publish(&proxy, "no-such-stream", &config(400, 300), &["acme"]).await, [false]);
}
