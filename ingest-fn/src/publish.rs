//! Publishing: event lines onto the stream, packed, in order for each partition key, within a time budget.
//!
//! | file | holds |
//! |---|---|
//! | `port.rs` | the stream as the publisher sees it |
//! | `queue.rs` | the plan: what goes into the next call. Pure |
//! | `driver.rs` | the act: calls, waits, answers |
//! | `kinesis.rs` | the stream by the AWS SDK |
//!
//! Nothing waits when nothing is under way. What enters while its key's record is under way waits for that record to
//! be settled, and goes as one record with all that came meanwhile. Whoever awaits the answer to one event before
//! sending the next has them in that order on the stream; no other order is promised.

mod driver;
#[cfg(feature = "aws")]
pub mod kinesis;
mod port;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use shared::config;
use shared::metric::Metric;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use driver::{Driver, Submission};
pub use port::{EventStream, Put, Refusal, StreamFailure, StreamRecord};
pub use shared::format::outgoing_line::OutgoingLine;

/// A line that is not known to be on the stream; it may be there all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not published within {budget_ms} ms: {cause}")]
pub struct Unpublished {
    /// What was waited at most, in milliseconds.
    pub budget_ms: u64,
    /// What was said last.
    pub cause: String,
}

/// For each line of a request, by its position.
pub(crate) type Answers = Vec<Result<(), Unpublished>>;

/// The way to the stream, for any number of requests at once.
///
/// A task of its own does the work, from the first request on. When every request is answered nothing is under way:
/// a call lasts no longer than somebody waits for it. So a server that has answered all its requests may stop, and a
/// Lambda sandbox may be frozen between two.
#[derive(Debug)]
pub struct Publisher<S> {
    stream: Arc<S>,
    settings: config::Publish,
    latency: Metric,
    calls: Arc<AtomicU64>,
    door: Mutex<Option<mpsc::UnboundedSender<Submission>>>,
}

impl<S: EventStream> Publisher<S> {
    /// `latency` is the metric for the time of its calls: ingest's calls and those that may take longer have one each.
    pub fn new(stream: S, settings: config::Publish, latency: Metric) -> Self {
        Self { stream: Arc::new(stream), settings, latency, calls: Arc::default(), door: Mutex::new(None) }
    }

    /// How many calls were made so far: each records one latency.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Publishes the lines of one request, and answers for each by its position: as soon as all are on the stream, or
    /// when the budget is over.
    pub async fn publish(&self, lines: Vec<OutgoingLine>) -> Answers {
        if lines.is_empty() {
            return Vec::new();
        }
        let count = lines.len();
        let (reply, answer) = oneshot::channel();
        self.submit(lines, reply);
        answer.await.unwrap_or_else(|_| {
            // The driver has panicked, and takes what waited with it. The next request starts another.
            let cause = "the publisher failed".to_owned();
            vec![Err(Unpublished { budget_ms: self.settings.budget_ms, cause }); count]
        })
    }

    /// Hands the lines to the driver, and starts one where there is none.
    fn submit(&self, lines: Vec<OutgoingLine>, reply: oneshot::Sender<Answers>) {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that submissions enter in the order of their deadlines.
        let submission = Submission { lines, deadline: Instant::now() + self.settings.budget(), reply };
        let refused = match &*door {
            Some(driver) => driver.send(submission).err().map(|refused| refused.0),
            None => Some(submission),
        };
        if let Some(submission) = refused {
            let (sender, submissions) = mpsc::unbounded_channel();
            let calls = Arc::clone(&self.calls);
            let settings = self.settings.clone();
            let driver = Driver::new(Arc::clone(&self.stream), settings, self.latency, calls);
            tokio::spawn(driver.run(submissions));
            // A driver that has just started takes it, unless the runtime is shutting down: then nobody waits.
            let _ = sender.send(submission);
            *door = Some(sender);
        }
    }
}
