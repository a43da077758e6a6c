//! Puts event lines on the stream: packed, in order for each partition key, within a time budget.
//!
//! | file | holds |
//! |---|---|
//! | `port.rs` | the stream as the publisher sees it |
//! | `pack.rs` | which lines share a record, and the records of a large request |
//! | `queue.rs` | the plan: what goes into the next call. Pure |
//! | `driver.rs` | the action: calls, waits, answers |
//! | `seat.rs` | who runs the driver |
//! | `kinesis.rs` | the stream by the AWS SDK |
//!
//! A line is sent at once if no record of its key is in progress. Otherwise it waits for that record's answer, and then goes
//! into one record with all lines that arrived meanwhile. A client that awaits the answer to one event before it sends the
//! next gets its events in that order on the stream; no other order is promised.

mod driver;
#[cfg(feature = "aws")]
pub mod kinesis;
mod pack;
mod port;
mod queue;
mod seat;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::config;
use shared::format::record;
use shared::metric::Metric;
use shared::traces::Traces;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::offload::{is_inline, offload};
use pack::Piece;
pub use port::{EventStream, Put, Refusal, StreamFailure, StreamRecord};
use seat::Seat;
pub use shared::format::outgoing_line::OutgoingLine;

/// How long a shard that was at its limit counts as full.
const FULL: Duration = Duration::from_mins(1);

/// A line that is not known to be on the stream. It may be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not published within {budget_ms} ms: {cause}")]
pub struct Unpublished {
    pub budget_ms: u64,
    /// The last failure.
    pub cause: String,
}

/// One answer for each line of a request, by position.
pub(crate) type Answers = Vec<Result<(), Unpublished>>;

/// Publishes for any number of requests at the same time.
///
/// One driver does the work. A request that finds it idle runs it until its own answer is there; usually it is alone, and nothing is
/// left then. Other requests that arrived meanwhile leave their lines to it. What is left is done by a task. A call lasts no longer
/// than a request waits for it: when every request is answered, no call is in progress. So a server that has answered all its
/// requests may stop, and Lambda may freeze a sandbox between two requests.
#[derive(Debug)]
pub struct Publisher<S> {
    outlet: Arc<Outlet<S>>,
    seat: Arc<Seat<S>>,
}

/// The stream, and the settings and metrics of the calls to it.
#[derive(Debug)]
struct Outlet<S> {
    stream: S,
    settings: config::Publish,
    latency: Metric,
    calls: AtomicU64,
    traces: Option<Traces>,
    /// Until then records are compressed where that is smaller: the stream takes bytes faster so.
    is_full_until: Mutex<Option<Instant>>,
}

impl<S: EventStream> Publisher<S> {
    /// `latency` is the metric for the time of its calls: ingest's calls and those that may take longer have one each.
    pub fn new(stream: S, settings: config::Publish, latency: Metric) -> Self {
        Self::traced(stream, settings, latency, None)
    }

    /// The same, with a span for each record that has a traced event.
    pub fn traced(stream: S, settings: config::Publish, latency: Metric, traces: Option<Traces>) -> Self {
        let (calls, is_full_until) = (AtomicU64::new(0), Mutex::default());
        let outlet = Arc::new(Outlet { stream, settings, latency, calls, traces, is_full_until });
        let seat = Seat::new(&outlet);
        Self { outlet, seat }
    }

    /// The number of calls so far. Each records one latency.
    pub fn calls(&self) -> u64 {
        self.outlet.calls.load(Ordering::Relaxed)
    }

    /// Publishes the lines of one request. It answers when all are on the stream, or when the budget is over. The budget begins
    /// when the lines of a large request are packed.
    pub async fn publish(&self, lines: Vec<OutgoingLine>) -> Answers {
        if lines.is_empty() {
            return Vec::new();
        }
        let count = lines.len();
        let pieces = self.outlet.pieces(lines).await;
        let (reply, mut answer) = oneshot::channel();
        if let Some(mut driving) = self.seat.submit(&self.outlet, count, pieces, reply) {
            driving.until(&mut answer).await;
        }
        answer.await.unwrap_or_else(|_| {
            // The driver panicked, and all that waited is lost. The next request starts another driver.
            let cause = "the publisher failed".to_owned();
            vec![Err(Unpublished { budget_ms: self.outlet.settings.budget_ms, cause }); count]
        })
    }
}

impl<S> Outlet<S> {
    /// What of a request enters the queue: lines, or the records of many.
    async fn pieces(&self, lines: Vec<OutgoingLine>) -> Vec<(String, Piece)> {
        let bytes = lines.iter().map(|line| line.line.len()).sum();
        if is_inline(bytes) {
            return pack::lines(lines);
        }
        let (record_bytes, compress_from) = (self.settings.record_bytes, self.compress_from(Instant::now()));
        offload(bytes, move || pack::records(lines, record_bytes, compress_from)).await
    }

    /// The smallest record that is compressed.
    fn compress_from(&self, now: Instant) -> usize {
        let until = *self.is_full_until.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = until.is_some_and(|until| now < until);
        if is_full { record::COMPRESS_FROM_BYTES } else { self.settings.compress_from_bytes }
    }

    fn is_throttled_at(&self, now: Instant) {
        *self.is_full_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + FULL);
    }
}
