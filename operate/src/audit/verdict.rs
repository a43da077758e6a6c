//! What an audit comes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use shared::id::{EventId, TenantId};
use shared::origin::Origin;

/// What became of each admission, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) total: Tally,
    /// By tenant; `None` is what names no tenant, since it cannot be read.
    pub(crate) tenants: BTreeMap<Option<TenantId>, Tally>,
    /// By shard; `None` is what is not on the stream yet, or never reached it.
    pub(crate) shards: BTreeMap<Option<Arc<str>>, Tally>,
    pub(crate) findings: Vec<Finding>,
}

/// Counts of those that came by our door, and of those that another producer put on the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    pub(crate) door: Counts,
    pub(crate) other_producers: Counts,
}

/// Each admission is in one of them, but for `redelivered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// All.
    pub(crate) admissions: u64,
    /// One item, and in the archive once.
    pub(crate) stored: u64,
    /// Its id and content were there already, by another admission.
    pub(crate) deduplicated: u64,
    /// Kept with its reason and bytes.
    pub(crate) quarantined: u64,
    /// Given up, and kept with its bytes.
    pub(crate) failed: u64,
    /// On its way, in the stream or in the spill queue.
    pub(crate) in_flight: u64,
    /// Nowhere to be found.
    pub(crate) missing: u64,
    /// How often an admission that is stored came by the stream once more. These are not admissions.
    pub(crate) redelivered: u64,
}

/// What became of an admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored,
    Deduplicated,
    Quarantined,
    Failed,
    InFlight,
    Missing,
}

impl Counts {
    pub(crate) fn add(&mut self, outcome: Outcome, redelivered: u64) {
        self.admissions += 1;
        self.redelivered += redelivered;
        *match outcome {
            Outcome::Stored => &mut self.stored,
            Outcome::Deduplicated => &mut self.deduplicated,
            Outcome::Quarantined => &mut self.quarantined,
            Outcome::Failed => &mut self.failed,
            Outcome::InFlight => &mut self.in_flight,
            Outcome::Missing => &mut self.missing,
        } += 1;
    }
}

/// What does not balance, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) kind: Kind,
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

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// An event that should be there and is not.
    Missing,
    /// An event that is there more than once.
    Doubled,
    /// Something that no producer put on the stream.
    Foreign,
    /// A line in an object that does not cover its place.
    Misplaced,
    /// An object and its manifest row do not agree.
    Manifest,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Doubled => "doubled",
            Self::Foreign => "foreign",
            Self::Misplaced => "misplaced",
            Self::Manifest => "manifest",
        }
    }
}

impl Finding {
    /// Of an event.
    pub(crate) fn event(
        kind: Kind,
        name: Option<(&TenantId, &EventId)>,
        origin: Option<&Origin>,
        detail: impl Into<String>,
    ) -> Self {
        let (tenant, id) = name.map(|(tenant, id)| (tenant.clone(), id.clone())).unzip();
        Self { kind, tenant, id, origin: origin.cloned(), object: None, detail: detail.into() }
    }

    /// Of an object.
    pub(crate) fn object(key: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: Kind::Manifest,
            tenant: None,
            id: None,
            origin: None,
            object: Some(key.to_owned()),
            detail: detail.into(),
        }
    }

    /// The object in which it was found.
    pub(crate) fn within(mut self, key: &str) -> Self {
        self.object = Some(key.to_owned());
        self
    }
}
