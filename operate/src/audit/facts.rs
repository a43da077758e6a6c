//! What was found in each store that can hold an event. No judgement, no I/O.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use consumer_fn::items::Existing;
use serde::{Deserialize, Serialize};
use shared::id::{AdmissionId, EventId, TenantId};
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::balance::AuditFinding;
use super::partitions::Homed;
use crate::archive::Span;
use crate::erase::Erasures;

/// Everything that the accounting needs: what is known of the whole deployment, and facts about events. These may be of a
/// group of events only, if all facts of each event are there ([`Fact::home`]).
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
    /// What redriven events of all groups replace: their former origins, each with the admission.
    pub(crate) replaced: Replaced,
    /// The lines on the stream.
    pub(crate) arrivals: Vec<KnownLine>,
    /// The lines of archive objects.
    pub(crate) archived: Vec<ArchivedLine>,
    /// The lines in quarantine, but for those in `id_reused`. A line may be there several times.
    pub(crate) quarantined: Vec<KnownLine>,
    /// Lines in quarantine because another event has their id. They may have been redriven under new ids.
    pub(crate) id_reused: Vec<KnownLine>,
    /// The same lines, with the ids that they get then.
    pub(crate) as_new: Vec<KnownLine>,
    /// Origins of lines in quarantine that could not be read, and can be now.
    pub(crate) readable_now: Vec<Origin>,
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
    /// What was erased.
    pub(crate) erased: Erasures,
    /// Findings about objects, rows and messages.
    pub(crate) faults: Vec<AuditFinding>,
}

/// Digests, because it is of all events. The admission is part of it: it stays the same in a redrive, and a foreign producer
/// that names the origin of another event does not know it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replaced(HashSet<u64>);

impl Replaced {
    pub(crate) fn add(&mut self, arrival: &KnownLine) {
        let Some(event) = &arrival.event else { return };
        self.0.extend(arrival.redrive_of.iter().map(|former| digest((former, event.admission_id))));
    }

    /// Without an admission the line could not be read. If it can be now, its event has the admission of a foreign producer's.
    pub(crate) fn has(&self, origin: &Origin, admission_id: Option<AdmissionId>) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let of_foreign = || AdmissionId::of_foreign(&origin.shard, &origin.sequence_number, origin.position);
        self.0.contains(&digest((origin, admission_id.unwrap_or_else(of_foreign))))
    }
}

impl<'a> FromIterator<&'a KnownLine> for Replaced {
    fn from_iter<I: IntoIterator<Item = &'a KnownLine>>(arrivals: I) -> Self {
        let mut replaced = Self::default();
        arrivals.into_iter().for_each(|arrival| replaced.add(arrival));
        replaced
    }
}

impl AuditFacts {
    pub(crate) fn add(&mut self, fact: Fact) {
        match fact {
            Fact::Arrived(line) => self.arrivals.push(line),
            Fact::Archived(line) => self.archived.push(line),
            Fact::Quarantined(line) => self.quarantined.push(line),
            Fact::IdReused(line) => self.id_reused.push(line),
            Fact::AsNew(line) => self.as_new.push(line),
            Fact::ReadableNow(line) => self.readable_now.push(line.origin),
            Fact::Failed(line) => self.failed.push(line),
            Fact::Item(item) => self.items.push(item),
            Fact::Spilled(event) => self.spilled.push(event),
            Fact::Dead(event) => self.dead.push(event),
        }
    }

    /// Forgets all facts about events.
    pub(crate) fn clear(&mut self) {
        self.arrivals.clear();
        self.archived.clear();
        self.quarantined.clear();
        self.id_reused.clear();
        self.as_new.clear();
        self.readable_now.clear();
        self.failed.clear();
        self.items.clear();
        self.spilled.clear();
        self.dead.clear();
    }
}

/// A fact about one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fact {
    Arrived(KnownLine),
    Archived(ArchivedLine),
    /// Its event is `None` if the consumer could not read it.
    Quarantined(KnownLine),
    /// A quarantined line: another event has its id.
    IdReused(KnownLine),
    /// The same line, with the id that it gets if it is redriven under a new one.
    AsNew(KnownLine),
    /// A quarantined line that the consumer could not read, with the event that is read in it now.
    ReadableNow(KnownLine),
    Failed(KnownLine),
    Item(KnownItem),
    Spilled(KnownEvent),
    Dead(KnownEvent),
}

impl Fact {
    /// Where the event is on the stream, of one that is stored.
    pub(crate) fn stored_origin(&self) -> Option<&Origin> {
        match self {
            Self::Archived(line) => Some(&line.origin),
            Self::Quarantined(line) | Self::Failed(line) => Some(&line.origin),
            Self::Item(item) => Some(&item.origin),
            _ => None,
        }
    }
}

impl Homed for Fact {
    /// An event is known by its name; a line that cannot be read, by its origin. A redriven event may have another name than
    /// before: [`AuditFacts::replaced`] connects the two.
    fn home(&self) -> u64 {
        let of_event = |event: &KnownEvent| digest(event.name());
        let of_line = |line: &KnownLine| line.event.as_ref().map_or_else(|| digest(&line.origin), of_event);
        match self {
            Self::Arrived(line)
            | Self::Quarantined(line)
            | Self::IdReused(line)
            | Self::AsNew(line)
            | Self::ReadableNow(line)
            | Self::Failed(line) => of_line(line),
            Self::Archived(line) => of_event(&line.event),
            Self::Item(item) => digest((&item.tenant, &item.id)),
            Self::Spilled(event) | Self::Dead(event) => of_event(event),
        }
    }
}

/// The same in each run.
pub(crate) fn digest(of: impl std::hash::Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(of)
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ShardFacts {
    /// Everything before it is done: archived, in quarantine, or at the failure destination.
    pub(crate) done_end: Option<ShardPosition>,
    /// The oldest record that was read. All later ones were read too.
    pub(crate) read_from: Option<ShardPosition>,
}

/// What identifies an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownLine {
    pub(crate) origin: Origin,
    /// `None` where it cannot be read.
    pub(crate) event: Option<KnownEvent>,
    /// When the event was received. If it cannot be read, when it arrived.
    pub(crate) received_at: Timestamp,
    /// Earlier origins, of a redriven event.
    pub(crate) redrive_of: Vec<Origin>,
}

impl KnownLine {
    /// Whether a redrive of it archives the event of this item: the item names the line, or one that it replaced.
    pub(crate) fn may_take_over(&self, item: &KnownItem) -> bool {
        self.origin == item.origin || self.redrive_of.contains(&item.origin)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchivedLine {
    pub(crate) event: KnownEvent,
    pub(crate) origin: Origin,
    /// The key of its object.
    pub(crate) object: Arc<str>,
    /// Its item must exist until then; `None` is for ever. An item lives from its insertion. The line does not have that
    /// time, but it is not before the event was received.
    pub(crate) item_until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
