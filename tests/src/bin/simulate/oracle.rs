//! What may be otherwise than the promise says, after an operator has deleted something of an event by hand. All other events keep the
//! promise in full, also those in the same batch, object or member.
//!
//! | deleted | what may become of the event |
//! |---|---|
//! | its item | the item is absent. A copy of the event that comes later is not known as one: the event has another item, and one archive line more for each deletion, and a replay has it as often. A late write of an old attempt may bring an item back with an origin that no line has. If the line of the item's origin was not archived yet, the content that the item had may be gone: a copy was left out as known, its archive object is written, and the next attempt inserts an item for the copy and finds the object there without its line. |
//! | its claim checks | what was not stored yet cannot be: it is in quarantine without its text, or stays at the failure destination, or only on the stream if its batch was dropped. |
//! | its archive lines | they are absent, up to as many as were deleted. The manifest row may be that of the object before, where an old attempt writes it again. If the text of a line was deleted under `texts/`, the line has none. |
//!
//! A copy at the failure destination stays there if the ledger has its origin as archived, and counts as failed once its line was deleted.
//!
//! Always: what is stored under its name was sent under its name. What was accepted, and nothing of it deleted but an item after
//! its line was archived, is in the archive or in quarantine. The audit has findings about these events and objects alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde_json::Value;
use shared::id::{EventId, TenantId};

use crate::client::{Name, first_name};

/// What was deleted by hand.
#[derive(Debug, Default)]
pub(crate) struct Erasures {
    events: BTreeMap<Name, Erased>,
    /// Archive objects that were rewritten.
    pub(crate) objects: BTreeSet<String>,
}

/// How much was deleted of one event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Erased {
    pub(crate) items: usize,
    /// The texts of the items that were deleted before the line of their origin was archived; `None` of one without a text.
    pub(crate) unarchived: Vec<Option<String>>,
    pub(crate) claims: usize,
    pub(crate) lines: usize,
    pub(crate) texts: usize,
}

impl Erasures {
    pub(crate) fn of(&mut self, (tenant, id): &(TenantId, EventId)) -> &mut Erased {
        self.events.entry((tenant.to_string(), id.to_string())).or_default()
    }

    /// What was deleted of an event, also under a new id that a redrive gave it, or before it got that.
    pub(crate) fn find(&self, name: &Name) -> Option<Erased> {
        let first = first_name(name);
        let mut found = self.events.iter().filter(|(name, _)| first_name(name) == first).peekable();
        found.peek()?;
        Some(found.fold(Erased::default(), |sum, (_, erased)| Erased {
            items: sum.items + erased.items,
            unarchived: [sum.unarchived, erased.unarchived.clone()].concat(),
            claims: sum.claims + erased.claims,
            lines: sum.lines + erased.lines,
            texts: sum.texts + erased.texts,
        }))
    }

    /// How many failed events an audit has of tenants without a deletion.
    pub(crate) fn unexplained_failures(&self, report: &Value) -> u64 {
        let is_other = |tenant: &str| self.events.keys().all(|(erased, _)| erased != tenant);
        let tenants = report["tenants"].as_object().into_iter().flatten();
        let failed = |(_, tally): (&String, &Value)| tally["ingest"]["failed"].as_u64().unwrap_or(1 << 32);
        tenants.filter(|(tenant, _)| is_other(tenant)).map(failed).sum()
    }

    /// The findings of an audit that no deletion explains.
    pub(crate) fn unexplained(&self, report: &Value) -> Vec<Value> {
        let is_explained = |finding: &Value| {
            let text = |name: &str| finding[name].as_str().map(str::to_owned);
            let is_of_event = text("tenant").zip(text("id")).is_some_and(|name| self.find(&name).is_some());
            is_of_event || text("object").is_some_and(|key| self.objects.contains(&key))
        };
        let findings = report["findings"].as_array().into_iter().flatten();
        findings.filter(|finding| !is_explained(finding)).cloned().collect()
    }
}

impl Erased {
    /// How many archive lines the event may have, under all its names, if `contents` different ones were sent.
    pub(crate) fn lines(&self, contents: usize) -> RangeInclusive<usize> {
        // The lines that were deleted are not among those that are left.
        0..=contents + self.items
    }

    /// Whether an accepted content may be in none of archive and quarantine.
    pub(crate) fn may_be_gone(&self, text: &str) -> bool {
        let is_of = |deleted: &Option<String>| deleted.as_ref().is_none_or(|deleted| deleted == text);
        self.lines > 0 || self.texts > 0 || self.unarchived.iter().any(is_of)
    }

    /// Whether it may be in quarantine without its text.
    pub(crate) fn may_have_lost_its_text(&self) -> bool {
        self.claims > 0
    }
}
