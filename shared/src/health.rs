//! What can be wrong with a pipeline, and from which numbers on. `GET /health` and the deployment's alarms have the same names,
//! numbers and runbooks: the CDK reads the numbers from `cdk/contract.json`.

use std::time::Duration;

use crate::config::{Archive, Config};

/// An alarm sees nothing finer.
pub const MINUTE: Duration = Duration::from_mins(1);

/// From received by ingest to durable in the archive: the promise, at the 99th percentile. Simulated work comes on top, and what
/// `archive.window_seconds` is longer than by default.
pub const FRESHNESS: Duration = Duration::from_secs(5);

/// The oldest record that is not processed may be this old. The same comes on top.
pub const LAG: Duration = MINUTE;

/// A queue that was not empty for so long is stuck.
pub const STUCK: Duration = Duration::from_mins(15);

/// An invocation of the consumer is slow after this part of its time-out, in percent …
pub const SLOW_PERCENT: u32 = 80;

/// … and at the latest so long before its end.
pub const SLOW_MARGIN: Duration = Duration::from_secs(30);

/// More events may not wait to be dispatched than the target's rate allows in this time.
pub const BACKLOG: Duration = Duration::from_hours(1);

/// After so many failures in a row the next one counts: one bad try is ignored, as alarms ignore one bad minute.
pub const FAILURES: u64 = 2;

/// When `GET /health` finds that something is wrong.
#[derive(Clone, Debug)]
pub struct Thresholds {
    pub minute: Duration,
    pub freshness: Duration,
    pub lag: Duration,
    pub stuck: Duration,
    pub slow_invocation: Duration,
    pub backlog: u64,
}

impl Thresholds {
    /// `minute` is how long a minute is. Tests have no time for real ones.
    pub fn new(config: &Config, minute: Duration) -> Self {
        let timeout = config.consumer.timeout();
        // It waits for the batch in progress, then for its own; each takes less than the time-out.
        let work = config.simulated_work().map_or(Duration::ZERO, |_| 2 * timeout);
        let late = work + config.archive.window().saturating_sub(Archive::default().window());
        let slow = (timeout * SLOW_PERCENT / 100).max(timeout.saturating_sub(SLOW_MARGIN));
        let [freshness, lag, stuck, slow_invocation] = [FRESHNESS + late, LAG + late, STUCK, slow]
            .map(|time| minute.mul_f64(time.as_secs_f64() / MINUTE.as_secs_f64()));
        let backlog = config.dispatch.rate_per_second * BACKLOG.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of events")]
        let backlog = backlog.ceil() as u64;
        Self { minute, freshness, lag, stuck, slow_invocation, backlog }
    }
}

/// Makes an enum of names for JSON and Prometheus.
macro_rules! named {
    ($(#[$about:meta])* $enum:ident, $($name:literal: $case:ident, $fact:expr;)+) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $enum {
            $(#[doc = $fact] $case,)+
        }

        impl $enum {
            /// In the order of the data.
            pub const ALL: &[Self] = &[$(Self::$case,)+];

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$case => $name,)+
                }
            }

            fn fact(self) -> &'static str {
                match self {
                    $(Self::$case => $fact,)+
                }
            }
        }
    };
}

named! {
    /// What is wrong, with the name of its runbook. Most have the names of the alarms about the same.
    Concern,
    "storage_failing": StorageFailing, "storage-failing";
    "not_seen": NotSeen, "storage-failing";
    "ingest_unavailable": IngestUnavailable, "ingest-unavailable";
    "spilling": Spilling, "spilling";
    "spill_stuck": SpillStuck, "spill-stuck";
    "drain_errors": DrainErrors, "drain-errors";
    "spill_dead_letters": SpillDeadLetters, "spill-dead-letters";
    "mapping_stopped": MappingStopped, "consumer-lag";
    "consumer_lag": ConsumerLag, "consumer-lag";
    "consumer_errors": ConsumerErrors, "consumer-errors";
    "consumer_slow": ConsumerSlow, "consumer-slow";
    "freshness": Freshness, "freshness";
    "failed_batches": FailedBatches, "failed-batches";
    "dispatch_stuck": DispatchStuck, "dispatch-stuck";
    "dispatch_backlog": DispatchBacklog, "dispatch-backlog";
    "dispatch_errors": DispatchErrors, "dispatch-errors";
    "dispatch_dead_letters": DispatchDeadLetters, "dispatch-dead-letters";
}

