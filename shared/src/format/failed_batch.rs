//! An object at the failure destination: a batch that failed permanently, in the format in which Lambda writes it to S3.
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::time::Timestamp;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedBatchObject {
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

impl FailedBatchObject {
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }
}

/// The parts of an object that a reader needs. Lambda leaves the payload out if the destination is a queue or a topic.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedPayload {
    pub request_context: Option<FailureReason>,
    /// The event of the batch, as JSON. Lambda documents a text. What was recorded on AWS may also have been the object itself,
    /// so both are read.
    #[serde(default, deserialize_with = "text_or_object")]
    pub payload: Option<String>,
    #[serde(rename = "KinesisBatchInfo")]
    pub batch_info: Option<FailedRange>,
}

fn text_or_object<'de, D: Deserializer<'de>>(payload: D) -> Result<Option<String>, D::Error> {
    let Some(payload) = Option::<Box<RawValue>>::deserialize(payload)? else { return Ok(None) };
    payload_text(&payload).map(Some).map_err(serde::de::Error::custom)
}

/// The event of a payload that is a text, or the event itself: its bytes as they are.
pub fn payload_text(payload: &RawValue) -> serde_json::Result<String> {
    let json = payload.get();
    if is_text(payload) { serde_json::from_str(json) } else { Ok(json.to_owned()) }
}

pub fn is_text(payload: &RawValue) -> bool {
    payload.get().starts_with('"')
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedRange {
    pub shard_id: String,
    pub start_sequence_number: String,
    pub end_sequence_number: String,
    /// The number of records.
    pub batch_size: usize,
}

#[derive(Debug, Deserialize)]
pub struct FailureReason {
    /// Such as `RetryAttemptsExhausted`.
    pub condition: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> FailedBatchObject {
        let at = Timestamp::from_unix_ms(1_573_691_884_835);
        FailedBatchObject {
            object_key: "aws/lambda/x".to_owned(),
            request_context: RequestContext {
                request_id: Uuid::from_u128(1),
                function_arn: "arn:aws:lambda:us-east-2:123456789012:function:consumer".to_owned(),
                condition: Condition::RetryAttemptsExhausted,
                approximate_invoke_count: 31,
            },
            response_context: Some(ResponseContext {
                status_code: 200,
                executed_version: "$LATEST",
                function_error: Some("Unhandled"),
            }),
            version: "1.0",
            timestamp: Timestamp::from_unix_ms(1_573_691_886_021),
            batch_info: BatchInfo {
                shard_id: "shardId-000000000001".to_owned(),
                start_sequence_number: "9".to_owned(),
                end_sequence_number: "10".to_owned(),
                approximate_arrival_of_first_record: at,
                approximate_arrival_of_last_record: at,
                batch_size: 2,
                stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/events".to_owned(),
            },
            payload: Some("(event)".to_owned()),
        }
    }

    #[test]
    fn an_object_has_the_documented_shape() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&object()).unwrap(), @r#"
        {
          "requestContext": {
            "requestId": "00000000-0000-0000-0000-000000000001",
            "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:consumer",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 31
          },
          "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled"
          },
          "version": "1.0",
          "timestamp": "2019-11-14T00:38:06.021Z",
          "KinesisBatchInfo": {
            "shardId": "shardId-000000000001",
            "startSequenceNumber": "9",
            "endSequenceNumber": "10",
            "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
            "approximateArrivalOfLastRecord": "2019-11-14T00:38:04.835Z",
            "batchSize": 2,
            "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/events"
          },
          "payload": "(event)"
        }
        "#);
    }

    #[test]
    fn a_reader_gets_condition_and_payload() {
        let read = serde_json::from_slice::<FailedPayload>(&object().to_json()).unwrap();
        assert_eq!(read.request_context.unwrap().condition, "RetryAttemptsExhausted");
        assert_eq!(read.payload.as_deref(), Some("(event)"));
    }

    #[test]
    fn a_payload_is_read_as_text_and_as_the_object_itself() {
        let payload = |json: &str| serde_json::from_str::<FailedPayload>(json).unwrap().payload;
        let event = r#"{"Records":[{"time":1764072000.125}]}"#;
        assert_eq!(payload(&format!(r#"{{"payload":{event}}}"#)).as_deref(), Some(event));
        let text = serde_json::to_string(event).unwrap();
        assert_eq!(payload(&format!(r#"{{"payload":{text}}}"#)).as_deref(), Some(event));
        assert_eq!((payload("{}"), payload(r#"{"payload":null}"#)), (None, None));
    }
}
