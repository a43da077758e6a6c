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
