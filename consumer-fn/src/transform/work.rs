//! Simulated work: each character of a text takes its time, and nothing comes of it. It shows what a slow transform does
//! to a pipeline before there is one.

use std::time::Duration;

use shared::config::SimulatedWork;
use shared::format::event_line::Event;
use shared::time::{Clock, Timestamp};
use tokio::time::{Instant, sleep_until};

use crate::prefix::{Entry, Prefix};
use crate::quarantined::{Quarantined, Reason};

/// An event, and when the work on it was done.
#[derive(Debug)]
pub(crate) struct Worked {
    pub(crate) event: Box<Event>,
    pub(crate) done_at: Timestamp,
}

/// Works on all texts at the same time, so it takes as long as the longest of them. A text whose work never fits an
/// invocation goes to quarantine: ingest did not see it, or had another configuration.
///
/// Each other text fits. Only if this invocation has less time than the configured time-out, the prefix ends before the first
/// record whose work would last beyond `until`. The next invocation has all its time again.
///
/// The clock is read once: an event is done when its own work has passed from there.
pub(crate) async fn simulate(
    prefix: Prefix<Box<Event>>,
    work: Option<SimulatedWork>,
    until: Instant,
    clock: &Clock,
) -> Prefix<Worked> {
    let began_at = clock.now();
    let Some(work) = work else { return prefix.map(|_, event| Worked { event, done_at: began_at }) };
    let now = Instant::now();
    let mut prefix = prefix.and_then(|Entry { position, value: event }| match work.of(&event.text) {
        Ok(time) => Ok((time, event)),
        Err(error) => Err(Quarantined::event(position, &event, Reason::WorkTooLong, error.to_string())),
    });
    if let Some(late) = prefix.entries.iter().find(|entry| now + entry.value.0 > until) {
        let record = late.position.record;
        tracing::warn!(batch.record = record, "no time is left for simulated work, the batch ends before it");
        prefix.end_before(record);
    }
    let longest = prefix.entries.iter().map(|entry| entry.value.0).max().unwrap_or(Duration::ZERO);
    sleep_until(now + longest).await;
    prefix.map(|_, (time, event)| Worked { event, done_at: began_at.plus(time) })
}
