//! One shard's loop: read, ask the state machine what to do, do it, tell it how it went.
//!
//! Everything is awaited in turn, so there is never more in memory than the batch in flight and what was read for
//! the next. Dropping the loop at any point loses nothing: what is behind the checkpoint is delivered again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::time::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::Mode;
use super::failure::FailureRecord;
use super::payload::Envelope;
use super::ports::{Checkpoints, FailureDestination, Invoker, Record, Room, StreamReader, Tail};
use super::retry::until_it_works;
use super::settings::Settings;
use super::shard::{Discarded, Settled, Shard, Step, Trouble};
use super::timeline::Timeline;

/// The four ports of a mapping.
#[derive(Debug)]
pub(super) struct Ports<R, C, I, D> {
    pub(super) reader: R,
    pub(super) checkpoints: C,
    pub(super) invoker: I,
    pub(super) destination: D,
}

/// What a mapping has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Invocations after which records were done.
    pub batches: u64,
    /// Records that were processed.
    pub records: u64,
    /// Records that went to the failure destination.
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
    pub(super) fn progress(&self) -> Progress {
        // Records are counted as read before they are counted as done.
        let [batches, records, discarded, read] =
            [&self.batches, &self.records, &self.discarded, &self.read].map(|n| n.load(Ordering::SeqCst));
        Progress { batches, records, discarded, pending: read - records - discarded }
    }
}

/// How a poller ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The shard was split or merged: its children may start.
    Closed,
    /// The tip was reached in a drain.
    Drained,
}

/// Polls one shard.
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
    /// A poller that goes on where the checkpoint stands.
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
    pub(super) async fn run(mut self) -> End {
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
                    let outcome = self.ports.invoker.invoke(payload).await;
                    let settled = self.shard.settle(outcome, self.timeline.now());
                    self.account(&settled, &ends);
                }
                Step::Discard(discarded) => {
                    let records = discarded.records.len();
                    keep(
                        &self.shard_id,
                        &self.settings,
                        &self.envelope,
                        &self.ports.destination,
                        discarded,
                        now,
                    )
                    .await;
                    self.totals.discarded.fetch_add(count(records), Ordering::SeqCst);
                    self.shard.discarded(self.timeline.now());
                }
                Step::Finished => {
                    return if self.shard.tail() == Tail::Closed { End::Closed } else { End::Drained };
                }
                Step::Wait(until) => match self.shard.room() {
                    Some(room) if read_at <= now => read_at = self.read(room).await,
                    room => self.wait(now, until, room.map(|_| read_at)).await,
                },
            }
        }
    }

    /// Reads once; returns when to read again.
    async fn read(&mut self, room: Room) -> Timestamp {
        let read = || self.ports.reader.read(&self.shard_id, self.shard.position(), room);
        let read = until_it_works(self.settings.rules.backoff, "reading", &self.shard_id, read).await;
        self.totals.read.fetch_add(count(read.records.len()), Ordering::SeqCst);
        let now = self.timeline.now();
        self.shard.buffer(read, now);
        match self.shard.tail() {
            Tail::More => now,
            Tail::Tip | Tail::Closed => now.plus(self.settings.poll_interval),
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
            // An error means that the mapping is gone, and with it this task.
            Ok(()) = self.mode.changed() => {}
        }
    }

    /// Brings what is done to the checkpoint store before anything else happens, so that a restart delivers at most
    /// the batch in flight again.
    async fn save_checkpoint(&mut self) {
        let Some(checkpoint) = self.shard.checkpoint() else { return };
        if self.saved.as_deref() != Some(checkpoint) {
            let save = || self.ports.checkpoints.save(&self.shard_id, checkpoint);
            until_it_works(self.settings.rules.backoff, "saving a checkpoint", &self.shard_id, save).await;
            self.saved = Some(checkpoint.to_owned());
        }
    }

    fn account(&self, settled: &Settled, [first, last]: &[String; 2]) {
        if settled.processed > 0 {
            self.totals.batches.fetch_add(1, Ordering::SeqCst);
            self.totals.records.fetch_add(count(settled.processed), Ordering::SeqCst);
        }
        let Some((reason, trouble)) = &settled.trouble else { return };
        let shard = &self.shard_id;
        match trouble {
            Trouble::Split => {
                tracing::warn!(shard.id = %shard, batch.first = %first, batch.last = %last, error = %reason,
                    "a batch failed and is split in two");
            }
            Trouble::Retry { at } => {
                tracing::warn!(shard.id = %shard, batch.first = %first, batch.last = %last, error = %reason,
                    batch.processed = settled.processed, retry_at = %at,
                    "a batch failed and its unfinished records are tried again");
            }
            // Told when the records are kept.
            Trouble::GivenUp => {}
        }
    }
}

/// Brings records that are given up to the failure destination. Crashing between this and the checkpoint keeps them
/// twice, never not at all.
async fn keep<D: FailureDestination>(
    shard_id: &str,
    settings: &Settings,
    envelope: &Envelope,
    destination: &D,
    discarded: &Discarded,
    now: Timestamp,
) {
    let record =
        FailureRecord::new(settings, shard_id, envelope, discarded, now, [random_id(now), random_id(now)]);
    let keep = || destination.keep(&record);
    until_it_works(settings.rules.backoff, "keeping records that are given up", shard_id, keep).await;
    tracing::error!(
        shard.id = shard_id,
        batch.first = %record.batch_info.start_sequence_number,
        batch.last = %record.batch_info.end_sequence_number,
        batch.records = record.batch_info.batch_size,
        condition = ?discarded.condition,
        invocations = discarded.invocations,
        error = discarded.last_failure.as_deref(),
        object.key = %record.object_key,
        "records are given up and kept at the failure destination"
    );
}

fn random_id(now: Timestamp) -> Uuid {
    let seconds = u64::try_from(now.unix_ms() / 1_000).unwrap_or_default();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0))
}

fn sequence_number(record: Option<&Record>) -> String {
    record.map(|record| record.sequence_number.clone()).unwrap_or_default()
}

fn count(records: usize) -> u64 {
    records as u64
}
