//! The Lambda event source mapping for a Kinesis stream, as AWS documents it: it polls each shard, gathers
//! records into batches, invokes the function, and decides what a failure means.
//!
//! All rules live in [`Shard`], a state machine without I/O; what it reads and calls are the four [`ports`].
//! A map, in the order of the data:
//!
//! - `coordinator`: which shards there are, parents before children, and when a drain is over.
//! - `poller`: one shard's loop: read, ask the state machine what to do, do it, tell it how it went.
//! - `shard`: batches, windows, bisecting, retries, age, checkpoint. Pure.
//! - `answer`: what the function's response says about the batch. Pure.
//! - `payload`: the event that the function receives, and its exact size. Pure.
//! - `failure`: what is kept of records that are given up. Pure.
//!
//! Left to others: event filtering, tumbling windows, enhanced fan-out, and a parallelisation factor above 1, which
//! would interleave the ranges of one shard.

mod answer;
mod coordinator;
mod failure;
mod payload;
mod poller;
pub mod ports;
mod retry;
mod settings;
mod shard;
#[cfg(test)]
mod tests;
mod timeline;

use std::sync::Arc;
use std::time::Duration;

use shared::time::Clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use coordinator::Coordinator;
pub use failure::{BatchInfo, Condition, FailureRecord, RequestContext, ResponseContext};
pub use payload::Envelope;
use poller::Ports;
pub use poller::Progress;
use poller::Totals;
use ports::{Checkpoints, FailureDestination, Invoker, StreamReader};
pub use settings::{Rules, Settings};
pub use shard::{Discarded, Settled, Shard, Step, Trouble};
use timeline::Timeline;

/// A mapping that is not running yet.
#[derive(Debug)]
pub struct EventSourceMapping<R, C, I, D> {
    settings: Settings,
    ports: Ports<R, C, I, D>,
    clock: Clock,
}

impl<R, C, I, D> EventSourceMapping<R, C, I, D>
where
    R: StreamReader,
    C: Checkpoints,
    I: Invoker,
    D: FailureDestination,
{
    /// A mapping from the stream behind `reader` to the function behind `invoker`.
    pub fn new(
        settings: Settings,
        reader: R,
        checkpoints: C,
        invoker: I,
        destination: D,
        clock: Clock,
    ) -> Self {
        Self { settings, ports: Ports { reader, checkpoints, invoker, destination }, clock }
    }

    /// Starts polling, each shard in a task of its own, on the current tokio runtime.
    pub fn run(self) -> Running {
        let (mode, watched) = watch::channel(Mode::Running);
        let totals = Arc::new(Totals::default());
        let coordinator = Coordinator {
            settings: Arc::new(self.settings),
            ports: Arc::new(self.ports),
            timeline: Timeline::starting_at(&self.clock),
            totals: Arc::clone(&totals),
            mode: watched,
        };
        Running { mode, totals, task: tokio::spawn(coordinator.run()) }
    }
}

/// Whether pollers wait for more records, or finish what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Running,
    Draining,
}

/// A running mapping. Dropping it stops it where it stands; what was in flight is delivered again after a restart.
#[derive(Debug)]
pub struct Running {
    mode: watch::Sender<Mode>,
    totals: Arc<Totals>,
    task: JoinHandle<()>,
}

impl Running {
    /// What has been done since the start.
    pub fn progress(&self) -> Progress {
        self.totals.progress()
    }

    /// Stops waiting for windows, processes what is on the stream down to its tip, then stops.
    ///
    /// A batch that keeps failing goes through its retries as ever, but not past the `deadline`: what is unfinished
    /// then stays on the stream behind the checkpoint, and `complete` is false.
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

/// What a drain did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Every shard was processed to its tip before the deadline.
    pub complete: bool,
    /// Invocations during the drain after which records were done.
    pub batches: u64,
    /// Records processed during the drain.
    pub records: u64,
    /// Records given to the failure destination during the drain.
    pub discarded: u64,
    /// Records that were read and are neither processed nor discarded. There may be more on the stream unless
    /// `complete`.
    pub remaining: u64,
}
