//! A batch as the failure destination stores it, in the format in which Lambda writes it to S3:
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>.

use serde::Serialize;
use shared::time::Timestamp;
use uuid::Uuid;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedBatch {
    /// `aws/lambda/<mapping>/<shard>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<random>`.
    #[serde(skip)]
    pub object_key: String,
    pub request_context: RequestContext,
    /// Absent if the function was never run on the batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_context: Option<ResponseContext>,
    /// Of this format: `1.0`.
    pub version: &'static str,
    /// When the batch was discarded.
    pub timestamp: Timestamp,
    #[serde(rename = "KinesisBatchInfo")]
    pub batch_info: BatchInfo,
    /// The whole event, as text. Lambda leaves it out for a queue or a topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// The last invocation, and why there is no other.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// Random: the ports do not say which request was the last.
    pub request_id: Uuid,
    pub function_arn: String,
    pub condition: Condition,
    /// How often the function was run on exactly this batch.
    pub approximate_invoke_count: u32,
}

/// Why records are discarded. The first two are AWS's words. AWS documents none for the third.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Condition {
    /// The batch failed more often than `maximum_retry_attempts`.
    RetryAttemptsExhausted,
    /// The records are older than `maximum_record_age`.
    RecordAgeExceeded,
    /// A single record makes an event over the payload limit, so the function can never receive it.
    PayloadLimitExceeded,
}

/// How the function answered last.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseContext {
    /// Of the invocation, not of the function: 200 also for a function error.
    pub status_code: u16,
    /// `$LATEST`.
    pub executed_version: &'static str,
    /// `Unhandled` if the function failed; null if it answered and reported failures. Lambda does the same.
    pub function_error: Option<&'static str>,
}

/// Where the records are on the stream.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchInfo {
    pub shard_id: String,
    pub start_sequence_number: String,
    pub end_sequence_number: String,
    pub approximate_arrival_of_first_record: Timestamp,
    pub approximate_arrival_of_last_record: Timestamp,
    /// The number of records.
    pub batch_size: usize,
    pub stream_arn: String,
}

impl FailedBatch {
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }
}
