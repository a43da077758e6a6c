//! Reads quarantine lines, and batches that failed permanently.

use anyhow::Context;
use consumer_fn::{Batch, Origin};
use serde::Deserialize;
use shared::id::{EventId, TenantId};
use shared::time::Timestamp;

/// The prefix of quarantine objects.
pub const QUARANTINE: &str = "errors/";
/// The prefix of the failure destination.
pub const FAILED: &str = "aws/lambda/";

/// A line of a quarantine object, as the consumer writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct QuarantineLine {
    /// The stable name of what is wrong with it.
    pub reason: String,
    /// The same for people.
    pub detail: String,
    pub tenant: Option<TenantId>,
    pub id: Option<EventId>,
    shard: String,
    sequence_number: String,
    position: u32,
    pub arrival: Timestamp,
    pub partition_key: Option<String>,
    bytes: String,
}

impl QuarantineLine {
    pub fn origin(&self) -> Origin {
        Origin {
            shard: self.shard.as_str().into(),
            sequence_number: self.sequence_number.as_str().into(),
            position: self.position,
        }
    }

    /// A line, or the whole record if it could not be cut into lines.
    pub fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        base64_simd::STANDARD.decode_to_vec(&self.bytes).ok().context("its bytes are not base64")
    }
}

/// The lines of a quarantine object.
pub fn quarantine_lines(object: &[u8]) -> anyhow::Result<Vec<QuarantineLine>> {
    let lines = object.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).context("a line of it is not a quarantine line")).collect()
}

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

    /// As it was in buckets on 21 November 2026.
    const LINE: &str = r#"{"reason":"unrecognised","detail":"the record is neither","shard":"shardId-000000000000","sequence_number":"4951","position":0,"arrival":"2026-11-21T09:30:00.123Z","partition_key":"t0","bytes":"AHBvaXNvbg=="}"#;

    #[test]
    fn a_quarantine_object_is_read_line_by_line() {
        let lines = quarantine_lines(format!("{LINE}\n{LINE}\n").as_bytes()).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].origin().to_string(), "shardId-000000000000:4951:0");
        assert_eq!((lines[0].bytes().unwrap(), &lines[0].tenant), (b"\x00poison".to_vec(), &None));
        assert!(quarantine_lines(b"{}\n").is_err());
    }

    #[test]
    fn a_failed_batch_is_read_from_its_payload_and_one_without_is_refused() {
        let payload = r#"{\"Records\":[{\"kinesis\":{\"sequenceNumber\":\"7\",\"data\":\"eA==\",\"approximateArrivalTimestamp\":1.5},\"eventID\":\"shardId-000000000001:7\"}]}"#;
        let object = format!(r#"{{"version":"1.0","payload":"{payload}"}}"#);
        assert_eq!(failed_batch(object.as_bytes()).unwrap().batch.shard(), "shardId-000000000001");
        assert!(failed_batch(br#"{"version":"1.0"}"#).unwrap_err().to_string().contains("no payload"));
    }
}
