//! The stations of an event: what is known of its way.

use consumer_fn::StreamLine;
use serde::Serialize;
use shared::format::event_line::Event;
use shared::format::facts::Facts;
use shared::id::{EventId, TenantId};
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::end::End;
use super::search::Sighting;
use crate::erase::Erasures;

/// Scripts rely on the names in the JSON: add, never rename.
#[derive(Clone, Debug, Serialize)]
pub struct TracedEvent {
    pub(super) tenant: TenantId,
    pub(super) id: EventId,
    pub(super) end: End,
    /// What the end means, and for how long it has been so.
    pub(super) meaning: String,
    /// What to run: to have the line printed, or to bring the event back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<Request>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) queued: Vec<Waiting>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) records: Vec<Record>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) quarantined: Vec<Quarantined>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) failed: Vec<Saved>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<StoredItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<ArchiveObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dispatch: Option<Dispatch>,
    /// Where it is archived, or should be.
    #[serde(skip)]
    pub(super) origin: Option<Origin>,
    /// Up to where the shard of its origin, or of its last record, is done.
    #[serde(skip)]
    pub(super) done_end: Option<ShardPosition>,
    /// The event of its last record was erased.
    #[serde(skip)]
    pub(super) is_erased: bool,
}

/// The request that brought it, as far as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Request {
    pub(super) received_at: Timestamp,
    pub(super) source: String,
    pub(super) tier: String,
    pub(super) admission_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Waiting {
    pub(super) is_dead: bool,
    pub(super) sent: Timestamp,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) origin: Origin,
    pub(super) arrival: Timestamp,
    pub(super) partition_key: Option<String>,
    /// The key of the line that is stored apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) claim_check: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Quarantined {
    pub(super) reason: String,
    pub(super) detail: String,
    #[serde(flatten)]
    pub(super) at: Saved,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Saved {
    pub(super) object: String,
    #[serde(flatten)]
    pub(super) origin: Origin,
    pub(super) arrival: Timestamp,
    /// In the mapping's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct StoredItem {
    pub(super) processed_at: Timestamp,
    #[serde(flatten)]
    pub(super) origin: Origin,
    /// In seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<i64>,
    /// It has the beginning of a text only.
    pub(super) is_truncated: bool,
}

/// The batch is what the object covers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ArchiveObject {
    pub(super) key: String,
    pub(super) bytes: usize,
    pub(super) lines: usize,
    /// The first position of its batch, and the exclusive end.
    pub(super) first: String,
    pub(super) end: String,
    /// `None` if it does not exist.
    pub(super) written: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    pub(super) member_offset: usize,
    pub(super) member_length: usize,
    /// In the member, from 1.
    pub(super) number: usize,
    /// Where the line is stored, if it is too large for the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) large: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Dispatch {
    /// `None` while it waits.
    pub(super) status: Option<String>,
    pub(super) attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

impl From<&Facts> for Request {
    fn from(facts: &Facts) -> Self {
        Self {
            received_at: facts.received_at,
            source: facts.source.as_str().to_owned(),
            tier: facts.tier.to_string(),
            admission_id: facts.admission_id.to_string(),
            trace: facts.trace.clone(),
        }
    }
}

impl From<&Event> for Request {
    fn from(event: &Event) -> Self {
        (&event.facts).into()
    }
}

impl Record {
    pub(super) fn new(line: &StreamLine, event: &Event) -> Self {
        Self {
            origin: line.origin.clone(),
            arrival: line.arrival,
            partition_key: line.partition_key.clone(),
            claim_check: event.claim_check.as_ref().map(|claim_check| claim_check.key.clone()),
        }
    }
}

impl TracedEvent {
    pub(super) fn is_in(&self, erased: &Erasures) -> bool {
        let last = self.records.last();
        last.is_some_and(|record| erased.has(&self.tenant, &self.id, &record.origin))
    }

    pub(super) fn new(tenant: TenantId, id: EventId, sightings: Vec<Sighting>) -> Self {
        let mut event = Self {
            tenant,
            id,
            end: End::Missing,
            meaning: String::new(),
            command: None,
            request: None,
            queued: Vec::new(),
            records: Vec::new(),
            quarantined: Vec::new(),
            failed: Vec::new(),
            item: None,
            object: None,
            line: None,
            dispatch: None,
            origin: None,
            done_end: None,
            is_erased: false,
        };
        for sighting in sightings {
            let request = match sighting {
                Sighting::Queued(waiting, request) => {
                    event.queued.push(waiting);
                    Some(request)
                }
                Sighting::OnStream(record, request) => {
                    event.records.push(record);
                    Some(request)
                }
                Sighting::Quarantined(quarantined, request) => {
                    event.quarantined.push(quarantined);
                    request
                }
                Sighting::Failed(saved, request) => {
                    event.failed.push(saved);
                    Some(request)
                }
                Sighting::Archived(origin) => {
                    event.origin = Some(origin);
                    None
                }
            };
            event.request = event.request.or(request);
        }
        event
    }
}
