//! Looks at the pipeline about once a second, so that `GET /health` and `GET /metrics` cost no read of the stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ingest_fn::health::{Covers, HealthCheck, Outcomes, Report, Status};
use shared::health::Concern;
use shared::time::Clock;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{ConsumerState, Judge, MappingState, Observed, QueueState, Stores};
use crate::embedded::{Backlog, Database, EmbeddedQueue, Left, LocalQueue};
use crate::event_source_mapping::MappingView;
use crate::guard::Guard;
use crate::prometheus;
use crate::queue_mapping::QueueView;
use crate::runtime_api::FunctionHost;

/// Looks in a minute. A look that took long is followed by a pause in proportion: a backlog must not make it a burden.
const LOOKS: u32 = 60;
const PAUSE_RATIO: u32 = 20;
/// A look that takes longer has seen nothing.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// What health looks at.
pub(crate) struct HealthWatch {
    /// A connection of its own.
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) guard: Guard,
    pub(crate) outcomes: Outcomes,
    pub(crate) mapping: MappingView,
    pub(crate) consumer: FunctionHost,
    pub(crate) drain: QueueView,
    pub(crate) dispatch: Option<QueueView>,
    pub(crate) quarantined: Arc<AtomicU64>,
    pub(crate) judge: Judge,
}

/// Answers with the last report, and with what the guard finds now.
pub(crate) fn check(reports: watch::Receiver<Report>, guard: Guard) -> HealthCheck {
    HealthCheck::new(move || {
        let mut report = reports.borrow().clone();
        if reports.has_changed().is_err() {
            let message = "the watch over the pipeline ended: restart Tidegate".to_owned();
            report.reasons.push(super::reason(Concern::NotSeen, Status::Failing, message));
        }
        report.set_fault(guard.look().as_ref());
        report
    })
}

impl HealthWatch {
    /// Looks until it is aborted.
    pub(crate) async fn run(mut self, reports: watch::Sender<Report>) {
        let between = self.judge.thresholds().minute / LOOKS;
        loop {
            let started = Instant::now();
            let report = self.look().await;
            prometheus::publish(&report);
            reports.send_replace(report);
            sleep(between.max(started.elapsed() * PAUSE_RATIO)).await;
        }
    }

    async fn look(&mut self) -> Report {
        // The stores that we have open may not be those that are there.
        if let Some(fault) = self.guard.look() {
            let mut report = Report::new(Covers::Pipeline);
            report.set_fault(Some(&fault));
            return report;
        }
        let stores = match timeout(LONGEST_LOOK, self.stores()).await {
            Ok(stores) => stores.map_err(|error| format!("{error:#}")),
            Err(_late) => Err(format!("no answer within {} s", LONGEST_LOOK.as_secs())),
        };
        let queue = |view: &QueueView| QueueState {
            is_running: view.is_running(),
            failures: view.failures(),
            done: view.done(),
        };
        let observed = Observed {
            at: Instant::now(),
            lately: self.outcomes.lately(self.clock.now(), self.judge.thresholds().minute),
            stores,
            mapping: MappingState {
                is_running: self.mapping.is_running(),
                failing: self.mapping.failing(),
                failed_batches: self.mapping.progress().failed_batches,
            },
            consumer: ConsumerState {
                restarts: self.consumer.environments_lost(),
                longest_invocation: self.consumer.longest_invocation(),
            },
            drain: queue(&self.drain),
            dispatch: self.dispatch.as_ref().map(queue),
            quarantined: self.quarantined.load(Ordering::Relaxed),
        };
        self.judge.judge(&observed)
    }

    async fn stores(&self) -> anyhow::Result<Stores> {
        let Backlog { waiting, oldest } = Backlog::read(&self.database).await?;
        let now = self.clock.now();
        let left = async |queue| {
            EmbeddedQueue { queue, database: self.database.clone(), clock: self.clock.clone() }.left().await
        };
        let dispatch = match self.dispatch {
            Some(_) => left(LocalQueue::Dispatch).await?,
            None => Left::default(),
        };
        let oldest = oldest.map(|(arrival, shard)| (shard, now.since(arrival)));
        Ok(Stores { waiting, oldest, spill: left(LocalQueue::Spill).await?, dispatch })
    }
}
