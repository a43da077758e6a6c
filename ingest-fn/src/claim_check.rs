//! The fourth stage: events as lines for the stream. What is too large for it goes to S3, and the line carries a
//! reference: the claim check.
//!
//! [`check`] decides, [`store`] does it. An event's two large parts are its text and its fields; the larger one goes
//! first, the other only if the line is still too large. So a body of the largest size is stored whole, however it is
//! made up, and every line that is left fits a record of the stream.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use shared::format::claim_check::BlobRef;
use shared::format::event_line::{Event, Text};
use shared::format::key;
use shared::gzip::{self, Level};
use shared::id::{EventId, TenantId};
use shared::limits;
use shared::objects::ObjectStore;
use shared::partition::partition_key;

use crate::cut::Batch;
use crate::publish::OutgoingLine;
use crate::rejection::Rejection;

/// Parts that one request stores at a time: enough to hide S3's latency, few enough for one request's share of the
/// connections.
const CONCURRENT_PUTS: usize = 16;

/// An event that is ready for the stream as soon as its parts are stored.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) id: EventId,
    pub(crate) line: OutgoingLine,
    /// What is to be stored first: `(key, bytes)`.
    parts: Vec<(String, Bytes)>,
}

/// Makes an event its line, and takes out what is too large for it.
pub(crate) fn check(event: Event, spread: &BTreeMap<TenantId, u16>) -> Checked {
    let partition_key = partition_key(&event.facts.tenant, &event.facts.id, spread);
    let id = event.facts.id.clone();
    let (line, parts) = fit(event);
    Checked { id, line: OutgoingLine { partition_key, line }, parts }
}

/// The event's line, of a size that fits the stream, and the parts that are to be stored before it is put there:
/// `(key, bytes)`. For those, too, who bring events to the stream by another way than the door.
pub fn fit(mut event: Event) -> (Bytes, Vec<(String, Bytes)>) {
    let mut line = event.line();
    let mut parts = Vec::new();
    while is_too_large(&line) {
        let Some((blob, bytes)) = take_larger(&mut event) else { break };
        parts.extend(blob.split(&bytes));
        line = event.line();
    }
    (line.into(), parts)
}

/// Whether a line may not travel in the stream.
fn is_too_large(line: &[u8]) -> bool {
    line.len() > limits::INLINE_BYTES
        || (line.len() > limits::INLINE_COMPRESSED_BYTES
            && gzip::compress(line, Level::FAST).len() > limits::INLINE_COMPRESSED_BYTES)
}

/// Puts a reference in the place of the larger of the two parts that are still in the event.
fn take_larger(event: &mut Event) -> Option<(BlobRef, Bytes)> {
    let fields = Some(event.fields.as_json().len()).filter(|_| !event.fields.is_empty());
    let text = match &mut event.text {
        // Of the same length, or without fields: the text.
        Text::Inline(text) if Some(text.len()) >= fields => Some(std::mem::take(text)),
        _ => None,
    };
    let is_text = text.is_some();
    let bytes = match (text, fields) {
        (Some(text), _) => Bytes::from(text),
        (None, Some(_)) => Bytes::copy_from_slice(std::mem::take(&mut event.fields).as_json().as_bytes()),
        (None, None) => return None,
    };
    let blob = BlobRef::to(&bytes, |sha256| key::payload(&event.facts.tenant, &event.facts.id, sha256));
    if is_text {
        event.text = Text::Ref(blob.clone());
    } else {
        event.fields_ref = Some(blob.clone());
    }
    Some((blob, bytes))
}

/// Stores the parts of all events, side by side, within `budget`. An event with a part that could not be stored is
/// unpublished: its line must not reach the stream, where the reference would lead nowhere. On a second attempt the
/// parts that were stored are there already, under the same keys.
pub(crate) async fn store(
    mut batch: Batch<Checked>,
    objects: &impl ObjectStore,
    budget: Duration,
) -> Batch<Checked> {
    let deadline = tokio::time::Instant::now() + budget;
    let mut parts = Vec::new();
    for (index, event) in batch.events.iter_mut().enumerate() {
        if let Ok(checked) = event {
            parts.extend(std::mem::take(&mut checked.parts).into_iter().map(|part| (index, part)));
        }
    }
    let put = |(index, (key, bytes)): (usize, (String, Bytes))| async move {
        let failure = match tokio::time::timeout_at(deadline, objects.put_if_absent(&key, bytes, None)).await
        {
            // The key names the content: an object that exists is this one.
            Ok(Ok(_)) => return None,
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => format!("`{key}` was not stored within {} ms", budget.as_millis()),
        };
        Some((index, failure))
    };
    let failures = futures::stream::iter(parts).map(put).buffer_unordered(CONCURRENT_PUTS);
    let failures: Vec<_> = failures.filter_map(std::future::ready).collect().await;
    for (index, cause) in failures {
        batch.events[index] = Err(Rejection::PayloadStoreUnavailable { cause });
    }
    batch
}
