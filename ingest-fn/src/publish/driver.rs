//! Carries out the queue's plan: makes the calls, waits, answers the requests.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use shared::format::record;
use shared::metric::Metric;
use shared::traces;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::pack::Piece;
use super::port::{EventStream, Put, Refusal, StreamFailure, StreamRecord};
use super::queue::{Call, CallId, CallOutcome, Content, PlannedRecord, Queue, Ticket, Waiting};
use super::{Answers, Outlet, Unpublished};
use crate::offload::offload;
use crate::span;

#[derive(Debug)]
pub(super) struct Submission {
    /// The number of its lines.
    pub(super) lines: usize,
    /// The lines, each piece with its partition key.
    pub(super) pieces: Vec<(String, Piece)>,
    /// The latest time for its answer.
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Answers>,
}

/// Owns the queue and the calls in progress.
pub(super) struct Driver<S> {
    outlet: Arc<Outlet<S>>,
    queue: Queue,
    /// The requests that wait, in the order of arrival, which is the order of their deadlines.
    requests: BTreeMap<u64, Request>,
    next_request: u64,
    /// Few ([`super::queue::CALLS`]), so each of them is polled.
    calls: Vec<BoxFuture<'static, Answered>>,
    submissions: mpsc::UnboundedReceiver<Submission>,
}

/// A call that has ended.
type Answered = (CallId, Result<Vec<Put>, StreamFailure>);

struct Request {
    /// For each line, whether the stream has it.
    taken: Vec<bool>,
    missing: usize,
    deadline: Instant,
    /// The last reason why a line was refused.
    cause: Option<Arc<str>>,
    reply: oneshot::Sender<Answers>,
}

impl<S: EventStream> Driver<S> {
    pub(super) fn new(outlet: Arc<Outlet<S>>, submissions: mpsc::UnboundedReceiver<Submission>) -> Self {
        Self {
            queue: Queue::new(outlet.settings.record_bytes),
            outlet,
            requests: BTreeMap::new(),
            next_request: 0,
            calls: Vec::new(),
            submissions,
        }
    }

    /// Makes the calls that are due, waits until something happens, and answers.
    pub(super) async fn step(&mut self) {
        while let Some(call) = self.queue.next_call(Instant::now()) {
            self.start(call);
        }
        let wake_at = self.wake_at();
        tokio::select! {
            // Calls first: a line that was taken at the last moment counts.
            biased;
            (call, result) = next_of(&mut self.calls), if !self.calls.is_empty() => {
                let now = Instant::now();
                if is_throttled(&result) {
                    self.outlet.is_throttled_at(now);
                }
                let outcome = self.queue.finish(call, result, now, fastrand::f64());
                self.note(outcome);
            }
            Some(submission) = self.submissions.recv() => self.enter(submission),
            () = tokio::time::sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
        }
        while let Ok(submission) = self.submissions.try_recv() {
            self.enter(submission);
        }
        self.answer_late();
    }

    /// Whether every request is answered and no call is in progress.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.calls.is_empty() && self.submissions.is_empty()
    }

    pub(super) fn enter(&mut self, submission: Submission) {
        let Submission { lines, pieces, deadline, reply } = submission;
        let request = self.next_request;
        self.next_request += 1;
        for (partition_key, piece) in pieces {
            self.queue.enter(&partition_key, Waiting { request, piece, deadline });
        }
        let taken = vec![false; lines];
        self.requests.insert(request, Request { taken, missing: lines, deadline, cause: None, reply });
    }

    fn start(&mut self, call: Call) {
        Metric::PublishRetries.add(call.records.iter().filter(|record| record.is_resent).count());
        self.outlet.calls.fetch_add(1, Ordering::Relaxed);
        let id = call.id;
        let attempted = AssertUnwindSafe(attempt(Arc::clone(&self.outlet), call)).catch_unwind();
        self.calls
            .push(Box::pin(attempted.map(move |result| (id, result.unwrap_or_else(|_| Err(panicked()))))));
    }

    /// Notes which lines were taken, and answers the requests whose lines are all on the stream.
    fn note(&mut self, outcome: CallOutcome) {
        for Ticket { request, index } in outcome.taken {
            // A request that is missing was answered already: its budget was over.
            let Some(state) = self.requests.get_mut(&request) else { continue };
            if !std::mem::replace(&mut state.taken[index], true) {
                state.missing -= 1;
            }
            if state.missing == 0
                && let Some(state) = self.requests.remove(&request)
            {
                state.answer(self.outlet.settings.budget_ms);
            }
        }
        for (ticket, cause) in outcome.refused {
            if let Some(state) = self.requests.get_mut(&ticket.request) {
                state.cause = Some(cause);
            }
        }
    }

    /// Answers the requests whose budget is over.
    fn answer_late(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.requests.first_entry()
            && first.get().deadline <= now
        {
            first.remove().answer(self.outlet.settings.budget_ms);
        }
    }

    /// The next time at which there is something to do without a new event.
    fn wake_at(&self) -> Option<Instant> {
        let deadline = self.requests.first_key_value().map(|(_, request)| request.deadline);
        [self.queue.wake_at(), deadline].into_iter().flatten().min()
    }
}

