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

use super::candidate::{Candidate, FailureSource};
use crate::failed_batch::{FailedBatch, failed_batch};

const DEAD_LETTER: &str = "dead_letter";

/// The lines of a quarantine object. Another version of Tidegate may be able to read what could not be read before.
pub(crate) fn quarantine(object: &[u8], config: &Config) -> anyhow::Result<Vec<Candidate>> {
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
    Ok(candidates)
}

/// The lines of a batch at the failure destination, its shard, and the exclusive end of its range.
pub(crate) fn failed(
    object: &[u8],
    config: &Config,
) -> anyhow::Result<(Vec<Candidate>, String, ShardPosition)> {
    let FailedBatch { condition, batch } = failed_batch(object)?;
    let reason = condition.context("it does not say why the batch failed")?;
    let shard = batch.shard().to_owned();
    let mut end = None;
    let mut candidates = Vec::new();
    for line in batch.lines(config) {
        end = end.max(Some(ShardPosition::after(&line.origin)));
        candidates.push(Candidate::of_line(FailureSource::FailureDestination, reason.clone(), line));
    }
    Ok((candidates, shard, end.context("its payload holds no line")?))
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
