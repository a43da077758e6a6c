//! What an invocation counts, once it is done. Only what is answered as done counts: the rest comes again.

use shared::metric::{Metric, sample};
use shared::telemetry::EmbeddedMetrics;
use shared::time::Timestamp;

use crate::commit::Committed;
use crate::insert::Settled;

/// Counts what became of a batch of `events`. `now`: when it was durable.
pub(crate) fn count(events: usize, committed: &Committed, now: Timestamp) {
    let Committed { prefix, object_bytes, .. } = committed;
    let (mut freshness, mut stored, mut redelivered, mut deduplicated) = (Vec::new(), 0, 0, 0);
    for entry in &prefix.entries {
        match &entry.value {
            Settled::Stored(prepared) => {
                stored += 1;
                // How long an event lay where it had failed says nothing of how fast this is.
                if prepared.redrive_of().is_empty() {
                    let age = now.since(prepared.item.facts.received_at).as_millis();
                    freshness.push(u64::try_from(age).unwrap_or(u64::MAX));
                }
            }
            Settled::Redelivered => redelivered += 1,
            Settled::Deduplicated => deduplicated += 1,
        }
    }

    Metric::BatchEvents.record(events as u64);
    Metric::EventsStored.add(stored);
    Metric::EventsRedelivered.add(redelivered);
    Metric::EventsDeduplicated.add(deduplicated);
    Metric::EventsQuarantined.add(prefix.quarantined.len());
    Metric::ObjectsWritten.add(object_bytes.len());
    for &bytes in object_bytes {
        Metric::ObjectBytes.record(bytes as u64);
    }
    for milliseconds in sample(freshness, EmbeddedMetrics::VALUES) {
        Metric::Freshness.record(milliseconds);
    }
}
