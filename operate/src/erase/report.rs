//! What was found, removed and left, for people and as JSON. Scripts rely on the names in the JSON: add, never rename.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::config::Config;
use shared::id::{EventId, TenantId};
use shared::time::Timestamp;

use super::{Erasure, Remaining, Wanted};
use crate::deployment::QueueName;

/// Most lines of one list in the text. JSON has all.
const SHOWN: usize = 20;

/// The names are also in the notes of erasures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    pub dispatch_messages: u64,
    pub spilled: u64,
    pub dead_letters: u64,
    pub quarantine_lines: u64,
    /// At the failure destination.
    pub failed_records: u64,
    /// Of redriven dead letters.
    pub redrive_notes: u64,
    pub archive_lines: u64,
    /// That these lines were in.
    pub archive_objects: u64,
    pub items: u64,
    /// Objects under `claims/`.
    pub claim_checks: u64,
    /// Objects under `texts/`.
    pub large_lines: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        for ((_, count), (_, more)) in self.each().into_iter().zip(other.named()) {
            *count += more;
        }
    }

    fn named(mut self) -> [(&'static str, u64); 11] {
        self.each().map(|(name, count)| (name, *count))
    }

    /// With its name for people.
    fn each(&mut self) -> [(&'static str, &mut u64); 11] {
        [
            ("messages for the target of dispatch", &mut self.dispatch_messages),
            ("spilled events", &mut self.spilled),
            ("dead letters", &mut self.dead_letters),
            ("quarantined lines", &mut self.quarantine_lines),
            ("failed records", &mut self.failed_records),
            ("notes of redriven dead letters", &mut self.redrive_notes),
            ("archive lines", &mut self.archive_lines),
            ("archive objects with them", &mut self.archive_objects),
            ("items", &mut self.items),
            ("claim checks", &mut self.claim_checks),
            ("large archive lines", &mut self.large_lines),
        ]
    }
}

/// What is left to the next erasure: a writer may still come to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Later {
    /// On the stream, and not done.
    pub on_stream: u64,
    pub queued: u64,
    /// In quarantine or at the failure destination.
    pub saved: u64,
    pub archive_lines: u64,
    pub items: u64,
    /// Claim checks and large lines that these need, or that were written since the erasure began.
    pub stored_lines: u64,
}

impl Later {
    fn sum(&self) -> u64 {
        let Self { on_stream, queued, saved, archive_lines, items, stored_lines } = self;
        on_stream + queued + saved + archive_lines + items + stored_lines
    }
}

/// A saved object of which not all could be erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Mixed {
    object: String,
    records: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct EraseReport {
    deployment: String,
    tenant: TenantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventId>,
    applied: bool,
    /// The key of the note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    begun: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    again_at: Option<Timestamp>,
    pub(super) found: Counts,
    pub(super) removed: Counts,
    pub(super) later: Later,
    /// About how many messages of a queue could not be read: they are being processed, or there are too many.
    hidden_messages: BTreeMap<&'static str, u64>,
    /// Records with lines of other events.
    mixed: Vec<Mixed>,
    /// Objects, rows and items that cannot be read, and are left.
    unreadable: Vec<String>,
    /// Lines in quarantine or at the failure destination that cannot be read. Of which tenant they are is not known.
    pub(super) unreadable_lines: u64,
    remains: Vec<Remaining>,
}

impl EraseReport {
    pub(super) fn new(deployment: &str, wanted: &Wanted, applied: bool) -> Self {
        Self {
            deployment: deployment.to_owned(),
            tenant: wanted.tenant.clone(),
            event: wanted.event.clone(),
            applied,
            note: None,
            begun: None,
            finished: None,
            again_at: None,
            found: Counts::default(),
            removed: Counts::default(),
            later: Later::default(),
            hidden_messages: BTreeMap::new(),
            mixed: Vec::new(),
            unreadable: Vec::new(),
            unreadable_lines: 0,
            remains: Vec::new(),
        }
    }

    /// When it is to be run again, because attempts may be alive that began before it.
    pub fn again_at(&self) -> Option<Timestamp> {
        self.again_at
    }

    /// Whether everything was erased that an operator reaches.
    pub fn is_complete(&self) -> bool {
        self.finished.is_some()
            && self.later == Later::default()
            && self.hidden_messages.is_empty()
            && self.mixed.is_empty()
            && self.unreadable.is_empty()
    }

    pub(super) fn begun(&mut self, key: &str, erasure: &Erasure, again_at: Timestamp) {
        self.note = Some(key.to_owned());
        self.begun = Some(erasure.begun);
        self.again_at = Some(again_at);
    }

