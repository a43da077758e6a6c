//! The stream by the AWS SDK: one `PutRecords` call for each put, without the SDK's own retries.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::Builder;
use aws_sdk_kinesis::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::put_records::{PutRecordsError, PutRecordsOutput};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use shared::sdk::{self, Preflight};

use super::{EventStream, Put, Refusal, StreamFailure, StreamRecord};

/// The one error, of a record or a call, that says that there is too much for the stream: "the request rate for the stream is
/// too high, or the requested data is too large for the available throughput"
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>). `KMSThrottlingException` is about the key.
const THROTTLED: &str = "ProvisionedThroughputExceededException";

#[derive(Clone, Debug)]
pub struct KinesisStream {
    client: Client,
    stream: String,
}

impl KinesisStream {
    /// `attempt` is the time limit for a call, also inside the SDK, so that a dead connection is closed with the call.
    pub fn new(sdk: &SdkConfig, stream: String, attempt: Duration) -> Self {
        let timeouts = TimeoutConfig::builder().operation_timeout(attempt).build();
        let config =
            Builder::from(sdk).retry_config(RetryConfig::disabled()).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), stream }
    }

    /// Opens a connection, so that the first request need not wait for it.
    pub async fn open(&self) {
        let call = self.client.put_records().stream_name(&self.stream).customize().interceptor(Preflight);
        let patient = TimeoutConfig::builder().operation_timeout(sdk::OPEN).build();
        let call = call.config_override(Builder::default().timeout_config(patient));
        sdk::open("Kinesis", call.send()).await;
    }
}

impl EventStream for KinesisStream {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        let entries = records.iter().map(entry).collect::<Result<_, _>>();
        let entries = entries.map_err(|error| StreamFailure::Refused(error.to_string()))?;
        let call = self.client.put_records().stream_name(&self.stream).set_records(Some(entries));
        call.send().await.map(|output| puts(&output)).map_err(|error| failure(&error))
    }
}

fn entry(record: &StreamRecord) -> Result<PutRecordsRequestEntry, aws_sdk_kinesis::error::BuildError> {
    PutRecordsRequestEntry::builder()
        .partition_key(&record.partition_key)
        .data(Blob::new(record.data.as_ref()))
        .build()
}

fn puts(output: &PutRecordsOutput) -> Vec<Put> {
    output.records().iter().map(put).collect()
}

/// `PutRecords` answers 200 even if records failed. A failed record has an error code, one of two by its documentation.
fn put(entry: &PutRecordsResultEntry) -> Put {
    let Some(code) = entry.error_code() else { return Put::Taken };
    let message = format!("{code}: {}", entry.error_message().unwrap_or_default());
    Put::Refused(match code {
        THROTTLED => Refusal::Throttled(message),
        _ => Refusal::Internal(message),
    })
}

/// A call that was not sent, or that the service refused, took nothing. After any other failure, such as a 500, the records
/// may be on the stream.
fn failure(error: &SdkError<PutRecordsError>) -> StreamFailure {
    let message = DisplayErrorContext(error).to_string();
    match error {
        SdkError::ConstructionFailure(_) => StreamFailure::Refused(message),
        SdkError::ServiceError(refused) if refused.raw().status().is_client_error() => {
            match refused.err().code() {
                Some(THROTTLED) => StreamFailure::Throttled(message),
                _ => StreamFailure::Refused(message),
            }
        }
        _ => StreamFailure::Ambiguous(message),
    }
}

