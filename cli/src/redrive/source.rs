//! From what is kept to the lines in it. Bytes in, candidates out; no I/O.

use anyhow::Context;
use consumer_fn::{ShardPosition, read_again};
use shared::config::Config;
use shared::format::event_line::Event;
use shared::format::outgoing_line::OutgoingLine;
use shared::format::quarantine_line::QuarantineLine;
use shared::format::spill_message::SpillMessage;
use shared::time::Timestamp;

use super::candidate::{Candidate, Place};
use crate::kept::{FailedBatch, failed_batch};

/// The reason of dead letters.
const DEAD_LETTER: &str = "dead_letter";

/// The lines of a quarantine object. What could not be read then may be readable by now: a record that another version
/// could not cut into lines, say.
pub(crate) fn quarantine(object: &[u8], config: &Config) -> anyhow::Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for line in QuarantineLine::read_all(object).context("a line of it is not a quarantine line")? {
        let candidate = |(origin, event): (_, Result<Event, &str>)| Candidate {
            place: Place::Quarantine,
            reason: line.reason.clone(),
            at: line.arrival,
            partition_key: line.partition_key.clone(),
            origin: Some(origin),
            event: event.map(Box::new).map_err(str::to_owned),
        };
        candidates
            .extend(read_again(&line.bytes, &line.origin(), line.arrival, config).into_iter().map(candidate));
    }
    Ok(candidates)
}

/// The lines of a batch at the failure destination; and its shard, with the first place behind its last record.
pub(crate) fn failed(
    object: &[u8],
    config: &Config,
) -> anyhow::Result<(Vec<Candidate>, String, ShardPosition)> {
    let FailedBatch { condition, batch } = failed_batch(object)?;
    let reason = condition.context("it does not say why it was given up")?;
    let shard = batch.shard().to_owned();
    let mut before = None;
    let mut candidates = Vec::new();
    for line in batch.lines(config) {
        before = before.max(Some(ShardPosition::after(&line.origin)));
        candidates.push(Candidate::of_line(Place::OnFailure, reason.clone(), line));
    }
    Ok((candidates, shard, before.context("its payload holds no line")?))
}

/// The lines of a dead letter.
pub(crate) fn dead_letter(body: &str, sent: Timestamp) -> anyhow::Result<Vec<Candidate>> {
    let candidate = |line: OutgoingLine| Candidate {
        place: Place::DeadLetters,
        reason: DEAD_LETTER.to_owned(),
        at: sent,
        partition_key: Some(line.partition_key),
        origin: None,
        event: serde_json::from_slice(&line.line).map(Box::new).map_err(|error| error.to_string()),
    };
    Ok(SpillMessage::read(body)?.into_iter().map(candidate).collect())
}
