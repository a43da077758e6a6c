//! Batches at the failure destination.

use anyhow::Context;
use consumer_fn::Batch;
use serde::Deserialize;

/// The prefix of quarantine objects.
pub const QUARANTINE: &str = "errors/";
/// The prefix of the failure destination.
pub const FAILED: &str = "aws/lambda/";

#[derive(Debug)]
pub struct FailedBatch {
    /// Why it failed, in the mapping's words, such as `RetryAttemptsExhausted`.
    pub condition: Option<String>,
    pub batch: Batch,
}

/// An object at the failure destination, in Lambda's format.
/// <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>
pub fn failed_batch(object: &[u8]) -> anyhow::Result<FailedBatch> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        request_context: Option<RequestContext>,
        payload: Option<String>,
    }
    #[derive(Deserialize)]
    struct RequestContext {
        condition: String,
    }
    let failure: Failure = serde_json::from_slice(object).context("it is not a record of a failed batch")?;
    let payload = failure.payload.context("it holds no payload")?;
    let batch = serde_json::from_str(&payload).context("its payload is not a batch of records")?;
    Ok(FailedBatch { condition: failure.request_context.map(|context| context.condition), batch })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_batch_is_read_from_its_payload_and_one_without_is_refused() {
        let payload = r#"{\"Records\":[{\"kinesis\":{\"sequenceNumber\":\"7\",\"data\":\"eA==\",\"approximateArrivalTimestamp\":1.5},\"eventID\":\"shardId-000000000001:7\"}]}"#;
        let object = format!(r#"{{"version":"1.0","payload":"{payload}"}}"#);
        assert_eq!(failed_batch(object.as_bytes()).unwrap().batch.shard(), "shardId-000000000001");
        assert!(failed_batch(br#"{"version":"1.0"}"#).unwrap_err().to_string().contains("no payload"));
    }
}
