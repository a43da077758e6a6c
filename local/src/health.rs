//! Judges how the pipeline stands, from what `watch` has seen. It does no I/O; it remembers since when something lasts.

pub(crate) mod watch;

use std::time::Duration;

use ingest_fn::health::{Amount, Covers, Lately, Reason, Report, Status};
use shared::health::{Concern, FAILURES, Gauge, Thresholds};
use tokio::time::Instant;

use crate::embedded::Left;
use crate::event_source_mapping::Failing;

/// What was seen at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) at: Instant,
    pub(crate) lately: Lately,
    /// Or why they could not be read.
    pub(crate) stores: Result<Stores, String>,
    pub(crate) mapping: MappingState,
    pub(crate) consumer: ConsumerState,
    pub(crate) drain: QueueState,
    /// If dispatch is on.
    pub(crate) dispatch: Option<QueueState>,
    pub(crate) quarantined: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Stores {
    /// Records that are not done.
    pub(crate) waiting: u64,
    /// Shard and age of the oldest of them.
    pub(crate) oldest: Option<(String, Duration)>,
    pub(crate) spill: Left,
    pub(crate) dispatch: Left,
}

#[derive(Clone, Debug)]
pub(crate) struct MappingState {
    pub(crate) is_running: bool,
    pub(crate) failing: Option<Failing>,
    /// Since the start.
    pub(crate) failed_batches: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConsumerState {
    /// Environments that were lost since the start.
    pub(crate) restarts: u64,
    pub(crate) longest_invocation: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueState {
    pub(crate) is_running: bool,
    /// Of the function, in a row.
    pub(crate) failures: u64,
    /// Messages that are done since the start.
    pub(crate) done: u64,
}

pub(crate) struct Judge {
    thresholds: Thresholds,
    late: Since,
    spilled: Since,
    undispatched: Since,
    dispatched: u64,
    failed_batches: u64,
    /// The last batches that failed for good, and when that was seen.
    failed: Option<(Instant, u64)>,
}

/// Since when a condition has held without a break.
#[derive(Default)]
struct Since(Option<Instant>);

impl Since {
    fn lasts(&mut self, holds: bool, now: Instant) -> Duration {
        if !holds {
            self.0 = None;
            return Duration::ZERO;
        }
        now.duration_since(*self.0.get_or_insert(now))
    }
}

impl Judge {
    pub(crate) fn new(thresholds: Thresholds) -> Self {
        let [late, spilled, undispatched] = [(); 3].map(|()| Since::default());
        Self { thresholds, late, spilled, undispatched, dispatched: 0, failed_batches: 0, failed: None }
    }

    pub(crate) fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// Everything but a fault of the storage: `watch` adds that.
    pub(crate) fn judge(&mut self, seen: &Observed) -> Report {
        let mut report = Report::new(Covers::Pipeline);
        seen.lately.add_to(&mut report, Status::Failing);
        self.functions(seen, &mut report);
        match &seen.stores {
            Ok(stores) => self.stores(stores, seen, &mut report),
            Err(error) => {
                let message = format!("stream and queues cannot be read: {error}");
                report.reasons.push(reason(Concern::NotSeen, Status::Degraded, message));
            }
        }
        // The order of the data, but what is failing first.
        report.reasons.sort_by_key(|reason| (std::cmp::Reverse(reason.status), reason.concern));
        report
    }

    fn functions(&mut self, seen: &Observed, report: &mut Report) {
        let Observed { mapping, consumer, drain, dispatch, .. } = seen;
        if !(mapping.is_running && drain.is_running && dispatch.is_none_or(|queue| queue.is_running)) {
            let message = "an event source mapping stopped; restart Tidegate: until then its events wait";
            report.reasons.push(reason(Concern::MappingStopped, Status::Failing, message.to_owned()));
        }
        let failures = mapping.failing.as_ref().map_or(0, |failing| failing.failures);
        // Where a store refuses, the consumer tries again for most of its time-out: that is a lag.
        if let Some(Failing { shard, function_error: true, .. }) = &mapping.failing {
            let message = format!(
                "the consumer crashed or ran out of time on a batch of {shard}, {failures} times in a row"
            );
            over(report, Concern::ConsumerErrors, Amount::Count(failures), Amount::Count(FAILURES), message);
        }
        if let Some(time) = consumer.longest_invocation.map(Amount::Time) {
            let message = format!("an invocation of the consumer has been running for {time}");
            let limit = Amount::Time(self.thresholds.slow_invocation);
            over(report, Concern::ConsumerSlow, time, limit, message);
        }
        let queues = [
            (Concern::DrainErrors, "drain", Some(drain)),
            (Concern::DispatchErrors, "dispatcher", dispatch.as_ref()),
        ];
        for (concern, function, queue) in queues {
            let failures = queue.map_or(0, |queue| queue.failures);
            let message = format!("the {function} failed {failures} times in a row");
            over(report, concern, Amount::Count(failures), Amount::Count(FAILURES), message);
        }
        let failed = self.failed_lately(mapping.failed_batches, seen.at);
        let message = format!(
            "{failed} batches failed for good and were saved; fix the cause, then `tidegate redrive --source failure-destination`"
        );
        over(report, Concern::FailedBatches, Amount::Count(failed), Amount::Count(0), message);
        report.gauges.extend([
            (Gauge::BatchFailures, Amount::Count(failures)),
            (Gauge::BatchesFailed, Amount::Count(mapping.failed_batches)),
            (Gauge::ConsumerRestarts, Amount::Count(consumer.restarts)),
            (Gauge::EventsQuarantined, Amount::Count(seen.quarantined)),
        ]);
    }

    /// Batches that failed for good, until a minute passes without one. No one can see here when they are redriven.
    fn failed_lately(&mut self, total: u64, now: Instant) -> u64 {
        let new = total - self.failed_batches;
        self.failed_batches = total;
        self.failed.take_if(|(last, _)| now.duration_since(*last) >= self.thresholds.minute);
        let before = self.failed.map_or(0, |(_, batches)| batches);
        if new > 0 {
            self.failed = Some((now, before + new));
        }
        before + new
    }

    fn stores(&mut self, stores: &Stores, seen: &Observed, report: &mut Report) {
        let Stores { waiting, oldest, spill, dispatch } = stores;
        let Thresholds { minute, freshness, lag, stuck, backlog, .. } = self.thresholds;
        let age = oldest.as_ref().map_or(Duration::ZERO, |(_, age)| *age);
        let late = self.late.lasts(age > freshness, seen.at);
        if let Some((shard, age)) = oldest {
            let message =
                format!("{waiting} records wait; the oldest, on {shard}, for {}", Amount::Time(*age));
            over(report, Concern::ConsumerLag, Amount::Time(*age), Amount::Time(lag), message);
            if late >= minute && *age <= lag {
                let message = format!(
                    "for {} the oldest record was never younger than the promise; on {shard} it is {} old",
                    Amount::Time(late),
                    Amount::Time(*age)
                );
                over(report, Concern::Freshness, Amount::Time(*age), Amount::Time(freshness), message);
            }
        }
        let time = Amount::Time(self.spilled.lasts(spill.waiting > 0, seen.at));
        let message =
            format!("the spill queue has not been empty for {time}; it has {} messages", spill.waiting);
        over(report, Concern::SpillStuck, time, Amount::Time(stuck), message);
        let dead = Amount::Count(spill.dead);
        let message =
            format!("{dead} spilled messages are dead letters: `tidegate redrive --source dead-letters`");
        over(report, Concern::SpillDeadLetters, dead, Amount::Count(0), message);
        report.oldest_record_shard = oldest.as_ref().map(|(shard, _)| shard.clone());
        report.gauges.extend([
            (Gauge::RecordsWaiting, Amount::Count(*waiting)),
            (Gauge::OldestRecordAge, Amount::Time(age)),
            (Gauge::SpillDepth, Amount::Count(spill.waiting)),
            (Gauge::SpillDeadLetters, dead),
        ]);

        let Some(QueueState { done, .. }) = seen.dispatch else { return };
        if done != std::mem::replace(&mut self.dispatched, done) {
            self.undispatched = Since::default();
        }
        let time = Amount::Time(self.undispatched.lasts(dispatch.waiting > 0, seen.at));
        let (waiting, dead) = (Amount::Count(dispatch.waiting), Amount::Count(dispatch.dead));
        let message =
            format!("{waiting} events wait for the target of dispatch, which has taken none for {time}");
        over(report, Concern::DispatchStuck, time, Amount::Time(stuck), message);
        let message =
            format!("{waiting} events wait for the target of dispatch: more than an hour of its rate");
        over(report, Concern::DispatchBacklog, waiting, Amount::Count(backlog), message);
        let message = format!("{dead} events could not be dispatched: `tidegate redrive --source dispatch`");
        over(report, Concern::DispatchDeadLetters, dead, Amount::Count(0), message);
        report.gauges.extend([(Gauge::DispatchDepth, waiting), (Gauge::DispatchDeadLetters, dead)]);
    }
}

/// Adds the reason if the amount is above its limit.
fn over(report: &mut Report, concern: Concern, amount: Amount, limit: Amount, message: String) {
    if amount.value() > limit.value() {
        let measured = Some((amount, limit));
        report.reasons.push(Reason { measured, ..reason(concern, Status::Degraded, message) });
    }
}

fn reason(concern: Concern, status: Status, message: String) -> Reason {
    Reason { status, concern, message, measured: None }
}

#[cfg(test)]
mod tests {
    use shared::config::Config;
    use shared::health::MINUTE;

    use super::*;

    const SHARD: &str = "shardId-000000000001";

    /// A judge with dispatch on, and a pipeline that it looks at each second.
    struct Scene {
        judge: Judge,
        seen: Observed,
    }

    impl Scene {
        fn new() -> Self {
            let mut config = Config::default();
            config.dispatch.rate_per_second = 10.0;
            let queue = QueueState { is_running: true, failures: 0, done: 0 };
            let seen = Observed {
                at: Instant::now(),
                lately: Lately::default(),
                stores: Ok(Stores::default()),
                mapping: MappingState { is_running: true, failing: None, failed_batches: 0 },
                consumer: ConsumerState::default(),
                drain: queue,
                dispatch: Some(queue),
                quarantined: 0,
            };
            Self { judge: Judge::new(Thresholds::new(&config, MINUTE)), seen }
        }

        fn stores(&mut self) -> &mut Stores {
            self.seen.stores.as_mut().unwrap()
        }

        /// Looks now. Returns the status and the codes.
        fn look(&mut self) -> (Status, Vec<&'static str>) {
            let report = self.judge.judge(&self.seen);
            (report.status(), report.reasons.iter().map(|reason| reason.concern.name()).collect())
        }

        /// Looks each second while nothing changes. It must be ok for so many seconds, then have the reason. Then `end` ends it, and
        /// it must be ok at once.
        fn check(mut self, seconds: u64, code: &str, end: impl FnOnce(&mut Observed)) {
            for second in 0..seconds {
                assert_eq!(self.look(), (Status::Ok, vec![]), "{code} after {second} s");
                self.seen.at += Duration::from_secs(1);
            }
            assert_eq!(self.look(), (Status::Degraded, vec![code]));
            end(&mut self.seen);
            assert_eq!(self.look(), (Status::Ok, vec![]), "{code} is over");
        }
    }

    fn empty(seen: &mut Observed) {
        seen.stores = Ok(Stores::default());
    }

    #[test]
    fn a_record_may_wait_for_a_minute() {
        for (seconds, status) in [(60, Status::Ok), (61, Status::Degraded)] {
            let mut scene = Scene::new();
            scene.stores().oldest = Some((SHARD.to_owned(), Duration::from_secs(seconds)));
            assert_eq!(scene.look().0, status);
        }
        let mut scene = Scene::new();
        scene.stores().oldest = Some((SHARD.to_owned(), Duration::from_secs(90)));
        scene.stores().waiting = 7;
        let report = scene.judge.judge(&scene.seen);
        let Reason { message, measured, .. } = &report.reasons[0];
        assert_eq!(message, "7 records wait; the oldest, on shardId-000000000001, for 90 s");
        let [age, limit] = [90, 60].map(|seconds| Amount::Time(Duration::from_secs(seconds)));
        assert_eq!(*measured, Some((age, limit)));
        assert!(report.gauges.contains(&(Gauge::OldestRecordAge, age)));
        assert_eq!(report.oldest_record_shard.as_deref(), Some(SHARD));
        scene.check(0, "consumer_lag", empty);
    }

    #[test]
    fn records_that_are_late_for_a_minute_break_the_promise() {
        let mut scene = Scene::new();
        scene.stores().oldest = Some((SHARD.to_owned(), Duration::from_secs(6)));
        scene.check(60, "freshness", |seen| {
            seen.stores.as_mut().unwrap().oldest = Some((SHARD.to_owned(), Duration::from_secs(4)));
        });
    }

    #[test]
    fn a_spill_queue_is_stuck_after_a_quarter_of_an_hour_and_its_dead_letters_count_at_once() {
        let mut scene = Scene::new();
        scene.stores().spill.waiting = 1;
        scene.check(901, "spill_stuck", empty);
        let mut scene = Scene::new();
        scene.stores().spill.dead = 1;
        scene.check(0, "spill_dead_letters", empty);
    }

    #[test]
    fn a_target_is_stuck_if_it_takes_nothing_for_a_quarter_of_an_hour() {
        let mut scene = Scene::new();
        scene.stores().dispatch.waiting = 36_000;
        scene.check(901, "dispatch_stuck", |seen| seen.dispatch.as_mut().unwrap().done = 1);
        let mut scene = Scene::new();
        scene.stores().dispatch.waiting = 36_001;
        scene.check(0, "dispatch_backlog", empty);
        let mut scene = Scene::new();
        scene.stores().dispatch.dead = 1;
        scene.check(0, "dispatch_dead_letters", empty);
    }

    #[test]
    fn functions_may_fail_twice_in_a_row() {
        for (failures, status) in [(2, Status::Ok), (3, Status::Degraded)] {
            let mut scene = Scene::new();
            let failing = Failing { shard: SHARD.to_owned(), failures, function_error: true };
            scene.seen.mapping.failing = Some(failing);
            assert_eq!(scene.look().0, status);
        }
        let mut scene = Scene::new();
        let failing = Failing { shard: SHARD.to_owned(), failures: 3, function_error: true };
        scene.seen.mapping.failing = Some(failing);
        scene.check(0, "consumer_errors", |seen| seen.mapping.failing = None);
        let mut scene = Scene::new();
        scene.seen.drain.failures = 3;
        scene.check(0, "drain_errors", |seen| seen.drain.failures = 0);
        let mut scene = Scene::new();
        scene.seen.dispatch.as_mut().unwrap().failures = 3;
        scene.check(0, "dispatch_errors", |seen| seen.dispatch.as_mut().unwrap().failures = 0);
    }

    #[test]
    fn an_invocation_that_comes_close_to_its_time_out_is_slow() {
        let mut scene = Scene::new();
        scene.seen.consumer.longest_invocation = Some(Duration::from_secs(48));
        assert_eq!(scene.look().0, Status::Ok);
        scene.seen.consumer.longest_invocation = Some(Duration::from_secs(49));
        scene.check(0, "consumer_slow", |seen| seen.consumer.longest_invocation = None);
    }

    #[test]
    fn batches_that_failed_for_good_count_until_a_minute_passes_without_one() {
        let mut scene = Scene::new();
        scene.seen.mapping.failed_batches = 2;
        assert_eq!(scene.look(), (Status::Degraded, vec!["failed_batches"]));
        scene.seen.at += MINUTE / 2;
        scene.seen.mapping.failed_batches = 3;
        let report = scene.judge.judge(&scene.seen);
        assert_eq!(report.reasons[0].measured, Some((Amount::Count(3), Amount::Count(0))));
        scene.seen.at += MINUTE * 59 / 60;
        assert_eq!(scene.look().0, Status::Degraded);
        scene.seen.at += MINUTE / 60;
        assert_eq!(scene.look(), (Status::Ok, vec![]));
        let report = scene.judge.judge(&scene.seen);
        assert!(report.gauges.contains(&(Gauge::BatchesFailed, Amount::Count(3))));
    }

    #[test]
    fn what_a_restart_repairs_is_failing_and_comes_first() {
        let mut scene = Scene::new();
        scene.seen.mapping.is_running = false;
        scene.stores().spill.dead = 1;
        assert_eq!(scene.look(), (Status::Failing, vec!["mapping_stopped", "spill_dead_letters"]));
        let mut scene = Scene::new();
        scene.seen.lately = Lately { spilled: 2, refused: 1, all_refused: true };
        assert_eq!(scene.look(), (Status::Failing, vec!["ingest_unavailable", "spilling"]));
        scene.seen.lately.all_refused = false;
        assert_eq!(scene.look(), (Status::Degraded, vec!["ingest_unavailable", "spilling"]));
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_empty() {
        let mut scene = Scene::new();
        scene.seen.stores = Err("database is locked".to_owned());
        let report = scene.judge.judge(&scene.seen);
        assert_eq!(report.reasons[0].message, "stream and queues cannot be read: database is locked");
        assert!(!report.gauges.iter().any(|(gauge, _)| *gauge == Gauge::RecordsWaiting));
        scene.check(0, "not_seen", empty);
    }
}
