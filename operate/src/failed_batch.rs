//! What was kept in place of being stored, read back: lines in quarantine, and batches that failed for good.

use anyhow::Context;
use consumer_fn::{Batch, Origin};
use serde::Deserialize;
use shared::id::{EventId, TenantId};
use shared::time::Timestamp;

/// Where quarantine objects lie.
pub const QUARANTINE: &str = "errors/";
/// Where the event source mapping keeps what failed for good.
pub const FAILED: &str = "aws/lambda/";

/// A line of a quarantine object, as the consumer writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct QuarantineLine {
    /// The stable name of what is wrong with it.
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// Whose it is, where it could be read.
    pub tenant: Option<TenantId>,
    /// Its id, where it could be read.
    pub id: Option<EventId>,
    shard: String,
    sequence_number: String,
    position: u32,
    /// When the stream had its record.
    pub arrival: Timestamp,
    /// The record's partition key.
    pub partition_key: Option<String>,
    bytes: String,
}

impl QuarantineLine {
    /// Where it lies on the stream.
    pub fn origin(&self) -> Origin {
        Origin {
            shard: self.shard.as_str().into(),
            sequence_number: self.sequence_number.as_str().into(),
            position: self.position,
        }
    }

    /// What lies there: a line, or the whole record where that cannot be cut into lines.
    pub fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        base64_simd::STANDARD.decode_to_vec(&self.bytes).ok().context("its bytes are not base64")
    }
}

/// The lines of a quarantine object.
pub fn quarantine_lines(object: &[u8]) -> anyhow::Result<Vec<QuarantineLine>> {
    let lines = object.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).context("a line of it is no quarantine line")).collect()
}

/// A batch that failed for good.
#[derive(Debug)]
pub struct FailedBatch {
    /// Why the mapping gave it up, in its words, such as `RetryAttemptsExhausted`.
    pub condition: Option<String>,
    /// Its records.
    pub batch: Batch,
}

/// What an object at the failure destination holds, in the form in which Lambda keeps it.
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
    let failure: Failure = serde_json::from_slice(object).context("it is no record of a failed batch")?;
    let payload = failure.payload.context("it holds no payload")?;
    let batch = serde_json::from_str(&payload).context("its payload is no batch of records")?;
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
