//! The Lambda event source mapping for a Kinesis stream, as AWS documents it: it polls each shard, gathers
//! records into batches, invokes the function, and retries, splits or discards what fails.
//!
//! In the order of the data:
//!
//! - `coordinator`: starts a poller for each shard, parents before children, and ends a drain.
//! - `poller`: the loop of one shard. It calls the four [`ports`] as the state machine says.
//! - `shard`: the state machine with all rules: batches, windows, bisecting, retries, age, checkpoint. No I/O.
//! - `payload`: renders the event that the function receives. No I/O.
//! - `attempts`: which batches fail again and again, for health.
//! - `discard`: saves records that failed permanently to the failure destination.
//!
//! Not supported: event filtering, tumbling windows, enhanced fan-out, and a parallelisation factor above 1, which
//! would interleave the ranges of one shard.

mod attempts;
mod coordinator;
mod discard;
mod payload;
mod poller;
pub mod ports;
mod retry;
mod settings;
mod shard;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use shared::objects::ObjectStore;
use shared::time::Clock;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

use attempts::Attempts;
pub use attempts::Failing;
use poller::Mode;
use ports::{Checkpoints, Invoker, StreamReader};
pub use settings::{Rules, Settings};

/// A mapping. While it runs, its coordinator and its pollers share it.
pub struct EventSourceMapping<R, C, I, D> {
    settings: Settings,
    reader: R,
    checkpoints: C,
    invoker: I,
    destination: D,
    clock: Clock,
    progress: watch::Sender<MappingProgress>,
    attempts: Arc<Attempts>,
}

impl<R: StreamReader, C: Checkpoints, I: Invoker, D: ObjectStore> EventSourceMapping<R, C, I, D> {
    pub fn new(
        settings: Settings,
        reader: R,
        checkpoints: C,
        invoker: I,
        destination: D,
        clock: &Clock,
    ) -> Self {
        // Wall time now, plus the time that tokio's clock measures from here. It never jumps, and a paused test runtime
        // can stop or advance it. It stops while the machine sleeps, which only makes records look younger.
        let (started_at, started) = (clock.now(), Instant::now());
        let clock = Clock::new(move || started_at.plus(started.elapsed()));
        let progress = watch::Sender::default();
        let attempts = Arc::default();
        Self { settings, reader, checkpoints, invoker, destination, clock, progress, attempts }
    }

    /// Starts polling on the current tokio runtime, each shard in a task of its own.
    pub fn run(self) -> Running {
        let (mode, watched) = watch::channel(Mode::Running);
        let (progress, attempts) = (self.progress.subscribe(), Arc::clone(&self.attempts));
        let task = tokio::spawn(coordinator::run(Arc::new(self), watched));
        let view = MappingView { progress, attempts, task: task.abort_handle() };
        Running { mode, view, task }
    }
}

/// The work of a mapping since it started, for all shards together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappingProgress {
    /// Invocations that finished records.
    pub batches: u64,
    /// Records that were processed.
    pub records: u64,
    /// Records that were saved to the failure destination.
    pub discarded: u64,
    /// The batches that they were in.
    pub failed_batches: u64,
    /// Records that were read and are neither processed nor discarded.
    pub pending: u64,
}

/// A running mapping. Dropping it stops it at once. Batches in flight are delivered again after a restart.
pub struct Running {
    mode: watch::Sender<Mode>,
    view: MappingView,
    task: JoinHandle<()>,
}

/// Looks at a running mapping.
#[derive(Clone)]
pub struct MappingView {
    progress: watch::Receiver<MappingProgress>,
    attempts: Arc<Attempts>,
    task: AbortHandle,
}

impl MappingView {
    /// False if it stopped by itself.
    pub fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    pub fn progress(&self) -> MappingProgress {
        *self.progress.borrow()
    }

    /// Waits until the progress changes. `None` if it has ended.
    pub(crate) async fn changed(&mut self) -> Option<()> {
        self.progress.changed().await.ok()
    }

    /// The shard that fails most often now.
    pub fn failing(&self) -> Option<Failing> {
        self.attempts.worst()
    }
}

impl Running {
    pub fn progress(&self) -> MappingProgress {
        self.view.progress()
    }

    pub fn view(&self) -> MappingView {
        self.view.clone()
    }

    /// Processes the stream to its tip without waiting for windows, then stops.
    ///
    /// A batch that keeps failing has its usual retries, but not past the `deadline`. Records that are unfinished then
    /// stay on the stream after the checkpoint, and `complete` is false.
    pub async fn drain(mut self, deadline: Duration) -> Drained {
        let before = self.progress();
        self.mode.send_replace(Mode::Draining);
        let complete = match tokio::time::timeout(deadline, &mut self.task).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(%error, "the event source mapping ended unexpectedly");
                false
            }
            Err(_past_deadline) => false,
        };
        let after = self.progress();
        Drained {
            complete,
            batches: after.batches - before.batches,
            records: after.records - before.records,
            discarded: after.discarded - before.discarded,
            remaining: after.pending,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Whether every shard was processed to its tip before the deadline.
    pub complete: bool,
    /// Invocations that finished records.
    pub batches: u64,
    /// Records that were processed.
    pub records: u64,
    /// Records that were saved to the failure destination.
    pub discarded: u64,
    /// Records that were read and are neither processed nor discarded. Unless `complete`, there may be more on the
    /// stream.
    pub remaining: u64,
}
