//! `S3Objects`: objects are written only to free keys, and stay as they are.

use bytes::Bytes;
use shared::objects::s3::{ATTEMPT, S3Objects};
use shared::objects::{Created, ObjectStore};
use shared::origin::ShardPosition;

use crate::emulator::bucket;
use crate::proxy::{Proxy, ProxyFault};

const KEY: &str = "events/dt=2026-11-21/hr=09/shardId-000000000000-495-0.ndjson.gz";
const CONFLICT: &str = "<Error><Code>ConditionalRequestConflict</Code></Error>";
const SLOW_DOWN: &str =
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

fn mark(position: u32) -> ShardPosition {
    ShardPosition::new("4951", position)
}

/// The end of the range that the object at `KEY` covers, from its metadata.
async fn covers(objects: &S3Objects) -> Option<ShardPosition> {
    objects.find(KEY).await.unwrap().unwrap().covers_end
}

async fn objects(plan: &[(usize, ProxyFault)]) -> (S3Objects, Proxy) {
    let (bucket, proxy) = (bucket().await, Proxy::new(plan).await);
    (S3Objects::new(&proxy.sdk(), bucket, ATTEMPT), proxy)
}

fn xml(status: u16, body: &str) -> ProxyFault {
    ProxyFault::Answer(status, &[("content-type", "application/xml")], body.to_owned())
}

#[tokio::test]
async fn an_object_is_written_once_with_its_metadata_and_a_second_write_changes_nothing() {
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
async fn a_quarantine_object_is_overwritten() {
    let (objects, _) = objects(&[]).await;
    for bytes in [&b"first"[..], b"second"] {
        assert_eq!(objects.put("errors/x", Bytes::from_static(bytes)).await, Ok(()));
    }
    assert_eq!(objects.get("errors/x").await, Ok(Some(Bytes::from_static(b"second"))));
    let found = objects.find("errors/x").await.unwrap().unwrap();
    assert_eq!(found.covers_end, None, "an object without the metadata");
}

#[tokio::test]
async fn a_missing_object_is_not_a_failure() {
    let (objects, _) = objects(&[]).await;
    assert_eq!(objects.get(KEY).await, Ok(None));
    assert_eq!(objects.find(KEY).await, Ok(None));
}

#[tokio::test]
async fn an_object_of_five_million_bytes_is_read_whole() {
    let (objects, _) = objects(&[]).await;
    let bytes: Bytes = (0..5_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    assert_eq!(objects.put_if_absent(KEY, bytes.clone(), None).await, Ok(Created::New));
    assert_eq!(objects.get(KEY).await, Ok(Some(bytes)));
}

#[tokio::test]
async fn after_a_lost_answer_the_retry_finds_the_object() {
    let (objects, proxy) = objects(&[(0, ProxyFault::LoseAnswer)]).await;
    let put = objects.put_if_absent(KEY, Bytes::from_static(b"x"), Some(&mark(3))).await;
    assert_eq!(put, Ok(Created::Existed));
    assert_eq!(covers(&objects).await, Some(mark(3)), "it is ours: it covers our range");
    assert_eq!(proxy.calls().len(), 3);
}

#[tokio::test]
async fn a_write_is_retried_when_the_bucket_asks_to_slow_down() {
    let (objects, proxy) = objects(&[(0, xml(503, SLOW_DOWN)), (1, xml(503, SLOW_DOWN))]).await;
    assert_eq!(objects.put_if_absent(KEY, Bytes::from_static(b"x"), None).await, Ok(Created::New));
    assert_eq!(proxy.calls().len(), 3);
}

#[tokio::test]
async fn a_put_waits_for_a_conflicting_write_and_the_object_is_stored_once() {
    let (objects, proxy) = objects(&[(0, xml(409, CONFLICT))]).await;
    let key = "claims/acme/an%20id/ab";
    for created in [Created::New, Created::Existed] {
        assert_eq!(objects.put_if_absent(key, Bytes::from_static(b"text"), None).await, Ok(created));
    }
    assert_eq!(proxy.calls().len(), 3);
    assert_eq!(objects.get(key).await, Ok(Some(Bytes::from_static(b"text"))), "under the very key");
}