impl Content {
    fn bytes_to_pack(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.iter().map(Bytes::len).sum(),
            Self::Packed(_) => 0,
        }
    }
}

impl Request {
    fn answer(self, budget_ms: u64) {
        let cause = self.cause.as_deref().unwrap_or("no call for it was answered in time");
        let answer =
            |taken| if taken { Ok(()) } else { Err(Unpublished { budget_ms, cause: cause.to_owned() }) };
        // This fails if the client closed the connection.
        let _ = self.reply.send(self.taken.into_iter().map(answer).collect());
    }
}

/// Whether the stream said that it, or a shard of it, is at its limit. Any other refusal, such as of a permission, does not become
/// less by fewer bytes.
fn is_throttled(result: &Result<Vec<Put>, StreamFailure>) -> bool {
    match result {
        Ok(puts) => puts.iter().any(|put| matches!(put, Put::Refused(Refusal::Throttled(_)))),
        Err(failure) => matches!(failure, StreamFailure::Throttled(_)),
    }
}

/// A call that ends. The others go on.
async fn next_of(calls: &mut Vec<BoxFuture<'static, Answered>>) -> Answered {
    poll_fn(|context| {
        for index in 0..calls.len() {
            if let Poll::Ready(answered) = calls[index].as_mut().poll(context) {
                drop(calls.swap_remove(index));
                return Poll::Ready(answered);
            }
        }
        Poll::Pending
    })
    .await
}

/// The records may have been taken before the adapter panicked.
fn panicked() -> StreamFailure {
    StreamFailure::Ambiguous("the call panicked".to_owned())
}

/// Makes one call. It ends with the attempt's time limit, or when no request waits for its lines any more.
async fn attempt<S: EventStream>(outlet: Arc<Outlet<S>>, call: Call) -> Result<Vec<Put>, StreamFailure> {
    let Call { records, until, .. } = call;
    let bytes = records.iter().map(|record| record.content.bytes_to_pack()).sum();
    let compress_from = outlet.compress_from(Instant::now());
    let pack = move || records.iter().map(|record| packed(record, compress_from)).collect::<Vec<_>>();
    let records = offload(bytes, pack).await;
    let (started, began) = (Instant::now(), outlet.traces.as_ref().map(|_| traces::now()));
    let deadline = until.min(started + outlet.settings.attempt());
    let result = tokio::time::timeout_at(deadline, outlet.stream.put(&records)).await.unwrap_or_else(|_| {
        let waited = started.elapsed().as_millis();
        Err(StreamFailure::Ambiguous(format!("no answer within {waited} ms")))
    });
    outlet.latency.record(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    if let (Some(traces), Some(began), Ok(puts)) = (&outlet.traces, began, &result) {
        let taken = records.into_iter().zip(puts).filter(|(_, put)| **put == Put::Taken);
        span::put(traces, taken.map(|(record, _)| record).collect(), began);
    }
    result
}

fn packed(record: &PlannedRecord, compress_from: usize) -> StreamRecord {
    let data = match &record.content {
        Content::Packed(data) => data.clone(),
        Content::Lines(lines) => record::pack_from(lines, compress_from).into(),
    };
    StreamRecord { partition_key: record.partition_key.to_string(), data }
}
