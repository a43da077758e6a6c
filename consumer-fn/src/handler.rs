//! The handler: a batch's way through the stages, from top to bottom.

use std::sync::Arc;

use aws_lambda_events::event::streams::KinesisEventResponse;
use shared::config::Config;
use shared::time::Clock;

use crate::archive::archive;
use crate::batch::Batch;
use crate::commit::commit;
use crate::count::count;
use crate::deadline::Deadline;
use crate::decode::decode;
use crate::insert::insert;
use crate::items::ItemStore;
use crate::objects::ObjectStore;
use crate::offload::offload;
use crate::prepare::Prepared;
use crate::quarantine;
use crate::resolve::resolve;
use crate::response::respond;
use crate::retry::Jitter;
use crate::transform::{InvalidTransform, Transform};

/// The stream side of the pipeline.
#[derive(Debug)]
pub struct Consumer<I, O> {
    config: Arc<Config>,
    transform: Transform,
    items: I,
    objects: O,
    clock: Clock,
}

impl<I: ItemStore, O: ObjectStore> Consumer<I, O> {
    /// Over the given stores. Fails where the configured transform cannot work.
    pub fn new(config: Arc<Config>, items: I, objects: O, clock: Clock) -> Result<Self, InvalidTransform> {
        let transform = Transform::new(&config.transform)?;
        Ok(Self { config, transform, items, objects, clock })
    }

    /// Processes a batch, and answers how much of it is done. Never fails: what is bad in itself goes to quarantine,
    /// what does not work for now ends the batch before it ([`crate::prefix`]).
    ///
    /// Nothing is answered as done before it is durable.
    pub async fn handle(&self, batch: Batch, deadline: Deadline) -> KinesisEventResponse {
        let started_at = self.clock.now();
        let jitter = Jitter::new(format!("{} {started_at}", batch.shard()).as_bytes());
        let Self { config, transform, items, objects, clock } = self;

        let decoded = decode(&batch, config);
        let events = decoded.entries.len();
        let resolved =
            resolve(decoded, objects, config.limits.resolved_bytes, deadline.resolve(), &jitter).await;
        let prepared = resolved.map(|place, resolved| {
            Prepared::new(resolved, batch.origin(place), transform, config, started_at)
        });
        let offloaded = offload(prepared, objects, deadline.offload(), &jitter).await;
        let settled = insert(offloaded, items, deadline.items(), &jitter).await;
        let settled = quarantine::write(settled, &batch, objects, deadline.quarantine(), &jitter).await;
        let archived = archive(settled, &batch, objects, &config.archive, deadline.archive(), &jitter).await;
        let finished = commit(&archived);

        count(events, &archived, clock.now());
        respond(&batch, finished)
    }
}
