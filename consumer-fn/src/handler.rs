//! The handler: a batch's way through the stages, from top to bottom.

use std::sync::Arc;

use aws_lambda_events::event::streams::KinesisEventResponse;
use shared::config::Config;
use shared::time::Clock;

use crate::batch::Batch;
use crate::commit::{Shelf, commit};
use crate::count::count;
use crate::deadline::Deadline;
use crate::decode::decode;
use crate::insert::insert;
use crate::items::ItemStore;
use crate::ledger::Ledger;
use crate::prepare::Prepared;
use crate::quarantine;
use crate::resolve::resolve;
use crate::response::respond;
use crate::texts;
use crate::transform::work::simulate;
use crate::transform::{InvalidTransform, Transform};
use shared::objects::ObjectStore;

/// The stream side of the pipeline.
#[derive(Debug)]
pub struct Consumer<I, O, L> {
    config: Arc<Config>,
    transform: Transform,
    items: I,
    objects: O,
    ledger: L,
    clock: Clock,
}

impl<I: ItemStore, O: ObjectStore, L: Ledger> Consumer<I, O, L> {
    /// Over the given stores. Fails where the configured transform cannot work.
    pub fn new(
        config: Arc<Config>,
        items: I,
        objects: O,
        ledger: L,
        clock: Clock,
    ) -> Result<Self, InvalidTransform> {
        let transform = Transform::new(&config.transform)?;
        Ok(Self { config, transform, items, objects, ledger, clock })
    }

    /// Processes a batch, and answers how much of it is done. Never fails: what is bad in itself goes to quarantine,
    /// what does not work for now ends the batch before it ([`crate::prefix`]).
    ///
    /// Nothing is answered as done before it is durable.
    pub async fn handle(&self, batch: Batch, deadline: Deadline) -> KinesisEventResponse {
        let started_at = self.clock.now();
        let Self { config, transform, items, objects, ledger, clock } = self;

        let decoded = decode(&batch, config);
        let events = decoded.entries.len();
        let resolved = resolve(decoded, objects, config.limits.claim_check_bytes, deadline.resolve()).await;
        let worked = simulate(resolved, config.transform.work_per_character(), deadline.simulate()).await;
        let prepared = worked
            .map(|place, event| Prepared::new(event, batch.origin(place), transform, config, started_at));
        let stored = texts::store(prepared, objects, deadline.texts()).await;
        let settled = insert(stored, items, deadline.items()).await;
        let settled = quarantine::write(settled, &batch, objects, deadline.quarantine()).await;
        let place = Shelf { shard: batch.shard(), objects, ledger, until: deadline.archive() };
        let committed = commit(settled, &batch, place, &config.archive).await;

        count(events, &committed, clock.now());
        respond(&batch, committed.records)
    }
}
