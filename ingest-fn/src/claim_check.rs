//! The fourth stage: events as lines for the stream. A line that is too large for a record is stored on S3, and its head
//! goes to the stream: the claim check ([`shared::format::claim_check`]).
//!
//! [`check`] decides, [`store`] does it. [`for_spill`] does both for lines that fit a record but not a spill message.

use std::future::Future;

use futures::StreamExt;
use shared::config::Config;
use shared::format::claim_check::Part;
use shared::format::event_line::Event;
use shared::format::outgoing_line::OutgoingLine;
use shared::format::spill_message::SpillMessage;
use shared::id::{EventId, TenantId};
use shared::metric::Metric;
use shared::objects::ObjectStore;
use shared::partition::partition_key;
use tokio::time::{Instant, timeout_at};

use crate::cut::RequestEvents;
use crate::rejection::Rejection;

/// Parts that one request stores at a time: enough to hide S3's latency, few enough for one request's share of the
/// connections.
const CONCURRENT_PUTS: usize = 16;

/// An event that is ready for the stream as soon as its parts are stored.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) id: EventId,
    pub(crate) tenant: TenantId,
    pub(crate) line: OutgoingLine,
    /// The parts to store first.
    parts: Vec<Part>,
}

impl Checked {
    /// What is stored of it, uncompressed.
    pub(crate) fn bytes(&self) -> usize {
        self.line.line.len() + self.parts.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }
}

/// Makes an event its line, and the parts of a claim check if the line is too large.
pub(crate) fn check(event: Event, config: &Config) -> Checked {
    let partition_key = partition_key(&event.facts.tenant, &event.facts.id, &config.tenants.spread);
    let (id, tenant) = (event.facts.id.clone(), event.facts.tenant.clone());
    let (line, parts) = OutgoingLine::new(event, partition_key, config.publish.record_bytes);
    Checked { id, tenant, line, parts }
}

/// Stores the parts of all events, several at a time. An event with a part that could not be stored is rejected: its head
/// must not reach the stream without it. On a second attempt the stored parts exist already, under the same keys.
pub(crate) async fn store(
    mut batch: RequestEvents<Checked>,
    objects: &impl ObjectStore,
    deadline: Instant,
) -> RequestEvents<Checked> {
    let mut parts = Vec::new();
    for (index, event) in batch.events.iter_mut().enumerate() {
        if let Ok(checked) = event {
            parts.extend(std::mem::take(&mut checked.parts).into_iter().map(|part| (index, part)));
        }
    }
    if parts.is_empty() {
        return batch;
    }
    for (index, cause) in put_all(parts, objects, deadline).await {
        batch.events[index] = Err(Rejection::ClaimStoreUnavailable { cause });
    }
    batch
}

/// Lines that the spill queue takes: a line that is too large for a message is stored, and its head is sent. This is the
/// only S3 write for a line that fits a record, and happens only while the stream does not take it. An error is the cause.
pub(crate) async fn for_spill(
    lines: Vec<OutgoingLine>,
    objects: &impl ObjectStore,
    deadline: Instant,
) -> Vec<Result<OutgoingLine, String>> {
    let mut parts = Vec::new();
    let mut fit = |(index, line): (usize, OutgoingLine)| {
        if SpillMessage::fits(&line) {
            return Ok(line);
        }
        let (head, of_line) = line.into_head().map_err(|error| error.to_string())?;
        parts.extend(of_line.into_iter().map(|part| (index, part)));
        Ok(head)
    };
    let mut lines: Vec<_> = lines.into_iter().enumerate().map(&mut fit).collect();
    for (index, cause) in put_all(parts, objects, deadline).await {
        lines[index] = Err(cause);
    }
    lines
}

/// Puts parts, each for the event or line at an index. Returns the failures.
fn put_all(
    parts: Vec<(usize, Part)>,
    objects: &impl ObjectStore,
    deadline: Instant,
) -> impl Future<Output = Vec<(usize, String)>> {
    let put = move |(index, (key, bytes)): (usize, Part)| async move {
        let failure = match timeout_at(deadline, objects.put_if_absent(&key, bytes, None)).await {
            // The key names the content: an object that exists is this one.
            Ok(Ok(_)) => {
                Metric::ClaimPartsWritten.add(1);
                return None;
            }
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => format!("the claim check `{key}` was not stored in time"),
        };
        Some((index, failure))
    };
    let puts = futures::stream::iter(parts).map(put).buffer_unordered(CONCURRENT_PUTS);
    puts.filter_map(std::future::ready).collect()
}