    pub(super) fn finished(&mut self, key: &str, erasure: &Erasure) {
        self.note = Some(key.to_owned());
        self.begun = Some(erasure.begun);
        self.finished = erasure.finished;
    }

    pub(super) fn hidden(&mut self, queue: QueueName, count: u64) {
        self.hidden_messages.insert(queue.described(), count);
    }

    pub(super) fn mixed(&mut self, object: &str, records: u64) {
        self.mixed.push(Mixed { object: object.to_owned(), records });
    }

    pub(super) fn unreadable(&mut self, what: String) {
        self.unreadable.push(what);
    }

    pub(super) fn remains(
        &mut self,
        backups: Vec<Remaining>,
        now: Timestamp,
        retention: Duration,
        config: &Config,
    ) {
        self.remains.push(Remaining {
            what: "the stream".to_owned(),
            until: Some(now.plus(retention)),
            why: "records cannot be deleted; they expire".to_owned(),
        });
        self.remains.extend(backups);
        self.remains.push(Remaining {
            what: "logs".to_owned(),
            until: None,
            why: "lines name tenants and ids, never texts; they expire as the logs do".to_owned(),
        });
        if config.dispatch.enabled {
            self.remains.push(Remaining {
                what: "the target of dispatch".to_owned(),
                until: None,
                why: "it has what was sent to it: erase it there".to_owned(),
            });
        }
    }
}

impl fmt::Display for EraseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deployment, tenant, .. } = self;
        match &self.event {
            None => writeln!(f, "{deployment}: all events of {tenant}")?,
            Some(event) => writeln!(f, "{deployment}: the event {event} of {tenant}")?,
        }
        if let Some(again_at) = self.again_at {
            writeln!(
                f,
                "\nThe erasure has begun: `{}`. Nothing is deleted yet.",
                self.note.as_deref().unwrap_or("")
            )?;
            return writeln!(
                f,
                "Attempts that began before may write until {again_at}. Run the same command again then."
            );
        }
        let counts = if self.applied { &self.removed } else { &self.found };
        let counts: Vec<_> = counts.named().into_iter().filter(|(_, count)| *count > 0).collect();
        if counts.is_empty() {
            writeln!(f, "\nNothing of it is stored.")?;
        } else {
            writeln!(f, "\n{}", if self.applied { "Erased:" } else { "Would be erased:" })?;
        }
        for (name, count) in counts {
            writeln!(f, "  {count:>9}  {name}")?;
        }
        self.left(f)?;
        writeln!(f, "\nNot reached, and remains:")?;
        for Remaining { what, until, why } in &self.remains {
            match until {
                Some(until) => writeln!(f, "  {what}, until {until}: {why}")?,
                None => writeln!(f, "  {what}: {why}")?,
            }
        }
        match (self.applied, &self.note) {
            (true, Some(note)) if self.is_complete() => writeln!(f, "\nDone. The note of it is `{note}`."),
            (true, _) => writeln!(f, "\nNOT complete: see what is left above."),
            (false, _) => writeln!(f, "\nNothing was changed. With --yes it is erased."),
        }
    }
}

impl EraseReport {
    fn left(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Later { on_stream, queued, saved, archive_lines, items, stored_lines } = self.later;
        let later = [
            ("on the stream, and not processed yet", on_stream),
            ("in queues", queued),
            ("in quarantine or at the failure destination", saved),
            ("archive lines", archive_lines),
            ("items", items),
            ("claim checks or large lines", stored_lines),
        ];
        if self.later.sum() > 0 {
            writeln!(f, "\nLeft, because it is not done, or came since: run it again when it is stored.")?;
        }
        for (name, count) in later.into_iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "  {count:>9}  {name}")?;
        }
        for (queue, count) in &self.hidden_messages {
            writeln!(f, "\nAbout {count} messages of the {queue} could not be read: run it again.")?;
        }
        if !self.mixed.is_empty() {
            writeln!(
                f,
                "\nLeft, because other events are in the same record. They expire with their object:"
            )?;
        }
        for Mixed { object, records } in self.mixed.iter().take(SHOWN) {
            writeln!(f, "  {records} in {object}")?;
        }
        if !self.unreadable.is_empty() {
            writeln!(f, "\nLeft, because it cannot be read:")?;
        }
        for what in self.unreadable.iter().take(SHOWN) {
            writeln!(f, "  {what}")?;
        }
        let rest = self.mixed.len().saturating_sub(SHOWN) + self.unreadable.len().saturating_sub(SHOWN);
        if rest > 0 {
            writeln!(f, "  … and {rest} more: --report has them all")?;
        }
        if self.unreadable_lines > 0 {
            writeln!(
                f,
                "\n{} saved lines of unknown tenants cannot be read. They expire with their objects.",
                self.unreadable_lines
            )?;
        }
        Ok(())
    }
}
