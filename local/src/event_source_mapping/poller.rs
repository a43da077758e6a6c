//! The loop of one shard: it gets the next step from the state machine, does it, and reports the result.
//!
//! Everything is awaited in turn, so memory holds at most the batch in flight and the records that were read for the
//! next. Dropping the loop at any point loses nothing: records after the checkpoint are delivered again.

use std::sync::Arc;

use shared::objects::ObjectStore;
use shared::time::Timestamp;
use tokio::sync::watch;

use super::payload::{self, Envelope};
use super::ports::{Checkpoints, InvokeFailure, Invoker, ReadLimit, ShardTail, StreamReader};
use super::retry::until_it_works;
use super::shard::{Invoked, NextTry, Shard, ShardStep, ends};
use super::{EventSourceMapping, discard};

/// Whether pollers wait for more records, or finish those on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Running,
    Draining,
}

pub(super) struct Poller<R, C, I, D> {
    mapping: Arc<EventSourceMapping<R, C, I, D>>,
    shard_id: String,
    shard: Shard,
    saved: Option<String>,
    mode: watch::Receiver<Mode>,
}

impl<R: StreamReader, C: Checkpoints, I: Invoker, D: ObjectStore> Poller<R, C, I, D> {
    /// A poller that continues after the saved checkpoint.
    pub(super) async fn resume(
        mapping: Arc<EventSourceMapping<R, C, I, D>>,
        shard_id: String,
        mode: watch::Receiver<Mode>,
    ) -> Self {
        let rules = &mapping.settings.rules;
        let load = || mapping.checkpoints.load(&shard_id);
        let saved = until_it_works(rules.backoff, "loading a checkpoint", &shard_id, load).await;
        let envelope = Envelope::new(&mapping.settings, &shard_id);
        let shard = Shard::new(rules.clone(), envelope, saved.clone());
        Self { mapping, shard_id, shard, saved, mode }
    }

    /// Polls until the shard is at its end: closed, or at its tip in a drain.
    pub(super) async fn run(mut self) -> (String, ShardTail) {
        let mut read_at = self.mapping.clock.now();
        let mut draining = false;
        loop {
            self.save_checkpoint().await;
            let now = self.mapping.clock.now();
            if !draining && *self.mode.borrow_and_update() == Mode::Draining {
                draining = true;
                self.shard.drain();
                read_at = now;
            }
            match self.shard.next(now) {
                ShardStep::Invoke(records) => {
                    let payload = payload::event(records).into();
                    let ends = ends(records).map(|record| record.sequence_number.clone());
                    let result = self.mapping.invoker.invoke(payload).await;
                    let function_error = matches!(result, Err(InvokeFailure::Function { .. }));
                    let invoked = self.shard.invoked(result, self.mapping.clock.now());
                    self.count(&invoked, &ends, function_error);
                }
                ShardStep::Discard(discarded) => {
                    let records = discarded.records.len() as u64;
                    let EventSourceMapping { destination, settings, .. } = &*self.mapping;
                    discard::save(destination, settings, &self.shard_id, discarded, now).await;
                    self.mapping.progress.send_modify(|progress| {
                        progress.discarded += records;
                        progress.failed_batches += 1;
                        progress.pending -= records;
                    });
                    self.mapping.attempts.progressed(&self.shard_id);
                    self.shard.saved(self.mapping.clock.now());
                }
                ShardStep::Finished => return (self.shard_id, self.shard.tail()),
                ShardStep::Wait(until) => match self.shard.room() {
                    Some(room) if read_at <= now => read_at = self.read(room).await,
                    room => self.wait(now, until, room.map(|_| read_at)).await,
                },
            }
        }
    }

    /// Reads once; returns when to read again.
    async fn read(&mut self, limit: ReadLimit) -> Timestamp {
        let read = || self.mapping.reader.read(&self.shard_id, self.shard.position(), limit);
        let read = until_it_works(self.mapping.settings.rules.backoff, "reading", &self.shard_id, read).await;
        self.mapping.progress.send_modify(|progress| progress.pending += read.records.len() as u64);
        let now = self.mapping.clock.now();
        self.shard.buffer(read, now);
        match self.shard.tail() {
            ShardTail::More => now,
            ShardTail::Tip | ShardTail::Closed => now.plus(self.mapping.settings.poll_interval),
        }
    }

    async fn wait(&mut self, now: Timestamp, until: Option<Timestamp>, read_at: Option<Timestamp>) {
        let wake = until.into_iter().chain(read_at).min();
        let sleep = async {
            match wake {
                Some(wake) => tokio::time::sleep(wake.since(now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // In this order, so that a run in virtual time can be repeated.
            biased;
            () = sleep => {}
            // An error means that the mapping was dropped, and this task ends with it.
            Ok(()) = self.mode.changed() => {}
        }
    }

    /// Saves the checkpoint before any other step, so that a restart repeats at most the batch in flight.
    async fn save_checkpoint(&mut self) {
        let Some(checkpoint) = self.shard.checkpoint() else { return };
        if self.saved.as_deref() != Some(checkpoint) {
            let save = || self.mapping.checkpoints.save(&self.shard_id, checkpoint);
            until_it_works(self.mapping.settings.rules.backoff, "saving a checkpoint", &self.shard_id, save)
                .await;
            self.saved = Some(checkpoint.to_owned());
        }
    }

    /// Counts what an invocation did, and logs its failure.
    fn count(&self, invoked: &Invoked, [first, last]: &[String; 2], function_error: bool) {
        if invoked.processed > 0 {
            self.mapping.attempts.progressed(&self.shard_id);
            self.mapping.progress.send_modify(|progress| {
                progress.batches += 1;
                progress.records += invoked.processed as u64;
                progress.pending -= invoked.processed as u64;
            });
        }
        let Some((reason, next_try)) = &invoked.failure else { return };
        let shard = &self.shard_id;
        self.mapping.attempts.failed(shard, function_error);
        match next_try {
            NextTry::Split => {
                tracing::warn!(shard.id = %shard, batch.first = %first, batch.last = %last, error = %reason,
                    "a batch failed; it is split in two and retried");
            }
            NextTry::Retry { at } => {
                tracing::warn!(shard.id = %shard, batch.first = %first, batch.last = %last, error = %reason,
                    batch.processed = invoked.processed, retry_at = %at,
                    "a batch failed; its unfinished records are retried");
            }
            // `discard::save` logs it.
            NextTry::Discard => {}
        }
    }
}
