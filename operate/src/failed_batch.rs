//! Batches at the failure destination.

use anyhow::Context;
use consumer_fn::Batch;
use shared::format::failed_batch::{FailedPayload, FailedRange};

/// Reads an object at the failure destination: why the batch failed, in the mapping's words, such as
/// `RetryAttemptsExhausted`, and the batch.
pub fn failed_batch(object: &[u8]) -> anyhow::Result<(Option<String>, Batch)> {
    let FailedPayload { request_context, payload, .. } =
        serde_json::from_slice(object).context("it is not a record of a failed batch")?;
    let payload = payload.context("it holds no payload")?;
    Ok((
        request_context.map(|context| context.condition),
        serde_json::from_str(&payload).context("its payload is not a batch of records")?,
    ))
}

/// Which records the object says that the batch has.
pub(crate) fn failed_range(object: &[u8]) -> anyhow::Result<FailedRange> {
    let failed: FailedPayload =
        serde_json::from_slice(object).context("it is not a record of a failed batch")?;
    failed.batch_info.context("it does not describe its batch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_batch_is_read_from_its_payload_and_one_without_is_refused() {
        let payload = r#"{\"Records\":[{\"kinesis\":{\"sequenceNumber\":\"7\",\"data\":\"eA==\",\"approximateArrivalTimestamp\":1.5},\"eventID\":\"shardId-000000000001:7\"}]}"#;
        let object = format!(r#"{{"version":"1.0","payload":"{payload}"}}"#);
        assert_eq!(failed_batch(object.as_bytes()).unwrap().1.shard(), "shardId-000000000001");
        assert!(failed_batch(br#"{"version":"1.0"}"#).unwrap_err().to_string().contains("no payload"));
    }
}
