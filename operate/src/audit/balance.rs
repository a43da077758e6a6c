//! The result of an audit: counts and findings.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use shared::id::{EventId, TenantId};
use shared::origin::Origin;

/// What became of each admission, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) total: Tally,
    pub(crate) tenants: BTreeMap<String, Tally>,
    pub(crate) shards: BTreeMap<String, Tally>,
    pub(crate) findings: Vec<AuditFinding>,
}

impl Balance {
    /// Adds what became of other events.
    pub(crate) fn add(&mut self, other: Self) {
        self.total.add(&other.total);
        for (into, from) in [(&mut self.tenants, other.tenants), (&mut self.shards, other.shards)] {
            for (name, tally) in from {
                into.entry(name).or_default().add(&tally);
            }
        }
        self.findings.extend(other.findings);
    }

    /// By kind, then by event.
    pub(crate) fn sort(&mut self) {
        self.findings.sort_by(|a, b| (a.kind, &a.tenant, &a.id).cmp(&(b.kind, &b.tenant, &b.id)));
    }
}

/// Counts by who put the events on the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    pub(crate) ingest: Counts,
    pub(crate) foreign_producers: Counts,
}

/// Each admission is counted once, in `admissions` and in one outcome. `redelivered` is apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) admissions: u64,
    /// One item and one archive line.
    pub(crate) stored: u64,
    /// Another admission had the same id and content before.
    pub(crate) deduplicated: u64,
    /// In quarantine, with reason and bytes.
    pub(crate) quarantined: u64,
    /// At the failure destination or in the dead-letter queue.
    pub(crate) failed: u64,
    /// Still to be processed, in the stream or in the spill queue.
    pub(crate) in_flight: u64,
    /// Found nowhere else.
    pub(crate) missing: u64,
    /// By `tidegate erase`.
    pub(crate) erased: u64,
    /// Extra deliveries of stored admissions.
    pub(crate) redelivered: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdmissionOutcome {
    Stored,
    Deduplicated,
    Quarantined,
    Failed,
    InFlight,
    Missing,
    Erased,
}

impl Tally {
    pub(crate) fn admissions(&self) -> u64 {
        self.ingest.admissions + self.foreign_producers.admissions
    }

    fn add(&mut self, other: &Self) {
        self.ingest.add_all(&other.ingest);
        self.foreign_producers.add_all(&other.foreign_producers);
    }
}

impl Counts {
    fn add_all(&mut self, other: &Self) {
        let Self {
            admissions,
            stored,
            deduplicated,
            quarantined,
            failed,
            in_flight,
            missing,
            erased,
            redelivered,
        } = other;
        self.admissions += admissions;
        self.stored += stored;
        self.deduplicated += deduplicated;
        self.quarantined += quarantined;
        self.failed += failed;
        self.in_flight += in_flight;
        self.missing += missing;
        self.erased += erased;
        self.redelivered += redelivered;
    }

    pub(crate) fn add(&mut self, outcome: AdmissionOutcome, redelivered: u64) {
        self.admissions += 1;
        self.redelivered += redelivered;
        *match outcome {
            AdmissionOutcome::Stored => &mut self.stored,
            AdmissionOutcome::Deduplicated => &mut self.deduplicated,
            AdmissionOutcome::Quarantined => &mut self.quarantined,
            AdmissionOutcome::Failed => &mut self.failed,
            AdmissionOutcome::InFlight => &mut self.in_flight,
            AdmissionOutcome::Missing => &mut self.missing,
            AdmissionOutcome::Erased => &mut self.erased,
        } += 1;
    }
}

/// Something that does not balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AuditFinding {
    pub(crate) kind: FindingKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<Origin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<String>,
    pub(crate) detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FindingKind {
    /// An event that should be stored and is not.
    Missing,
    /// An event that is stored more than once.
    Doubled,
    /// A line or item of no event on the stream.
    Foreign,
    /// A line in an object that does not cover its origin.
    Misplaced,
    /// An object and its manifest row do not agree.
    Manifest,
    /// Something stored that is not as Tidegate writes it.
    Unreadable,
    /// Something is not as it was written: it differs from its checksum, or from another copy.
    Damaged,
}

/// By serde's names.
impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl AuditFinding {
    pub(crate) fn event(
        kind: FindingKind,
        name: Option<(&TenantId, &EventId)>,
        origin: Option<&Origin>,
        detail: impl Into<String>,
    ) -> Self {
        let (tenant, id) = name.map(|(tenant, id)| (tenant.clone(), id.clone())).unzip();
        Self { kind, tenant, id, origin: origin.cloned(), object: None, detail: detail.into() }
    }

    pub(crate) fn object(key: &str, detail: impl Into<String>) -> Self {
        Self::event(FindingKind::Manifest, None, None, detail).within(key)
    }

    pub(crate) fn damaged(key: &str, detail: impl Into<String>) -> Self {
        Self { kind: FindingKind::Damaged, ..Self::object(key, detail) }
    }

    /// Found in this object.
    pub(crate) fn within(mut self, key: &str) -> Self {
        self.object = Some(key.to_owned());
        self
    }
}
