//! Counts an invocation. Only records that are answered as done count: the others are sent again.

use shared::metric::{Metric, sample};
use shared::telemetry::EmbeddedMetrics;
use shared::time::Timestamp;

use crate::commit::Committed;
use crate::insert::InsertOutcome;

/// Counts the outcome of a batch of `events`. `now` is the time at which it was durable.
pub(crate) fn count(events: usize, committed: &Committed, now: Timestamp) {
    let Committed { prefix, objects, .. } = committed;
    let (mut freshness, mut stored, mut redelivered, mut deduplicated) = (Vec::new(), 0, 0, 0);
    for entry in &prefix.entries {
        match &entry.value {
            InsertOutcome::Stored(event) => {
                stored += 1;
                // The age of a redriven event says nothing about the speed of the pipeline.
                if !event.is_redriven {
                    let age = now.since(event.facts.received_at).as_millis();
                    freshness.push(u64::try_from(age).unwrap_or(u64::MAX));
                }
            }
            InsertOutcome::Redelivered => redelivered += 1,
            InsertOutcome::Deduplicated => deduplicated += 1,
        }
    }

    Metric::BatchEvents.record(events as u64);
    Metric::EventsStored.add(stored);
    Metric::EventsRedelivered.add(redelivered);
    Metric::EventsDeduplicated.add(deduplicated);
    Metric::EventsQuarantined.add(prefix.quarantined.len());
    Metric::ObjectsWritten.add(objects.len());
    for object in objects {
        Metric::ObjectBytes.record(object.bytes as u64);
    }
    for milliseconds in sample(freshness, EmbeddedMetrics::VALUES) {
        Metric::Freshness.record(milliseconds);
    }
}
