//! The requests that the adapter makes, and what it makes of the answers.

use super::*;
use crate::replay::{NeverClient, StaticReplayClient, replay};

const KEY: &str = "events/dt=2026-11-21/hr=09/shardId-0-95-0.ndjson.gz";

fn objects(answers: &[(u16, &'static str)]) -> (S3Objects, StaticReplayClient) {
    let (sdk, requests) = replay(answers);
    (S3Objects::new(&sdk, "bucket".to_owned(), ATTEMPT), requests)
}

/// Puts one object into an S3 that gives these answers, one a call.
async fn put(statuses: &[u16]) -> Result<Created, ObjectFailure> {
    let answers: Vec<_> = statuses.iter().map(|status| (*status, "")).collect();
    objects(&answers).0.put_if_absent(KEY, Bytes::from_static(b"text"), None).await
}

#[tokio::test]
async fn an_archive_object_is_written_only_to_a_free_key_and_says_what_it_covers() {
    let (objects, requests) = objects(&[(200, "")]);
    let created =
        objects.put_if_absent(KEY, Bytes::from_static(b"x"), Some(&ShardPosition::new("4951", 7))).await;
    assert_eq!(created, Ok(Created::New));
    let request = requests.actual_requests().next().unwrap();
    assert_eq!(request.method(), "PUT");
    assert_eq!(request.headers().get("if-none-match"), Some("*"));
    assert_eq!(request.headers().get("x-amz-meta-covers-end-sequence-number"), Some("4951"));
    assert_eq!(request.headers().get("x-amz-meta-covers-end-position"), Some("7"));
    assert!(request.uri().contains("/events/dt%3D2026-11-21/hr%3D09/"), "{}", request.uri());
}

#[tokio::test]
async fn a_percent_sign_in_a_key_is_encoded_again() {
    let (objects, requests) = objects(&[(200, "")]);
    objects.put_if_absent("claims/acme/a%2Fb/ab", Bytes::new(), None).await.unwrap();
    let request = requests.actual_requests().next().unwrap();
    assert!(request.uri().contains("/claims/acme/a%252Fb/ab"), "{}", request.uri());
}

#[tokio::test]
async fn an_object_that_exists_stays_as_it_is() {
    assert_eq!(put(&[412]).await, Ok(Created::Existed));
}

#[tokio::test(start_paused = true)]
async fn a_put_waits_for_a_conflicting_write() {
    assert_eq!(put(&[409, 409, 412]).await, Ok(Created::Existed));
    assert_eq!(put(&[409, 200]).await, Ok(Created::New));
    assert!(put(&[409; 5]).await.unwrap_err().to_string().contains(KEY));
}

#[tokio::test]
async fn a_refused_put_names_the_key() {
    let failure = put(&[403]).await.unwrap_err().to_string();
    assert!(failure.starts_with(&format!("`{KEY}`: ")), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_leaves_time_for_another() {
    let (sdk, _) = replay(&[]);
    let dead = NeverClient::new();
    let sdk = sdk.into_builder().http_client(dead.clone()).build();
    let objects = S3Objects::new(&sdk, "bucket".to_owned(), Duration::from_secs(3));
    let put = objects.put_if_absent("claims/acme/1/ab", Bytes::from_static(b"text"), None);
    let _timed_out = tokio::time::timeout(crate::config::Publish::default().claim_check(), put).await;
    assert!(dead.num_calls() > 1, "{} calls", dead.num_calls());
}

#[tokio::test]
async fn a_part_of_an_object_is_read_and_no_other_byte() {
    let (objects, requests) = objects(&[(206, "3456"), (404, "")]);
    assert_eq!(objects.get_range(KEY, 3, 4).await, Ok(Some(Bytes::from_static(b"3456"))));
    assert_eq!(objects.get_range(KEY, 3, 4).await, Ok(None));
    assert_eq!(objects.get_range(KEY, 3, 0).await, Ok(Some(Bytes::new())), "without a call");
    let ranges: Vec<_> = requests.actual_requests().map(|request| request.headers().get("range")).collect();
    assert_eq!(ranges, [Some("bytes=3-6"); 2]);
}

#[tokio::test]
async fn quarantine_objects_are_replaced() {
    let (objects, requests) = objects(&[(200, "")]);
    assert_eq!(objects.put("errors/x", Bytes::new()).await, Ok(()));
    assert_eq!(requests.actual_requests().next().unwrap().headers().get("if-none-match"), None);
}

#[tokio::test]
async fn a_missing_object_is_not_a_failure() {
    assert_eq!(objects(&[(404, "")]).0.get(KEY).await, Ok(None));
    assert_eq!(objects(&[(404, "")]).0.find(KEY).await, Ok(None));
    assert_eq!(objects(&[(200, "text")]).0.get(KEY).await, Ok(Some(Bytes::from_static(b"text"))));
    let found = objects(&[(200, "text")]).0.find(KEY).await.unwrap().unwrap();
    assert_eq!(found.covers_end, None, "an object without the metadata");
    assert!(objects(&[(403, "")]).0.get(KEY).await.is_err());
}
