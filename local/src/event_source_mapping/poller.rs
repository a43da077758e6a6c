//! The loop of one shard: it asks the state machine for the next step, does it, and reports the result.
//!
//! Everything is awaited in turn, so memory holds at most the batch in flight and the records that were read for the
//! next. Dropping the loop at any point loses nothing: records after the checkpoint are delivered again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::time::Timestamp;
use tokio::sync::watch;

use super::discard;
use super::payload::Envelope;
use super::ports::{
    Checkpoints, FailureDestination, Invoker, ReadLimit, RetainedRecord, ShardTail, StreamReader,
};
use super::retry::until_it_works;
use super::settings::Settings;
use super::shard::{Invoked, NextTry, Shard, Step};
use super::timeline::Timeline;

/// Whether pollers wait for more records, or finish what is on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Running,
    Draining,
}

#[derive(Debug)]
pub(super) struct Ports<R, C, I, D> {
    pub(super) reader: R,
    pub(super) checkpoints: C,
    pub(super) invoker: I,
    pub(super) destination: D,
}

/// What a mapping has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappingProgress {
    /// Invocations that finished records.
    pub batches: u64,
    /// Records that were processed.
    pub records: u64,
    /// Records that were saved to the failure destination.
    pub discarded: u64,
    /// Records that were read and are neither processed nor discarded.
    pub pending: u64,
}

/// Counts for all shards together.
#[derive(Debug, Default)]
pub(super) struct Totals {
    batches: AtomicU64,
    records: AtomicU64,
    discarded: AtomicU64,
    read: AtomicU64,
}

impl Totals {
    pub(super) fn progress(&self) -> MappingProgress {
        // Records are counted as read before they are counted as done.
        let [batches, records, discarded, read] =
            [&self.batches, &self.records, &self.discarded, &self.read].map(|n| n.load(Ordering::SeqCst));
        MappingProgress { batches, records, discarded, pending: read - records - discarded }
    }
}

/// How a poller ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PollEnd {
    /// The shard was split or merged: its children may start.
    Closed,
    /// The tip was reached in a drain.
    Drained,
}

pub(super) struct Poller<R, C, I, D> {
    shard_id: String,
    shard: Shard,
    envelope: Envelope,
    saved: Option<String>,
    settings: Arc<Settings>,
    ports: Arc<Ports<R, C, I, D>>,
    timeline: Timeline,
    totals: Arc<Totals>,
    mode: watch::Receiver<Mode>,
}

impl<R, C, I, D> Poller<R, C, I, D>
where
    R: StreamReader,
    C: Checkpoints,
    I: Invoker,
    D: FailureDestination,
{
    /// A poller that continues after the saved checkpoint.
    pub(super) async fn resume(
        shard_id: String,
        settings: Arc<Settings>,
        ports: Arc<Ports<R, C, I, D>>,
        timeline: Timeline,
        totals: Arc<Totals>,
        mode: watch::Receiver<Mode>,
    ) -> Self {
        let load = || ports.checkpoints.load(&shard_id);
        let saved = until_it_works(settings.rules.backoff, "loading a checkpoint", &shard_id, load).await;
        let envelope = Envelope::new(&settings, &shard_id);
        let shard = Shard::new(settings.rules.clone(), envelope.clone(), saved.clone());
        Self { shard_id, shard, envelope, saved, settings, ports, timeline, totals, mode }
    }

    /// Polls until the shard is at its end.
    pub(super) async fn run(mut self) -> PollEnd {
        let mut read_at = self.timeline.now();
        let mut draining = false;
        loop {
            self.save_checkpoint().await;
            let now = self.timeline.now();
            if !draining && *self.mode.borrow_and_update() == Mode::Draining {
                draining = true;
                self.shard.drain();
                read_at = now;
            }
            match self.shard.next(now) {
                Step::Invoke(records) => {
                    let payload = self.envelope.render(records);
                    let ends = [records.first(), records.last()].map(sequence_number);
                    let result = self.ports.invoker.invoke(payload).await;
                    let invoked = self.shard.invoked(result, self.timeline.now());
                    self.count(&invoked, &ends);
                }
                Step::Discard(discarded) => {
                    let records = discarded.records.len() as u64;
                    let (destination, envelope) = (&self.ports.destination, &self.envelope);
                    discard::save(destination, &self.settings, &self.shard_id, envelope, discarded, now)
                        .await;
                    self.totals.discarded.fetch_add(records, Ordering::SeqCst);
                    self.shard.saved(self.timeline.now());
                }
                Step::Finished => {
                    let closed = self.shard.tail() == ShardTail::Closed;
                    return if closed { PollEnd::Closed } else { PollEnd::Drained };
                }
                Step::Wait(until) => match self.shard.room() {
                    Some(room) if read_at <= now => read_at = self.read(room).await,
                    room => self.wait(now, until, room.map(|_| read_at)).await,
                },
            }
        }
    }

    /// Reads once; returns when to read again.
    async fn read(&mut self, limit: ReadLimit) -> Timestamp {
        let read = || self.ports.reader.read(&self.shard_id, self.shard.position(), limit);
        let read = until_it_works(self.settings.rules.backoff, "reading", &self.shard_id, read).await;
        self.totals.read.fetch_add(read.records.len() as u64, Ordering::SeqCst);
        let now = self.timeline.now();
        self.shard.buffer(read, now);
        match self.shard.tail() {
            ShardTail::More => now,
            ShardTail::Tip | ShardTail::Closed => now.plus(self.settings.poll_interval),
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
            () = sleep => {}
            // An error means that the mapping was dropped, and this task ends with it.
            Ok(()) = self.mode.changed() => {}
        }
    }

    /// Saves the checkpoint before any other step, so that a restart repeats at most the batch in flight.
    async fn save_checkpoint(&mut self) {
        let Some(checkpoint) = self.shard.checkpoint() else { return };
        if self.saved.as_deref() != Some(checkpoint) {
            let save = || self.ports.checkpoints.save(&self.shard_id, checkpoint);
            until_it_works(self.settings.rules.backoff, "saving a checkpoint", &self.shard_id, save).await;
            self.saved = Some(checkpoint.to_owned());
        }
    }

    /// Counts what an invocation did, and logs its failure.
    fn count(&self, invoked: &Invoked, [first, last]: &[String; 2]) {
        if invoked.processed > 0 {
            self.totals.batches.fetch_add(1, Ordering::SeqCst);
            self.totals.records.fetch_add(invoked.processed as u64, Ordering::SeqCst);
        }
        let Some((reason, next_try)) = &invoked.failure else { return };
        let shard = &self.shard_id;
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

fn sequence_number(record: Option<&RetainedRecord>) -> String {
    record.map(|record| record.sequence_number.clone()).unwrap_or_default()
}
