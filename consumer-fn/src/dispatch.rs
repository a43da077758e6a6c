//! Dispatch: where it is on, the stored events are sent to a queue, from which the dispatcher sends them to a target.
//!
//! This happens before the archive is written, and again on every attempt at the batch: an event that is archived is in the
//! queue. The dispatcher recognises a second copy by the event's item.

use std::future::Future;

use bytes::Bytes;
use futures::{StreamExt, stream};
use shared::format::dispatch_message::DispatchMessage;
use shared::id::TenantId;
use shared::metric::Metric;
use shared::objects::ObjectStore;
use shared::queue;
use tokio::time::{Instant, timeout_at};

use crate::insert::InsertOutcome;
use crate::prefix::{Entry, Prefix};
use crate::retry::{back_off, retry};

#[cfg(feature = "aws")]
pub mod sqs;

/// Messages are in memory for at most so many bytes of archive lines.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;
/// Calls at the same time.
const CONCURRENCY: usize = 16;

/// A message for the dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingDispatch {
    pub tenant: TenantId,
    /// [`DispatchMessage::body`].
    pub body: String,
}

/// Why a message is not known to be in the queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DispatchFailure(pub String);

/// The queue that the dispatcher reads.
pub trait DispatchQueue: Send + Sync + 'static {
    /// Sends at most 10 messages of at most 1 MiB in all, and answers for each by its position: `Ok` is durable.
    fn send(
        &self,
        messages: &[OutgoingDispatch],
    ) -> impl Future<Output = Vec<Result<(), DispatchFailure>>> + Send;
}

/// The queue of a deployment without dispatch.
#[derive(Clone, Copy, Debug)]
pub enum NoDispatch {}

impl DispatchQueue for NoDispatch {
    async fn send(&self, _messages: &[OutgoingDispatch]) -> Vec<Result<(), DispatchFailure>> {
        match *self {}
    }
}

/// Sends the prefix's stored events to the queue, if there is one. Where it does not take them until `until`, the prefix ends.
pub(crate) async fn enqueue(
    mut prefix: Prefix<InsertOutcome>,
    queue: Option<&impl DispatchQueue>,
    objects: &impl ObjectStore,
    until: Instant,
) -> Prefix<InsertOutcome> {
    let Some(queue) = queue else { return prefix };
    let stored = prefix.entries.iter().filter_map(|Entry { position, value }| match value {
        InsertOutcome::Stored(event) => Some((position.record, &event.facts.tenant, &event.line)),
        InsertOutcome::Redelivered | InsertOutcome::Deduplicated => None,
    });
    let stored: Vec<_> = stored.collect();
    let mut ends = None;
    let mut rest = &stored[..];
    while !rest.is_empty() && ends.is_none() {
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|(_, _, line)| {
            let is_first = bytes == 0;
            bytes += line.len();
            is_first || bytes <= CHUNK_BYTES
        });
        let (chunk, after) = rest.split_at(fitting.count());
        ends = send(chunk, queue, objects, until).await.err();
        rest = after;
    }
    if let Some((record, error)) = ends {
        tracing::error!(%error, batch.record = record, "the dispatch queue did not take events in time, the batch ends before the first");
        prefix.end_before(record);
    }
    prefix
}

/// An error names the first record with an event that is not in the queue.
async fn send(
    chunk: &[(usize, &TenantId, &Bytes)],
    queue: &impl DispatchQueue,
    objects: &impl ObjectStore,
    until: Instant,
) -> Result<(), (usize, String)> {
    let mut messages = Vec::with_capacity(chunk.len());
    for (record, tenant, line) in chunk {
        let (message, parts) = DispatchMessage::of(line).map_err(|error| (*record, error.to_string()))?;
        for (key, part) in parts {
            let put = retry(until, || objects.put_if_absent(&key, part.clone(), None)).await;
            put.map_err(|error| (*record, error.to_string()))?;
            Metric::ClaimPartsWritten.add(1);
        }
        messages.push(OutgoingDispatch { tenant: (*tenant).clone(), body: message.body() });
    }
    let sizes: Vec<_> = messages.iter().map(|message| message.body.len()).collect();
    let calls = queue::calls(&sizes).into_iter().map(|range| {
        let messages = &messages[range.clone()];
        async move {
            let sent = call(messages, queue, until).await;
            sent.map_err(|(index, failure)| (chunk[range.start + index].0, failure.to_string()))
        }
    });
    let calls: Vec<_> = calls.collect();
    let sent: Vec<_> = stream::iter(calls).buffered(CONCURRENCY).collect().await;
    sent.into_iter().collect::<Result<(), _>>()?;
    Metric::DispatchesQueued.add(messages.len());
    Ok(())
}

/// Makes a call, and again with what was refused. An error names the first message that was not taken.
async fn call(
    messages: &[OutgoingDispatch],
    queue: &impl DispatchQueue,
    until: Instant,
) -> Result<(), (usize, DispatchFailure)> {
    let mut pending: Vec<_> = (0..messages.len()).collect();
    let mut failures = 0;
    let mut last = DispatchFailure("no time was left".to_owned());
    while Instant::now() < until {
        let batch: Vec<_> = pending.iter().map(|index| messages[*index].clone()).collect();
        let mut answers = match timeout_at(until, queue.send(&batch)).await {
            Ok(answers) => answers.into_iter(),
            Err(_) => break,
        };
        pending.retain(|_| match answers.next() {
            Some(Ok(())) => false,
            Some(Err(failure)) => {
                last = failure;
                true
            }
            None => true,
        });
        if pending.is_empty() {
            return Ok(());
        }
        failures += 1;
        back_off(failures, until).await;
    }
    Err((pending[0], last))
}
