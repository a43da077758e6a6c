//! Saves discarded records to the failure destination, as a [`FailedBatchObject`] in Lambda's format.

use bytes::Bytes;
use shared::format::failed_batch::{
    BatchInfo, Condition, FailedBatchObject, RequestContext, ResponseContext,
};
use shared::objects::ObjectStore;
use shared::time::Timestamp;
use uuid::Uuid;

use super::payload;
use super::retry::until_it_works;
use super::settings::Settings;
use super::shard::{Discarded, ends};

/// Saves the records. A crash between this and the next checkpoint saves them twice, but never loses them.
pub(super) async fn save(
    destination: &impl ObjectStore,
    settings: &Settings,
    shard_id: &str,
    discarded: &Discarded,
    now: Timestamp,
) {
    let random = [settings.ids.next(), settings.ids.next()];
    let batch = failed_batch(settings, shard_id, discarded, now, random);
    let json = Bytes::from(batch.to_json());
    // The shard waits for it, so no record is dropped without being saved.
    let save = async || Ok(destination.put(&batch.object_key, json.clone()).await?);
    until_it_works(settings.rules.backoff, "saving a failed batch", shard_id, save).await;
    tracing::error!(
        shard.id = shard_id,
        batch.first = %batch.batch_info.start_sequence_number,
        batch.last = %batch.batch_info.end_sequence_number,
        batch.records = batch.batch_info.batch_size,
        condition = ?discarded.condition,
        invocations = discarded.invocations,
        error = discarded.last_failure.as_deref(),
        object.key = %batch.object_key,
        "records failed permanently and were saved to the failure destination"
    );
}

/// `random` is for the request id and the end of the key.
fn failed_batch(
    settings: &Settings,
    shard_id: &str,
    discarded: &Discarded,
    now: Timestamp,
    [request_id, suffix]: [Uuid; 2],
) -> FailedBatchObject {
    let [first, last] = ends(&discarded.records);
    // As recorded on AWS: what became too old has no response, also after invocations, and counts one where there was none
    // (localstack's snapshots, validated on AWS on 25 November 2025).
    let is_too_old = discarded.condition == Condition::RecordAgeExceeded;
    FailedBatchObject {
        object_key: object_key(settings.mapping_id, shard_id, now, suffix),
        request_context: RequestContext {
            request_id,
            function_arn: settings.function_arn.clone(),
            condition: discarded.condition,
            approximate_invoke_count: discarded.invocations.max(1),
        },
        response_context: (!is_too_old).then(|| ResponseContext {
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
        payload: Some(payload::event(&discarded.records)),
    }
}

fn object_key(mapping: Uuid, shard_id: &str, at: Timestamp, random: Uuid) -> String {
    let at = at.to_utc();
    format!("aws/lambda/{mapping}/{shard_id}/{}-{random}", at.format("%Y/%m/%d/%Y-%m-%dT%H.%M.%S"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_source_mapping::payload::Envelope;
    use crate::event_source_mapping::tests::{record, settings};

    const SHARD: &str = "shardId-000000000001";

    fn failed(discarded: &Discarded) -> FailedBatchObject {
        let now = Timestamp::from_unix_ms(1_573_691_886_021);
        failed_batch(&settings(), SHARD, discarded, now, [1, 2].map(Uuid::from_u128))
    }

    fn discarded(condition: Condition, invocations: u32, function_error: bool) -> Discarded {
        let envelope = Envelope::new(&settings(), SHARD);
        Discarded {
            records: vec![envelope.render(record(9)), envelope.render(record(10))],
            condition,
            invocations,
            function_error,
            last_failure: None,
        }
    }

    #[test]
    fn a_failed_batch_has_the_documented_shape_and_the_whole_event() {
        let mut batch = failed(&discarded(Condition::RetryAttemptsExhausted, 31, true));
        let payload: serde_json::Value = serde_json::from_str(batch.payload.as_ref().unwrap()).unwrap();
        assert_eq!(payload["Records"][1]["kinesis"]["sequenceNumber"], "10");
        batch.payload = Some("(event)".to_owned());
        insta::assert_snapshot!(serde_json::to_string_pretty(&batch).unwrap(), @r#"
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
    fn the_key_names_mapping_shard_and_time() {
        insta::assert_snapshot!(
            failed(&discarded(Condition::RetryAttemptsExhausted, 31, true)).object_key,
            @"aws/lambda/14e0db71-5d35-4eb5-b481-8945cf9d10c2/shardId-000000000001/2019/11/14/2019-11-14T00.38.06-00000000-0000-0000-0000-000000000002"
        );
    }

    #[test]
    fn reported_failures_leave_the_function_error_null() {
        let response =
            failed(&discarded(Condition::RetryAttemptsExhausted, 4, false)).response_context.unwrap();
        assert_eq!(
            serde_json::to_string(&response).unwrap(),
            r#"{"statusCode":200,"executedVersion":"$LATEST","functionError":null}"#
        );
    }

    #[test]
    fn records_that_became_too_old_have_no_response_and_count_as_invoked_once_if_they_never_were() {
        for (invocations, counted) in [(0, 1), (8, 8)] {
            let batch = failed(&discarded(Condition::RecordAgeExceeded, invocations, true));
            assert!(batch.response_context.is_none());
            assert_eq!(batch.request_context.approximate_invoke_count, counted);
        }
    }
}
