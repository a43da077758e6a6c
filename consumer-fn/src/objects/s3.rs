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

use super::{Created, Found, ObjectFailure, ObjectStore, covers_before as metadata};
use crate::origin::ShardPosition;

/// The longest that one attempt may take; an object is at most 5 MB.
const ATTEMPT: Duration = Duration::from_secs(10);

/// A bucket.
#[derive(Clone, Debug)]
pub struct S3Objects {
    client: Client,
    bucket: String,
}

impl S3Objects {
    /// The bucket of that name.
    pub fn new(sdk: &SdkConfig, bucket: String) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
        Self { client: Client::from_conf(Builder::from(sdk).timeout_config(timeouts).build()), bucket }
    }
}

impl ObjectStore for S3Objects {
    /// 412 means that the object is there: someone's, or that of an attempt of ours whose answer was lost. 409 means
    /// that another conditional write to the key is under way, which says nothing yet: a failure, to be tried again.
    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers_before: Option<&ShardPosition>,
    ) -> Result<Created, ObjectFailure> {
        let mut put = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
        if let Some(mark) = covers_before {
            put = put
                .metadata(metadata::SEQUENCE_NUMBER, &*mark.sequence_number)
                .metadata(metadata::POSITION, mark.position.to_string());
        }
        match put.body(ByteStream::from(bytes)).send().await {
            Ok(_) => Ok(Created::New),
            Err(error) if status(&error) == Some(412) => Ok(Created::Existed),
            Err(error) => Err(failure(key, error)),
        }
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        let put = self.client.put_object().bucket(&self.bucket).key(key);
        put.body(ByteStream::from(bytes)).send().await.map(drop).map_err(|error| failure(key, error))
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectFailure> {
        Ok(self.find(key).await?.map(|found| found.bytes))
    }

    async fn find(&self, key: &str) -> Result<Option<Found>, ObjectFailure> {
        match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(found) => {
                let covers_before = found.metadata().and_then(mark);
                let body = found.body.collect().await.map_err(|error| failure(key, error))?;
                Ok(Some(Found { bytes: body.into_bytes(), covers_before }))
            }
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(failure(key, error)),
        }
    }
}

fn mark(found: &HashMap<String, String>) -> Option<ShardPosition> {
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
    use aws_smithy_http_client::test_util::StaticReplayClient;

    use super::*;
    use crate::replay::replay;

    const KEY: &str = "events/dt=2026-11-21/hr=09/shardId-0-95-0.ndjson.gz";

    fn objects(answers: &[(u16, &'static str)]) -> (S3Objects, StaticReplayClient) {
        let (sdk, requests) = replay(answers);
        (S3Objects::new(&sdk, "bucket".to_owned()), requests)
    }

    #[tokio::test]
    async fn an_archive_object_is_written_where_there_is_none_and_says_what_it_covers() {
        let (objects, requests) = objects(&[(200, "")]);
        let created =
            objects.put_if_absent(KEY, Bytes::from_static(b"x"), Some(&ShardPosition::new("4951", 7))).await;
        assert_eq!(created, Ok(Created::New));
        let request = requests.actual_requests().next().unwrap();
        assert_eq!(request.headers().get("if-none-match"), Some("*"));
        assert_eq!(request.headers().get("x-amz-meta-covers-before-sequence-number"), Some("4951"));
        assert_eq!(request.headers().get("x-amz-meta-covers-before-position"), Some("7"));
        assert!(request.uri().contains("/events/dt%3D2026-11-21/hr%3D09/"), "{}", request.uri());
    }

    #[tokio::test]
    async fn one_that_is_there_stays_and_a_conflict_is_a_failure() {
        let put = async |status| {
            let (objects, _) = objects(&[(status, "")]);
            objects.put_if_absent(KEY, Bytes::new(), None).await
        };
        assert_eq!(put(412).await, Ok(Created::Existed));
        assert!(put(409).await.unwrap_err().to_string().contains(KEY));
    }

    #[tokio::test]
    async fn quarantine_is_written_over_what_is_there() {
        let (objects, requests) = objects(&[(200, "")]);
        assert_eq!(objects.put("errors/x", Bytes::new()).await, Ok(()));
        assert_eq!(requests.actual_requests().next().unwrap().headers().get("if-none-match"), None);
    }

    #[tokio::test]
    async fn what_is_not_there_is_no_failure() {
        assert_eq!(objects(&[(404, "")]).0.get(KEY).await, Ok(None));
        assert_eq!(objects(&[(404, "")]).0.find(KEY).await, Ok(None));
        assert_eq!(objects(&[(200, "text")]).0.get(KEY).await, Ok(Some(Bytes::from_static(b"text"))));
        let found = objects(&[(200, "text")]).0.find(KEY).await.unwrap().unwrap();
        assert_eq!(found.covers_before, None, "an object without the metadata");
        assert!(objects(&[(403, "")]).0.get(KEY).await.is_err());
    }
}
