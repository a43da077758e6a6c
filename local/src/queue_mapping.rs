//! The Lambda event source mapping for a queue: it receives messages, invokes the function, and deletes the messages that
//! are done. The queue itself repeats the others after their visibility time-out, and moves them to the dead-letter queue
//! after too many receives.
//!
//! Not supported: windows, filters, FIFO queues.

mod payload;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::answer;
use crate::embedded::{Delivery, EmbeddedQueue, Left};
use crate::event_source_mapping::ports::Invoker;

/// Bytes of bodies in a batch. With the envelopes of ten messages, this is below the payload limit of 6 MiB.
const BODIES: usize = 5 * 1024 * 1024;

/// A mapping that is not running yet.
pub struct QueueMapping<I> {
    pub queue: EmbeddedQueue,
    pub invoker: I,
    pub delivery: Delivery,
    /// Between two receives while the queue is empty.
    pub poll: Duration,
    /// How many batches are in flight at the same time.
    pub concurrency: u32,
}

/// A running mapping. Dropping it stops it at once. Messages in flight are delivered again.
pub struct RunningQueueMapping {
    queue: EmbeddedQueue,
    draining: watch::Sender<bool>,
    tasks: JoinSet<()>,
    view: QueueView,
}

/// Looks at a running mapping.
#[derive(Clone)]
pub struct QueueView {
    tasks: Arc<[AbortHandle]>,
    deliveries: Arc<Deliveries>,
}

#[derive(Debug, Default)]
struct Deliveries {
    /// Invocations in a row in which the function failed. Messages that it reports as not done are no such failure.
    failures: AtomicU64,
    /// Messages that are done.
    done: AtomicU64,
}

impl QueueView {
    /// False if a task stopped by itself.
    pub fn is_running(&self) -> bool {
        !self.tasks.iter().any(AbortHandle::is_finished)
    }

    /// How often the function failed since it last answered.
    pub fn failures(&self) -> u64 {
        self.deliveries.failures.load(Ordering::Relaxed)
    }

    /// How many messages are done since the start.
    pub fn done(&self) -> u64 {
        self.deliveries.done.load(Ordering::Relaxed)
    }
}

impl<I: Invoker> QueueMapping<I> {
    /// Starts polling on the current tokio runtime.
    pub fn run(self) -> RunningQueueMapping {
        let (draining, watched) = watch::channel(false);
        let queue = self.queue.clone();
        let (mapping, deliveries, mut tasks) = (Arc::new(self), Arc::default(), JoinSet::new());
        let polls = (0..mapping.concurrency)
            .map(|_| Arc::clone(&mapping).poll(watched.clone(), Arc::clone(&deliveries)));
        let handles = polls.map(|poll| tasks.spawn(poll)).collect();
        RunningQueueMapping { queue, draining, tasks, view: QueueView { tasks: handles, deliveries } }
    }

    /// Polls until it is draining and the queue is empty.
    async fn poll(self: Arc<Self>, mut draining: watch::Receiver<bool>, deliveries: Arc<Deliveries>) {
        loop {
            let more = self.deliver(&deliveries).await.unwrap_or_else(|error| {
                let error = format!("{error:#}");
                let queue = self.queue.queue.name();
                tracing::warn!(
                    queue,
                    error,
                    "the {queue} queue could not be read or written; polling again: {error}"
                );
                false
            });
            if more {
                continue;
            }
            let is_draining = *draining.borrow_and_update();
            if is_draining && self.queue.left().await.is_ok_and(|left| left.waiting == 0) {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(self.poll) => {}
                // An error means that the mapping was dropped, and this task ends with it.
                Ok(()) = draining.changed() => {}
            }
        }
    }

