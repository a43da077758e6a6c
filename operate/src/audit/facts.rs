//! What was found in each store that can hold an event. No judgement, no I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use consumer_fn::items::Existing;
use shared::id::{AdmissionId, EventId, TenantId};
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::balance::AuditFinding;
use crate::archive::Span;

/// Everything that the accounting needs.
///
/// The pipeline may run meanwhile, so the stores are read against the direction of the data: first how far each shard is
/// done, then manifest, archive, quarantine, failures, items and queues, and the stream last. So an event that counts as
/// done is in a store that was read later, and every event of a store is on the stream that was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditFacts {
    /// The events received in this span are audited.
    pub(crate) span: Span,
    /// When reading began.
    pub(crate) now: Timestamp,
    /// All records that arrived at this time or later were read.
    pub(crate) stream_from: Timestamp,
    pub(crate) shards: BTreeMap<Arc<str>, ShardFacts>,
    /// The lines on the stream.
    pub(crate) arrivals: Vec<KnownLine>,
    pub(crate) objects: Vec<ArchivedObject>,
    /// The lines in quarantine. A line may be there several times.
    pub(crate) quarantined: Vec<KnownLine>,
    /// The lines of batches that failed permanently.
    pub(crate) failed: Vec<KnownLine>,
    pub(crate) items: Vec<KnownItem>,
    /// In the spill queue.
    pub(crate) spilled: Vec<KnownEvent>,
    /// In its dead-letter queue.
    pub(crate) dead: Vec<KnownEvent>,
    /// About how many messages of both queues could not be read: they are being processed, or there are too many.
    pub(crate) hidden_messages: u64,
    /// Messages of both queues that do not hold events.
    pub(crate) unreadable_messages: u64,
    /// Findings about objects and manifest.
    pub(crate) faults: Vec<AuditFinding>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ShardFacts {
    /// Everything before it is done: archived, in quarantine, or at the failure destination.
    pub(crate) done_end: Option<ShardPosition>,
    /// The oldest record that was read. All later ones were read too.
    pub(crate) read_from: Option<ShardPosition>,
}

/// What identifies an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownEvent {
    pub(crate) tenant: TenantId,
    pub(crate) id: EventId,
    pub(crate) admission_id: AdmissionId,
    /// Empty if it is not known: an archive line has none.
    pub(crate) content_hash: String,
    pub(crate) received_at: Timestamp,
}

impl KnownEvent {
    pub(crate) fn name(&self) -> (&TenantId, &EventId) {
        (&self.tenant, &self.id)
    }
}

/// A line on the stream, in quarantine, or at the failure destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownLine {
    pub(crate) origin: Origin,
    /// `None` where it cannot be read.
    pub(crate) event: Option<KnownEvent>,
    /// When the event was received. If it cannot be read, when it arrived.
    pub(crate) received_at: Timestamp,
    /// Earlier origins, of a redriven event.
    pub(crate) redrive_of: Vec<Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchivedObject {
    pub(crate) key: String,
    pub(crate) lines: Vec<ArchivedLine>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchivedLine {
    pub(crate) event: KnownEvent,
    pub(crate) origin: Origin,
    /// Its item must exist until then; `None` is for ever. An item lives from its insertion. The line does not have that
    /// time, but it is not before the event was received.
    pub(crate) item_until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownItem {
    pub(crate) tenant: TenantId,
    pub(crate) id: EventId,
    pub(crate) origin: Origin,
    pub(crate) admission_id: AdmissionId,
    pub(crate) content_hash: String,
    /// `None` for items that were read by name.
    pub(crate) received_at: Option<Timestamp>,
}

impl KnownItem {
    pub(crate) fn new(tenant: TenantId, id: EventId, item: Existing, received_at: Option<Timestamp>) -> Self {
        let Existing { origin, admission_id, content_hash } = item;
        Self { tenant, id, origin, admission_id, content_hash, received_at }
    }
}
