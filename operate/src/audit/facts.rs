//! What was found in each place that an event can lie in. No judgement here, and no I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::id::{AdmissionId, EventId, TenantId};
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::verdict::Finding;
use crate::archive::Span;

/// Everything that the accounting is made from.
///
/// Read while the pipeline runs, the places are read against the stream of the data: how far each shard is done first,
/// then manifest, archive, quarantine, failures, items, queues, and the stream last. So what is called done is surely in
/// the places behind it, and what is in a place is surely on the stream.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Events received in this span are accounted for.
    pub(crate) span: Span,
    /// When the reading began.
    pub(crate) now: Timestamp,
    /// All that arrived from then on was surely read from the stream.
    pub(crate) stream_from: Timestamp,
    /// What is known of each shard.
    pub(crate) shards: BTreeMap<Arc<str>, Shard>,
    /// The lines on the stream.
    pub(crate) arrivals: Vec<Arrival>,
    /// The archive objects that were read.
    pub(crate) objects: Vec<Object>,
    /// The lines in quarantine, as often as they are there.
    pub(crate) quarantined: Vec<Kept>,
    /// The lines that failed for good with their batch.
    pub(crate) failed: Vec<Kept>,
    /// The items.
    pub(crate) items: Vec<Item>,
    /// The lines in the spill queue.
    pub(crate) spilled: Vec<Event>,
    /// The lines in its dead-letter queue.
    pub(crate) dead: Vec<Event>,
    /// Messages, of either queue, that were not looked at, about: somebody works on them, or they are too many.
    pub(crate) hidden_messages: u64,
    /// Messages, of either queue, that hold something else than events.
    pub(crate) unreadable_messages: u64,
    /// What does not hold of objects and manifest, whatever the events say.
    pub(crate) faults: Vec<Finding>,
}

impl Facts {
    /// Nothing was found yet.
    pub(crate) fn none(span: Span, stream_from: Timestamp, now: Timestamp) -> Self {
        Self {
            span,
            now,
            stream_from,
            shards: BTreeMap::new(),
            arrivals: Vec::new(),
            objects: Vec::new(),
            quarantined: Vec::new(),
            failed: Vec::new(),
            items: Vec::new(),
            spilled: Vec::new(),
            dead: Vec::new(),
            hidden_messages: 0,
            unreadable_messages: 0,
            faults: Vec::new(),
        }
    }
}

/// What is known of a shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shard {
    /// Everything before it is done: archived, in quarantine, or given up and kept.
    pub(crate) done_before: Option<ShardPosition>,
    /// The oldest record that was read from the stream; all behind it were read as well.
    pub(crate) read_from: Option<ShardPosition>,
}

/// An event, as far as it matters which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) tenant: TenantId,
    pub(crate) id: EventId,
    pub(crate) admission_id: AdmissionId,
    pub(crate) content_hash: String,
    pub(crate) received_at: Timestamp,
}

/// A line on the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) origin: Origin,
    /// `None` where it cannot be read.
    pub(crate) event: Option<Event>,
    /// When the event was received; of what cannot be read, when it arrived.
    pub(crate) received_at: Timestamp,
    /// Where the line was before it was put on the stream again.
    pub(crate) redrive_of: Vec<Origin>,
}

/// An archive object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) lines: Vec<Line>,
}

/// A line of an archive object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) tenant: TenantId,
    pub(crate) id: EventId,
    pub(crate) admission_id: AdmissionId,
    pub(crate) origin: Origin,
    pub(crate) received_at: Timestamp,
    /// Until when its item must be there; for ever, if not given. An item lives from when it was inserted; when that
    /// was, a line does not say, but not before its event was received.
    pub(crate) item_until: Option<Timestamp>,
}

/// A line that was kept in place of being stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) origin: Origin,
    /// `None` where it cannot be read.
    pub(crate) event: Option<Event>,
    /// When the event was received; of what cannot be read, when it arrived.
    pub(crate) received_at: Timestamp,
}

/// An item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) tenant: TenantId,
    pub(crate) id: EventId,
    pub(crate) origin: Origin,
    pub(crate) admission_id: AdmissionId,
    pub(crate) content_hash: String,
    /// When its event was received, where that was asked for.
    pub(crate) received_at: Option<Timestamp>,
}