    /// Receives one batch and invokes the function with it. Returns whether there was one.
    async fn deliver(&self, deliveries: &Deliveries) -> anyhow::Result<bool> {
        let batch = self.queue.receive(BODIES, self.delivery).await.context("receiving")?;
        if batch.is_empty() {
            return Ok(false);
        }
        let invoked = self.invoker.invoke(payload::render(self.queue.queue.name(), &batch)).await;
        match &invoked {
            Ok(_) => deliveries.failures.store(0, Ordering::Relaxed),
            Err(_) => drop(deliveries.failures.fetch_add(1, Ordering::Relaxed)),
        }
        let done = match invoked {
            Ok(response) => answer::failures(&response, batch.iter().map(|message| message.id.as_str())),
            Err(failure) => Err(failure.to_string()),
        };
        let ids = batch.iter().map(|message| message.id.clone());
        let done = done.map(|failed| ids.filter(|id| !failed.contains(id.as_str())).collect());
        let done: Vec<String> = done.unwrap_or_else(|problem| {
            let (queue, messages) = (self.queue.queue.name(), batch.len());
            tracing::warn!(
                queue,
                messages,
                problem,
                "a batch of the {queue} queue failed; retrying: {problem}"
            );
            Vec::new()
        });
        let count = done.len() as u64;
        self.queue.delete(done).await.context("deleting messages")?;
        deliveries.done.fetch_add(count, Ordering::Relaxed);
        Ok(true)
    }
}

impl RunningQueueMapping {
    pub fn view(&self) -> QueueView {
        self.view.clone()
    }

    /// Delivers until the queue has no messages, not even hidden ones, or the `deadline` passes. Returns what is left.
    pub async fn drain(mut self, deadline: Duration) -> Left {
        self.draining.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(deadline, ended).await.is_err() {
            tracing::debug!(queue = self.queue.queue.name(), "the queue was not empty before the deadline");
        }
        self.queue.left().await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use bytes::Bytes;
    use ingest_fn::{SpillMessage, SpillQueue};
    use serde_json::{Value, json};
    use shared::time::Clock;

    use super::*;
    use crate::embedded::{Database, LocalQueue};
    use crate::event_source_mapping::ports::InvokeFailure;

    const DEADLINE: Duration = Duration::from_mins(1);

    /// Fails at its first invocation, reports messages with `bad` keys as failures, and collects the other keys.
    #[derive(Clone, Default)]
    struct FakeDrain(Arc<Mutex<(usize, BTreeSet<String>)>>);

    impl Invoker for FakeDrain {
        async fn invoke(&self, payload: Bytes) -> Result<Bytes, InvokeFailure> {
            let mut state = self.0.lock().unwrap();
            state.0 += 1;
            if state.0 == 1 {
                return Err(InvokeFailure::NotRun("a crash".to_owned()));
            }
            let event: Value = serde_json::from_slice(&payload).unwrap();
            let mut failures = Vec::new();
            for record in event["Records"].as_array().unwrap() {
                let lines = SpillMessage::read(record["body"].as_str().unwrap()).unwrap();
                if lines[0].partition_key.starts_with("bad") {
                    failures.push(json!({"itemIdentifier": record["messageId"]}));
                } else {
                    state.1.insert(lines[0].partition_key.clone());
                }
            }
            Ok(json!({"batchItemFailures": failures}).to_string().into())
        }
    }

    #[tokio::test]
    async fn a_drain_empties_the_queue_and_bad_messages_become_dead_letters() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("queue.sqlite")).unwrap();
        let queue = EmbeddedQueue { queue: LocalQueue::Spill, database, clock: Clock::system() };
        let keys: Vec<_> = (0..25).map(|n| if n == 7 { "bad".to_owned() } else { format!("t{n}") }).collect();
        for keys in keys.chunks(10) {
            let messages: Vec<_> = keys.iter().map(|key| SpillMessage::of(key, &["{}"])).collect();
            assert!(SpillQueue::send(&queue, &messages).await.iter().all(Result::is_ok));
        }
        let delivery = Delivery { visibility: Duration::from_millis(20), receives: 4, messages: 10 };
        let (invoker, poll) = (FakeDrain::default(), Duration::from_millis(5));
        let mapping = QueueMapping { queue, invoker: invoker.clone(), delivery, poll, concurrency: 2 };
        assert_eq!(mapping.run().drain(DEADLINE).await, Left { waiting: 0, dead: 1 });
        let expected = keys.into_iter().filter(|key| key != "bad").collect();
        assert_eq!(invoker.0.lock().unwrap().1, expected);
    }
}
