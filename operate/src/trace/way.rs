//! The stations of an event, and what the last one means. Pure.

use std::time::Duration;

use consumer_fn::StreamLine;
use serde::Serialize;
use shared::format::event_line::Event;
use shared::format::facts::Facts;
use shared::id::{EventId, TenantId};
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::search::Sighting;
use crate::redrive::ID_REUSED;

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
}

/// Where the way of an event ends, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// It has an archive line.
    Stored,
    /// It has an item, and no archive line yet.
    NotArchived,
    /// On the stream, and not processed yet.
    Accepted,
    Spilled,
    DeadLetter,
    Quarantined,
    Failed,
    /// It is done, and found nowhere where it should be.
    Missing,
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
    pub(super) line: usize,
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

    /// Says where the way ends and what that means.
    pub(super) fn judge(&mut self, now: Timestamp) {
        let redrive = |rest: &str| Some(format!("tidegate redrive {rest} --tenant {} --apply", self.tenant));
        let is_done =
            |origin: &Origin| self.done_end.as_ref().is_some_and(|end| ShardPosition::from(origin) < *end);
        let since = |at: Timestamp| ago(now.since(at));
        let (end, meaning, command) = if let Some(line) = &self.line {
            let item = match &self.item {
                Some(_) => "an item and an archive line",
                None => "an archive line; its item has expired or is missing",
            };
            (End::Stored, format!("stored: it has {item}"), line.command.clone())
        } else if let Some(item) = &self.item {
            let audit = Some("tidegate audit".to_owned());
            match &self.object {
                Some(object) if object.written.is_none() => {
                    let what = "stored, and its archive object does not exist any more";
                    (End::Missing, format!("{what}: it has expired, or it is lost"), audit)
                }
                Some(_) => {
                    let what = "it has an item, and the archive object that should have its line has none";
                    (End::Missing, what.to_owned(), audit)
                }
                None if is_done(&item.origin) => {
                    let what = "it has an item, and no archive object covers its record, which is done";
                    (End::Missing, what.to_owned(), audit)
                }
                None => {
                    let since = since(item.processed_at);
                    (End::NotArchived, format!("it has an item since {since}, and is not archived yet"), None)
                }
            }
        } else if let Some(line) = self.quarantined.last() {
            let as_new = if line.reason == ID_REUSED { " --as-new" } else { "" };
            let command = redrive(&format!("--source quarantine --reason {}{as_new}", line.reason));
            let after = if as_new.is_empty() { ", after the cause is fixed" } else { "" };
            (
                End::Quarantined,
                format!("in quarantine: {}; the command brings it back{after}", line.detail),
                command,
            )
        } else if let Some(saved) = self.failed.last() {
            let why = saved.why.as_deref().unwrap_or("no reason is stored");
            let what = format!("its batch failed for good ({why}) and is saved; the command brings it back");
            (End::Failed, what, redrive("--source failure-destination"))
        } else if let Some(letter) = self.queued.iter().find(|waiting| waiting.is_dead) {
            let what = format!(
                "a dead letter since {}: the drain could not put it on the stream",
                since(letter.sent)
            );
            (End::DeadLetter, what, redrive("--source dead-letters"))
        } else if let Some(record) = self.records.last() {
            if is_done(&record.origin) {
                let what = "it is on the stream, its record is done, and it is stored nowhere; perhaps a batch was dropped";
                (End::Missing, what.to_owned(), redrive("--source stream"))
            } else {
                let since = since(record.arrival);
                (End::Accepted, format!("accepted, on the stream since {since}, and not stored yet"), None)
            }
        } else if let Some(waiting) = self.queued.last() {
            let since = since(waiting.sent);
            let what = format!("accepted, in the spill queue since {since}: the drain puts it on the stream");
            (End::Spilled, what, None)
        } else {
            let what = "its archive line was seen, and is not where its row says";
            (End::Missing, what.to_owned(), Some("tidegate audit".to_owned()))
        };
        (self.end, self.meaning, self.command) = (end, meaning, command);
    }
}

/// For people.
fn ago(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}
