//! Objects on S3, by the AWS SDK with its retries.

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
use crate::backoff::Backoff;
use crate::origin::ShardPosition;
use crate::sdk::{self, Preflight};

/// Time limit for one attempt, for callers that have seconds to spare. An object is at most 5 MB.
pub const ATTEMPT: Duration = Duration::from_secs(10);

/// S3 answers 409 while another conditional write to the key is in progress. If that one succeeds, the next attempt gets
/// a 412; if it fails, the next attempt writes the object. The SDK does not retry a 409, so we do, this often.
const CONFLICT_RETRIES: u32 = 4;
const CONFLICT_WAITS: Backoff = Backoff { first: Duration::from_millis(50), cap: Duration::from_millis(400) };

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

    /// Opens a connection. The key does not matter.
    pub async fn open(&self) {
        let call = self.client.put_object().bucket(&self.bucket).key("-").customize().interceptor(Preflight);
        sdk::open("S3", call.send()).await;
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
        let mut conflicts = 0;
        loop {
            let put = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
            let put = put.set_metadata(metadata.clone()).body(ByteStream::from(bytes.clone()));
            let Err(error) = put.send().await else { return Ok(Created::New) };
            match status(&error) {
                Some(412) => return Ok(Created::Existed),
                Some(409) if conflicts < CONFLICT_RETRIES => {
                    conflicts += 1;
                    tokio::time::sleep(CONFLICT_WAITS.after(conflicts)).await;
                }
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

    async fn get_range(
        &self,
        key: &str,
        offset: usize,
        length: usize,
    ) -> Result<Option<Bytes>, ObjectFailure> {
        if length == 0 {
            return Ok(Some(Bytes::new()));
        }
        let range = format!("bytes={offset}-{}", offset + length - 1);
        match self.client.get_object().bucket(&self.bucket).key(key).range(range).send().await {
            Ok(found) => {
                let body = found.body.collect().await.map_err(|error| failure(key, error))?;
                Ok(Some(body.into_bytes()))
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
mod tests;
