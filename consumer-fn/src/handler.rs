//! The handler: takes a batch through the stages, from top to bottom.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::streams::KinesisEventResponse;
use futures::future::{Either, select};
use shared::config::{Config, ConfigError};
use shared::time::Clock;

use crate::batch::Batch;
use crate::commit::{CommitStores, commit};
use crate::count::count;
use crate::deadline::Deadline;
use crate::decode::decode;
use crate::dispatch::{DispatchQueue, NoDispatch, enqueue};
use crate::insert::insert;
use crate::items::ItemStore;
use crate::ledger::Ledger;
use crate::prepare::Prepared;
use crate::quarantine;
use crate::resolve::resolve;
use crate::response::respond;
use crate::span::BatchSpan;
use crate::texts;
use crate::transform::Transform;
use crate::transform::work::simulate;
use shared::objects::ObjectStore;
use shared::traces::{Traces, now};

#[derive(Debug)]
pub struct Consumer<I, O, L, D = NoDispatch> {
    config: Arc<Config>,
    transform: Transform,
    items: I,
    objects: O,
    ledger: L,
    /// If dispatch is on.
    dispatch: Option<D>,
    /// If spans go anywhere.
    traces: Option<Traces>,
    clock: Clock,
}

impl<I: ItemStore, O: ObjectStore, L: Ledger> Consumer<I, O, L> {
    /// In `config`, `reads.enabled` is set: without it, items are written as if it were off. It does not fail
    /// for a configuration that was read from a file.
    pub fn new(
        config: Arc<Config>,
        items: I,
        objects: O,
        ledger: L,
        clock: Clock,
    ) -> Result<Self, ConfigError> {
        let transform = Transform::new(&config.transform)?;
        let traces = Traces::of(&config.telemetry, "consumer");
        Ok(Self { config, transform, items, objects, ledger, dispatch: None, traces, clock })
    }

    /// The same, which also sends stored events to this queue, if there is one.
    pub fn dispatching<D: DispatchQueue>(self, queue: Option<D>) -> Consumer<I, O, L, D> {
        let Self { config, transform, items, objects, ledger, traces, clock, .. } = self;
        Consumer { config, transform, items, objects, ledger, dispatch: queue, traces, clock }
    }
}

impl<I: ItemStore, O: ObjectStore, L: Ledger, D: DispatchQueue> Consumer<I, O, L, D> {
    /// Says at start-up how long a text may be, where work is simulated.
    pub(crate) fn log_longest_text(&self) {
        let Some(work) = self.config.simulated_work() else { return };
        let characters = work.longest_text();
        tracing::info!(
            text.characters = characters,
            "work is simulated on texts of at most {characters} characters"
        );
    }

    /// The time limits of an invocation that is over after `remaining`, but at the latest after the configured time-out: if
    /// this machine's clock was set back, `remaining` is too long, and the batch would be killed before it is stored.
    pub(crate) fn deadline(&self, remaining: Option<Duration>) -> Deadline {
        let timeout = self.config.consumer.timeout();
        Deadline::after(remaining.map_or(timeout, |remaining| remaining.min(timeout)), &self.config)
    }

    /// Sends the spans of the batch, if there are any.
    pub(crate) async fn send_spans(&self) {
        if let Some(traces) = &self.traces {
            traces.send_at_end().await;
        }
    }

    /// Processes a batch, and answers how much of it is done. It never fails: bad data goes to quarantine, and a failure that may
    /// pass ends the batch before the record that it concerns ([`crate::prefix`]).
    ///
    /// A record is answered as done only when it is durable.
    pub async fn handle(&self, batch: Batch, deadline: Deadline) -> KinesisEventResponse {
        let Self { config, transform, items, objects, ledger, dispatch, traces, clock } = self;

        let began = now();
        let (records, decoded) = decode(batch, config);
        let span = BatchSpan::begin(traces.as_ref(), began, &decoded);
        let events = decoded.entries.len();
        let resolved = resolve(decoded, objects, config.limits.claim_check_bytes, deadline.resolve).await;
        let worked = simulate(resolved, config.simulated_work(), deadline.simulate, clock).await;
        let prepared =
            worked.map(|position, worked| Prepared::new(worked, records.origin(position), transform, config));
        let inserted = async {
            let stored = texts::store(prepared, objects, deadline.texts).await;
            let began = now();
            let inserted = insert(stored, items, deadline.items).await;
            let time = began..now();
            let inserted = quarantine::write(inserted, &records, objects, deadline.quarantine).await;
            (enqueue(inserted, dispatch.as_ref(), objects, deadline.dispatch).await, time)
        };
        let ((inserted, time), progress) = beside(inserted, ledger.read(records.shard())).await;
        let progress = progress.and_then(Result::ok);
        let archive = CommitStores { shard: records.shard(), objects, ledger, until: deadline.archive };
        let committed = commit(inserted, &records, progress, archive, &config.archive).await;

        count(events, &committed, clock.now());
        if let Some(span) = span {
            span.end(&records, &committed, time);
        }
        respond(&records, committed.records)
    }
}

/// Runs `other` beside `main`, and drops it if it takes longer.
async fn beside<A, B>(main: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, Option<B>) {
    match select(pin!(other), pin!(main)).await {
        Either::Left((other, main)) => (main.await, Some(other)),
        Either::Right((main, _)) => (main, None),
    }
}
