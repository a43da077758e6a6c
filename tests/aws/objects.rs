//! `S3Objects` and `S3Payloads`: objects are written where there is none, and stay as they are.

use bytes::Bytes;
use consumer_fn::ShardPosition;
use consumer_fn::objects::s3::S3Objects;
use consumer_fn::objects::{Created, ObjectStore};
use ingest_fn::PayloadStore;
use ingest_fn::payload::s3::S3Payloads;

use crate::emulator::bucket;
use crate::proxy::{Fault, Proxy};

const KEY: &str = "events/dt=2026-11-21/hr=09/shardId-000000000000-495-0.ndjson.gz";
const CONFLICT: &str = "<Error><Code>ConditionalRequestConflict</Code></Error>";
const SLOW_DOWN: &str =
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

fn mark(position: u32) -> ShardPosition {
    ShardPosition::new("4951", position)
}

/// What the object at `KEY` says that it covers.
async fn covers(objects: &S3Objects) -> Option<ShardPosition> {
    objects.find(KEY).await.unwrap().unwrap().covers_before
}

async fn objects(plan: &[(usize, Fault)]) -> (S3Objects, Proxy) {
    let (bucket, proxy) = (bucket().await, Proxy::new(plan).await);
    (S3Objects::new(&proxy.sdk(), bucket), proxy)
}

fn xml(status: u16, body: &str) -> Fault {
    Fault::Answer(status, &[("content-type", "application/xml")], body.to_owned())
}

#[tokio::test]
async fn an_object_is_written_once_with_what_it_covers_and_the_second_write_changes_nothing() {
    let (objects, _) = objects(&[]).await;
    let put = async |bytes, position| {
        objects.put_if_absent(KEY, Bytes::from_static(bytes), Some(&mark(position))).await
    };
    assert_eq!(put(b"first", 1).await, Ok(Created::New));
    assert_eq!(put(b"second", 2).await, Ok(Created::Existed));
    assert_eq!(objects.get(KEY).await, Ok(Some(Bytes::from_static(b"first"))));
    assert_eq!(covers(&objects).await, Some(mark(1)));
}

#[tokio::test]
async fn quarantine_is_written_over_what_is_there() {
    let (objects, _) = objects(&[]).await;
    for bytes in [&b"first"[..], b"second"] {
        assert_eq!(objects.put("errors/x", Bytes::from_static(bytes)).await, Ok(()));
    }
    assert_eq!(objects.get("errors/x").await, Ok(Some(Bytes::from_static(b"second"))));
    let found = objects.find("errors/x").await.unwrap().unwrap();
    assert_eq!(found.covers_before, None, "an object without the metadata");
}

#[tokio::test]
async fn what_is_not_there_is_no_failure() {
    let (objects, _) = objects(&[]).await;
    assert_eq!(objects.get(KEY).await, Ok(None));
    assert_eq!(objects.find(KEY).await, Ok(None));
}

#[tokio::test]
async fn an_object_of_five_million_bytes_comes_back_whole() {
    let (objects, _) = objects(&[]).await;
    let bytes: Bytes = (0..5_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    assert_eq!(objects.put_if_absent(KEY, bytes.clone(), None).await, Ok(Created::New));
    assert_eq!(objects.get(KEY).await, Ok(Some(bytes)));
}

#[tokio::test]
async fn a_lost_answer_is_asked_again_and_finds_the_object_there() {
    let (objects, proxy) = objects(&[(0, Fault::LoseAnswer)]).await;
    let put = objects.put_if_absent(KEY, Bytes::from_static(b"x"), Some(&mark(3))).await;
    assert_eq!(put, Ok(Created::Existed));
    assert_eq!(covers(&objects).await, Some(mark(3)), "it is ours: it covers what we have");
    assert_eq!(proxy.calls().len(), 3);
}

#[tokio::test]
async fn a_bucket_that_asks_to_slow_down_is_asked_again() {
    let (objects, proxy) = objects(&[(0, xml(503, SLOW_DOWN)), (1, xml(503, SLOW_DOWN))]).await;
    assert_eq!(objects.put_if_absent(KEY, Bytes::from_static(b"x"), None).await, Ok(Created::New));
    assert_eq!(proxy.calls().len(), 3);
}

#[tokio::test]
async fn a_conflicting_write_says_nothing_yet() {
    // The SDK does not try a 409 again by itself; the consumer does, within its deadline.
    let (objects, proxy) = objects(&[(0, xml(409, CONFLICT))]).await;
    let put = objects.put_if_absent(KEY, Bytes::from_static(b"x"), None).await;
    assert!(put.unwrap_err().to_string().contains(KEY));
    assert_eq!(proxy.calls().len(), 1);
    assert_eq!(objects.get(KEY).await, Ok(None));
}

#[tokio::test]
async fn a_payload_waits_for_a_conflicting_write_and_is_stored_once() {
    let (bucket, proxy) = (bucket().await, Proxy::new(&[(0, xml(409, CONFLICT))]).await);
    let payloads = S3Payloads::new(&proxy.sdk(), bucket.clone());
    let key = "claims/acme/an%20id/ab";
    for _ in 0..2 {
        assert_eq!(payloads.put_if_absent(key, Bytes::from_static(b"text")).await, Ok(()));
    }
    let objects = S3Objects::new(&proxy.sdk(), bucket);
    assert_eq!(objects.get(key).await, Ok(Some(Bytes::from_static(b"text"))), "under the very key");
}
