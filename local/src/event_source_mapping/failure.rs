//! What is kept of records that are given up, in the form in which Lambda keeps it on S3.
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>

use serde::Serialize;
use shared::time::Timestamp;
use uuid::Uuid;

use super::payload::Envelope;
use super::settings::Settings;
use super::shard::Discarded;

/// One batch that was given up, as it goes to the failure destination.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureRecord {
    /// Where it belongs in a bucket: `aws/lambda/<mapping>/<shard>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<random>`.
    #[serde(skip)]
    pub object_key: String,
    /// The invocation, and why there is no other.
    pub request_context: RequestContext,
    /// Absent when the function was never run on the batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_context: Option<ResponseContext>,
    /// Of this form: `1.0`.
    pub version: &'static str,
    /// When the batch was given up.
    pub timestamp: Timestamp,
    /// Where its records are on the stream.
    #[serde(rename = "KinesisBatchInfo")]
    pub batch_info: BatchInfo,
    /// The whole event, as text. A queue or topic gets `None`: Lambda sends it there without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// The invocation behind a [`FailureRecord`].
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// Random: the ports do not say which request was the last.
    pub request_id: Uuid,
    /// The function.
    pub function_arn: String,
    /// Why the batch was given up.
    pub condition: Condition,
    /// How often the function was run on this very batch.
    pub approximate_invoke_count: u32,
}

/// Why records are given up. The first two are AWS's words; for the third it documents none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Condition {
    /// The batch failed once more than `maximum_retry_attempts`.
    RetryAttemptsExhausted,
    /// The records are older than `maximum_record_age`.
    RecordAgeExceeded,
    /// A single record makes an event beyond the payload limit, so the function can never get it.
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
    /// `Unhandled` when the function failed; null when it answered and reported failures, as Lambda has it.
    pub function_error: Option<&'static str>,
}

/// Where the records of a [`FailureRecord`] are on the stream.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchInfo {
    /// The shard.
    pub shard_id: String,
    /// The first record.
    pub start_sequence_number: String,
    /// The last record.
    pub end_sequence_number: String,
    /// When the first record arrived.
    pub approximate_arrival_of_first_record: Timestamp,
    /// When the last record arrived.
    pub approximate_arrival_of_last_record: Timestamp,
    /// How many there are.
    pub batch_size: usize,
    /// The stream.
    pub stream_arn: String,
}

impl FailureRecord {
    /// The record of `discarded`, given up at `now`; `random` gives the request id and the end of the key.
    pub(super) fn new(
        settings: &Settings,
        shard_id: &str,
        envelope: &Envelope,
        discarded: &Discarded,
        now: Timestamp,
        random: [Uuid; 2],
    ) -> Self {
        let (first, last) = discarded.ends();
        let [request_id, suffix] = random;
        Self {
            object_key: object_key(settings.mapping_id, shard_id, now, suffix),
            request_context: RequestContext {
                request_id,
                function_arn: settings.function_arn.clone(),
                condition: discarded.condition,
                approximate_invoke_count: discarded.invocations,
            },
            response_context: (discarded.invocations > 0).then(|| ResponseContext {
                status_code: 200,
                executed_version: "$LATEST",
                function_error: discarded.function_error.then_some("Unhandled"),
            }),
            version: "1.0",
            timestamp: now,
            batch_info: BatchInfo {
                shard_id: shard_id.to_owned(),
                start_sequence_number: first.sequence_number.clone(),
                end_sequence_number: last.sequence_number.clone(),
                approximate_arrival_of_first_record: first.arrival,
                approximate_arrival_of_last_record: last.arrival,
                batch_size: discarded.records.len(),
                stream_arn: settings.stream_arn.clone(),
            },
            payload: Some(
                String::from_utf8(envelope.render(&discarded.records).into())
                    .expect("the event is put together from strings"),
            ),
        }
    }

    /// The bytes of the object.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }
}

fn object_key(mapping: Uuid, shard_id: &str, at: Timestamp, random: Uuid) -> String {
    let at = at.to_utc();
    format!("aws/lambda/{mapping}/{shard_id}/{}-{random}", at.format("%Y/%m/%d/%Y-%m-%dT%H.%M.%S"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_source_mapping::tests::{record, settings};

    fn failure(discarded: &Discarded) -> FailureRecord {
        let shard = "shardId-000000000001";
        let envelope = Envelope::new(&settings(), shard);
        let now = Timestamp::from_unix_ms(1_573_691_886_021);
        FailureRecord::new(
            &settings(),
            shard,
            &envelope,
            discarded,
            now,
            [Uuid::from_u128(1), Uuid::from_u128(2)],
        )
    }

    fn discarded(condition: Condition, invocations: u32, function_error: bool) -> Discarded {
        Discarded {
            records: vec![record(9), record(10)],
            condition,
            invocations,
            function_error,
            last_failure: None,
        }
    }

    #[test]
    fn it_has_the_documented_shape_and_carries_the_whole_event() {
        let mut record = failure(&discarded(Condition::RetryAttemptsExhausted, 31, true));
        let payload: serde_json::Value = serde_json::from_str(record.payload.as_ref().unwrap()).unwrap();
        assert_eq!(payload["Records"][1]["kinesis"]["sequenceNumber"], "10");
        record.payload = Some("(event)".to_owned());
        insta::assert_snapshot!(serde_json::to_string_pretty(&record).unwrap(), @r#"
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
    fn its_key_names_mapping_shard_and_time() {
        insta::assert_snapshot!(
            failure(&discarded(Condition::RetryAttemptsExhausted, 31, true)).object_key,
            @"aws/lambda/14e0db71-5d35-4eb5-b481-8945cf9d10c2/shardId-000000000001/2019/11/14/2019-11-14T00.38.06-00000000-0000-0000-0000-000000000002"
        );
    }

    #[test]
    fn reported_failures_leave_the_function_error_null() {
        let response =
            failure(&discarded(Condition::RetryAttemptsExhausted, 4, false)).response_context.unwrap();
        assert_eq!(
            serde_json::to_string(&response).unwrap(),
            r#"{"statusCode":200,"executedVersion":"$LATEST","functionError":null}"#
        );
    }

    #[test]
    fn records_that_never_reached_the_function_have_no_response() {
        assert!(failure(&discarded(Condition::RecordAgeExceeded, 0, false)).response_context.is_none());
    }
}
