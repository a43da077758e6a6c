//! From objects and messages to candidates. No I/O.

use anyhow::Context;
use consumer_fn::read_again;
use shared::config::Config;
use shared::format::event_line::Event;
use shared::format::outgoing_line::OutgoingLine;
use shared::format::quarantine_line::QuarantineLine;
use shared::format::spill_message::SpillMessage;
use shared::origin::ShardPosition;
use shared::time::Timestamp;

use super::candidate::{Candidate, FailureSource, end_of};
use crate::failed_batch::failed_batch;

const DEAD_LETTER: &str = "dead_letter";

/// The failed lines of an object, and up to where their shard must be fenced, if it must.
pub(crate) type Failed = (Vec<Candidate>, Option<(String, ShardPosition)>);

/// A quarantine object. Another version of Tidegate may be able to read what could not be read before.
pub(crate) fn quarantine(object: &[u8], config: &Config) -> anyhow::Result<Failed> {
    let mut candidates = Vec::new();
    for line in QuarantineLine::read_all(object).context("a line of it is not a quarantine line")? {
        let candidate = |(origin, event): (_, Result<Event, &str>)| Candidate {
            source: FailureSource::Quarantine,
            reason: line.reason.clone(),
            at: line.arrival,
            partition_key: line.partition_key.clone(),
            origin: Some(origin),
            event: event.map(Box::new).map_err(str::to_owned),
        };
        candidates
            .extend(read_again(&line.bytes, &line.origin, line.arrival, config).into_iter().map(candidate));
    }
    Ok((candidates, None))
}

/// A batch at the failure destination. It is fenced up to its end.
pub(crate) fn failed(object: &[u8], config: &Config) -> anyhow::Result<Failed> {
    let (condition, batch) = failed_batch(object)?;
    let reason = condition.context("it does not say why the batch failed")?;
    let (source, shard) = (FailureSource::FailureDestination, batch.shard().to_owned());
    let lines = batch.lines(config).map(|line| Candidate::of_line(source, reason.clone(), line));
    let candidates: Vec<_> = lines.collect();
    let end = end_of(&candidates).context("its payload holds no line")?;
    Ok((candidates, Some((shard, end))))
}

pub(crate) fn dead_letter(body: &str, sent: Timestamp) -> anyhow::Result<Vec<Candidate>> {
    let candidate = |line: OutgoingLine| Candidate {
        source: FailureSource::DeadLetters,
        reason: DEAD_LETTER.to_owned(),
        at: sent,
        partition_key: Some(line.partition_key),
        origin: None,
        event: serde_json::from_slice(&line.line).map(Box::new).map_err(|error| error.to_string()),
    };
    Ok(SpillMessage::read(body)?.into_iter().map(candidate).collect())
}

#[cfg(test)]
mod tests {
    use shared::origin::Origin;

    use super::*;

    /// Two events, one of them with numbers that no `f64` has; and a member of Lambda's with one.
    fn payload() -> String {
        let line = |id: &str, fields: &str| {
            format!(
                r#"{{"v":1,"id":"{id}","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"webhook","received_at":"2026-11-21T09:30:00.123Z","text":"grüße\\n","fields":{fields}}}"#
            )
        };
        let lines = [line("1", "{}"), line("2", r#"{"n":123456789012345678901234567890.5}"#)];
        let records = lines.iter().zip(4951..).map(|(line, number)| {
            let data = base64_simd::STANDARD.encode_to_string(line);
            format!(
                r#"{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"acme","sequenceNumber":"{number}","data":"{data}","approximateArrivalTimestamp":1795253400.19}},"eventID":"shardId-000000000000:{number}","size":1e400}}"#
            )
        });
        format!(r#"{{"Records":[{}]}}"#, records.collect::<Vec<_>>().join(","))
    }

    fn read(payload: &str) -> Vec<(String, Option<Origin>, i64, Vec<u8>)> {
        let object = format!(
            r#"{{"requestContext":{{"condition":"RetryAttemptsExhausted","approximateInvokeCount":1e400}},"payload":{payload}}}"#
        );
        let (candidates, fence) = failed(object.as_bytes(), &Config::default()).unwrap();
        assert_eq!(fence.unwrap(), ("shardId-000000000000".to_owned(), ShardPosition::new("4952", 1)));
        let read = |it: Candidate| (it.reason, it.origin, it.at.unix_ms(), it.event.unwrap().line());
        candidates.into_iter().map(read).collect()
    }

    #[test]
    fn a_failed_batch_has_the_same_events_whether_its_payload_is_a_text_or_an_object() {
        let payload = payload();
        let pretty = payload.replace(',', " ,\n\t").replace(':', " : ").replace("0000 : 4", "0000:4");
        let as_text = read(&serde_json::to_string(&payload).unwrap());
        assert_eq!(as_text.len(), 2);
        for other in [&payload, &pretty, &serde_json::to_string(&pretty).unwrap()] {
            assert_eq!(read(other), as_text, "{other}");
        }
        let line = String::from_utf8_lossy(&as_text[1].3).into_owned();
        assert!(line.contains(r#""n":123456789012345678901234567890.5"#), "{line}");
    }
}