#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests {
    use bytes::Bytes;

    use super::*;
    use shared::replay::{StaticReplayClient, replay};

    /// A stream that gives this answer to its one call, and the requests.
    fn answering(status: u16, body: &'static str) -> (KinesisStream, StaticReplayClient) {
        let (sdk, requests) = replay(&[(status, body)]);
        (KinesisStream::new(&sdk, "events".to_owned(), Duration::from_secs(5)), requests)
    }

    fn records() -> Vec<StreamRecord> {
        ["acme", "beta#1", "gamma"]
            .map(|key| StreamRecord { partition_key: key.to_owned(), data: Bytes::from_static(b"{}\n") })
            .to_vec()
    }

    #[tokio::test]
    async fn a_call_names_the_stream_and_carries_key_and_data_of_each_record() {
        let (stream, requests) = answering(
            200,
            r#"{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"s"},{"SequenceNumber":"2","ShardId":"s"},{"SequenceNumber":"3","ShardId":"s"}]}"#,
        );
        assert_eq!(stream.put(&records()).await.unwrap(), [Put::Taken, Put::Taken, Put::Taken]);
        let request = requests.actual_requests().next().unwrap();
        assert_eq!(request.headers().get("x-amz-target"), Some("Kinesis_20131202.PutRecords"));
        insta::assert_snapshot!(String::from_utf8_lossy(request.body().bytes().unwrap()), @r#"{"Records":[{"Data":"e30K","PartitionKey":"acme"},{"Data":"e30K","PartitionKey":"beta#1"},{"Data":"e30K","PartitionKey":"gamma"}],"StreamName":"events"}"#);
    }

    #[tokio::test]
    async fn failures_in_an_answer_are_matched_to_records_by_position() {
        let (stream, _) = answering(
            200,
            r#"{"FailedRecordCount":2,"Records":[{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded"},{"SequenceNumber":"2","ShardId":"s"},{"ErrorCode":"InternalFailure","ErrorMessage":"Internal service failure."}]}"#,
        );
        assert_eq!(
            stream.put(&records()).await.unwrap(),
            [
                Put::Refused(Refusal::Throttled(
                    "ProvisionedThroughputExceededException: Rate exceeded".to_owned()
                )),
                Put::Taken,
                Put::Refused(Refusal::Internal("InternalFailure: Internal service failure.".to_owned())),
            ]
        );
    }

    /// The errors of `PutRecords` by its documentation, and one that all AWS services have.
    #[tokio::test]
    async fn a_refused_call_is_not_retried_and_only_one_code_says_that_the_stream_is_full() {
        for (body, is_full) in [
            (r#"{"__type":"ProvisionedThroughputExceededException","message":"why"}"#, true),
            (r#"{"__type":"AccessDeniedException","message":"why"}"#, false),
            (r#"{"__type":"InvalidArgumentException","message":"why"}"#, false),
            (r#"{"__type":"KMSAccessDeniedException","message":"why"}"#, false),
            (r#"{"__type":"KMSDisabledException","message":"why"}"#, false),
            (r#"{"__type":"KMSInvalidStateException","message":"why"}"#, false),
            (r#"{"__type":"KMSNotFoundException","message":"why"}"#, false),
            (r#"{"__type":"KMSOptInRequired","message":"why"}"#, false),
            (r#"{"__type":"KMSThrottlingException","message":"why"}"#, false),
            (r#"{"__type":"ResourceNotFoundException","message":"why"}"#, false),
            (r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"why"}"#, false),
        ] {
            let (stream, requests) = answering(400, body);
            let failure = stream.put(&records()).await.unwrap_err();
            let why = match &failure {
                StreamFailure::Throttled(why) if is_full => why,
                StreamFailure::Refused(why) if !is_full => why,
                _ => panic!("{body}: {failure}"),
            };
            assert!(why.contains("why"), "{why}");
            assert_eq!(requests.actual_requests().count(), 1);
        }
    }

    #[tokio::test]
    async fn after_a_500_the_records_may_have_been_taken() {
        let (stream, requests) = answering(500, r#"{"__type":"InternalFailure"}"#);
        let failure = stream.put(&records()).await.unwrap_err();
        assert!(matches!(failure, StreamFailure::Ambiguous(_)), "{failure}");
        assert_eq!(requests.actual_requests().count(), 1);
    }
}
