//! Objects by the AWS SDK, with its retries.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::{DisplayErrorContext, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::{Created, FoundObject, ObjectFailure, ObjectStore, covers_end as metadata};
use crate::origin::ShardPosition;

/// Time limit for one attempt, for callers that have seconds to spare. An object is at most 5 MB.
pub const ATTEMPT: Duration = Duration::from_secs(10);

/// S3 answers 409 while another conditional write to the key is in progress. If that one succeeds, the next attempt gets
/// a 412; if it fails, the next attempt writes the object. The SDK does not retry a 409. These are the waits before we do.
const CONFLICT_WAITS: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];

/// A bucket.
#[derive(Clone, Debug)]
pub struct S3Objects {
    client: Client,
    bucket: String,
}

impl S3Objects {
    /// `attempt` is the time limit for one attempt. A dead pooled connection never answers, so the limit must leave time
    /// for a second attempt on another connection.
    pub fn new(sdk: &SdkConfig, bucket: String, attempt: Duration) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt).build();
        Self { client: Client::from_conf(Builder::from(sdk).timeout_config(timeouts).build()), bucket }
    }
}

impl ObjectStore for S3Objects {
    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers_end: Option<&ShardPosition>,
    ) -> Result<Created, ObjectFailure> {
        let metadata = covers_end.map(|end| {
            let position = end.position.to_string();
            [(metadata::SEQUENCE_NUMBER, end.sequence_number.to_string()), (metadata::POSITION, position)]
                .map(|(name, value)| (name.to_owned(), value))
                .into()
        });
        let mut waits = CONFLICT_WAITS.into_iter();
        loop {
            let put = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
            let put = put.set_metadata(metadata.clone()).body(ByteStream::from(bytes.clone()));
            let Err(error) = put.send().await else { return Ok(Created::New) };
            match (status(&error), waits.next()) {
                (Some(412), _) => return Ok(Created::Existed),
                (Some(409), Some(wait)) => tokio::time::sleep(wait).await,
                _ => return Err(failure(key, error)),
            }
        }
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        let put = self.client.put_object().bucket(&self.bucket).key(key);
        put.body(ByteStream::from(bytes)).send().await.map(drop).map_err(|error| failure(key, error))
    }

    async fn find(&self, key: &str) -> Result<Option<FoundObject>, ObjectFailure> {
        match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(found) => {
                let covers_end = found.metadata().and_then(end_of);
                let body = found.body.collect().await.map_err(|error| failure(key, error))?;
                Ok(Some(FoundObject { bytes: body.into_bytes(), covers_end }))
            }
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(failure(key, error)),
        }
    }
}

fn end_of(found: &HashMap<String, String>) -> Option<ShardPosition> {
    let position = found.get(metadata::POSITION)?.parse().ok()?;
    Some(ShardPosition::new(found.get(metadata::SEQUENCE_NUMBER)?.as_str(), position))
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn failure(key: &str, error: impl std::error::Error) -> ObjectFailure {
    ObjectFailure(format!("`{key}`: {}", DisplayErrorContext(error)))
}

#[cfg(all(test, feature = "aws-test"))]
mod tests {
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
        objects.put_if_absent("payloads/acme/a%2Fb/ab", Bytes::new(), None).await.unwrap();
        let request = requests.actual_requests().next().unwrap();
        assert!(request.uri().contains("/payloads/acme/a%252Fb/ab"), "{}", request.uri());
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
        let put = objects.put_if_absent("payloads/acme/1/ab", Bytes::from_static(b"text"), None);
        let _timed_out = tokio::time::timeout(crate::config::Publish::default().claim_check(), put).await;
        assert!(dead.num_calls() > 1, "{} calls", dead.num_calls());
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
}