impl Concern {
    /// The page that says what to do, from the root of the repository.
    pub fn runbook(self) -> String {
        format!("docs/runbooks/{}.md", self.fact())
    }
}

named! {
    /// A number that tells how the pipeline stands now. On AWS, CloudWatch has such numbers from the services.
    Gauge,
    "events_refused_lately": EventsRefused, "Events that neither the stream nor the spill queue took, until a minute without.";
    "events_spilled_lately": EventsSpilled, "Events that went to the spill queue, until a minute without.";
    "spill_depth": SpillDepth, "Messages in the spill queue, waiting or in progress.";
    "spill_dead_letters": SpillDeadLetters, "Messages in the dead-letter queue of the spill queue.";
    "records_waiting": RecordsWaiting, "Records on the stream that are not done.";
    "oldest_record_age_seconds": OldestRecordAge, "Age of the oldest record on the stream that is not done, in the shard where it is oldest.";
    "batch_failures": BatchFailures, "How often the batch that is being retried has failed, in the shard where it is most often.";
    "batches_failed": BatchesFailed, "Batches that failed for good since the start. Their records are at the failure destination.";
    "consumer_restarts": ConsumerRestarts, "Processes of the consumer that did not start, crashed or ran out of time, since the start.";
    "events_quarantined": EventsQuarantined, "Events and records put into quarantine since the start.";
    "dispatch_depth": DispatchDepth, "Events that wait for the target of dispatch.";
    "dispatch_dead_letters": DispatchDeadLetters, "Events that could not be dispatched.";
}

impl Gauge {
    pub fn meaning(self) -> &'static str {
        self.fact()
    }

    /// Whether it only rises until the next start.
    pub fn is_total(self) -> bool {
        matches!(self, Self::BatchesFailed | Self::ConsumerRestarts | Self::EventsQuarantined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_concern_has_a_runbook_and_is_described_and_so_is_every_gauge() {
        let read = |name: &str| {
            std::fs::read_to_string(format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
        };
        let (list, described) = (read("runbooks/README.md"), read("operate.md"));
        for concern in Concern::ALL {
            let page = format!("{}.md", concern.fact());
            assert_eq!(concern.runbook(), format!("docs/runbooks/{page}"));
            assert!(read(&format!("runbooks/{page}")).contains("**Check first.**"), "{page}");
            assert!(list.contains(&format!("({page})")), "{page}");
            assert!(described.contains(&format!("\n| `{}` |", concern.name())), "{}", concern.name());
        }
        for gauge in Gauge::ALL {
            assert!(described.contains(&format!("`{}`", gauge.name())), "{}", gauge.name());
        }
    }

    #[test]
    fn thresholds_are_those_of_the_alarms_and_leave_time_for_simulated_work_and_a_longer_window() {
        let mut config = Config::default();
        let milliseconds = |config: &Config, minute| {
            let Thresholds { freshness, lag, stuck, slow_invocation, .. } = Thresholds::new(config, minute);
            [freshness, lag, stuck, slow_invocation].map(|time| time.as_millis())
        };
        assert_eq!(milliseconds(&config, MINUTE), [5_000, 60_000, 900_000, 48_000]);
        assert_eq!(milliseconds(&config, MINUTE / 60), [83, 1_000, 15_000, 800]);
        config.consumer.timeout_seconds = 900;
        config.transform.simulate_work = 0.001;
        assert_eq!(milliseconds(&config, MINUTE), [1_805_000, 1_860_000, 900_000, 870_000]);
        config.archive.window_seconds = 60;
        assert_eq!(milliseconds(&config, MINUTE), [1_862_000, 1_917_000, 900_000, 870_000]);
        config.archive.window_seconds = 1;
        assert_eq!(milliseconds(&config, MINUTE), [1_805_000, 1_860_000, 900_000, 870_000]);
    }
}
