//! Payloads by the AWS SDK: one conditional `PutObject` a part, with the SDK's retries.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::{DisplayErrorContext, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::{PayloadFailure, PayloadStore};

/// S3 answers 409 while another conditional write to the key is under way: the other one is of the same content, so
/// it is soon a 412, or, if that one fails, ours to write. The waits between the attempts:
const CONFLICT_WAITS: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];

/// The longest that one attempt may take: a part is at most 5 MB. A pooled connection that is dead answers nothing, and
/// would use up all of `publish.payload_ms`; so another attempt, by another connection, is made within it.
const ATTEMPT: Duration = Duration::from_secs(3);

/// A bucket.
#[derive(Clone, Debug)]
pub struct S3Payloads {
    client: Client,
    bucket: String,
}

impl S3Payloads {
    /// The bucket of that name.
    pub fn new(sdk: &SdkConfig, bucket: String) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
        Self { client: Client::from_conf(Builder::from(sdk).timeout_config(timeouts).build()), bucket }
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), SdkError<PutObjectError>> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
        put.body(ByteStream::from(bytes)).send().await.map(drop)
    }
}

impl PayloadStore for S3Payloads {
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<(), PayloadFailure> {
        let mut waits = CONFLICT_WAITS.into_iter();
        loop {
            let Err(error) = self.put(key, bytes.clone()).await else { return Ok(()) };
            match (status(&error), waits.next()) {
                // The key names the content: whoever wrote it, perhaps an attempt of ours, wrote this.
                (Some(412), _) => return Ok(()),
                (Some(409), Some(wait)) => tokio::time::sleep(wait).await,
                _ => {
                    let problem = DisplayErrorContext(&error).to_string();
                    return Err(PayloadFailure { key: key.to_owned(), problem });
                }
            }
        }
    }
}

fn status(error: &SdkError<PutObjectError>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

#[cfg(all(test, feature = "aws-test"))]
mod tests {
    use aws_smithy_http_client::test_util::{NeverClient, StaticReplayClient};

    use super::*;
    use crate::replay::replay;

    /// Puts one part before an S3 that answers so, call by call.
    async fn put(statuses: &[u16]) -> (Result<(), PayloadFailure>, StaticReplayClient) {
        let answers: Vec<_> = statuses.iter().map(|status| (*status, "")).collect();
        let (sdk, requests) = replay(&answers);
        let payloads = S3Payloads::new(&sdk, "bucket".to_owned());
        (payloads.put_if_absent("claims/acme/a%2Fb/ab", Bytes::from_static(b"text")).await, requests)
    }

    #[tokio::test]
    async fn an_object_is_written_only_where_there_is_none() {
        let (result, requests) = put(&[200]).await;
        assert_eq!(result, Ok(()));
        let request = requests.actual_requests().next().unwrap();
        assert_eq!(request.method(), "PUT");
        assert_eq!(request.headers().get("if-none-match"), Some("*"));
        assert!(request.uri().contains("/claims/acme/a%252Fb/ab"), "{}", request.uri());
    }

    #[tokio::test]
    async fn one_that_is_there_already_counts_as_stored() {
        assert_eq!(put(&[412]).await.0, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflicting_write_is_waited_for() {
        assert_eq!(put(&[409, 409, 412]).await.0, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_dead_is_given_up_while_there_is_time_for_another() {
        let (sdk, _) = replay(&[]);
        let dead = NeverClient::new();
        let payloads =
            S3Payloads::new(&sdk.into_builder().http_client(dead.clone()).build(), "bucket".to_owned());
        let put = payloads.put_if_absent("claims/acme/1/ab", Bytes::from_static(b"text"));
        let budget = shared::config::Publish::default().claim_check();
        let _gave_up = tokio::time::timeout(budget, put).await;
        assert!(dead.num_calls() > 1, "{} calls", dead.num_calls());
    }

    #[tokio::test(start_paused = true)]
    async fn what_s3_refuses_names_the_key() {
        let failure = put(&[403]).await.0.unwrap_err().to_string();
        assert!(failure.starts_with("the payload `claims/acme/a%2Fb/ab` could not be stored: "), "{failure}");
    }
}
