//! The end of a run that dispatches: each stored event was delivered or is a dead letter, and nothing else was delivered.

use std::collections::BTreeSet;

use shared::format::dispatch_message::DispatchMessage;

use super::{Judge, is_text_of};
use crate::client::{ClientLog, Name, Sent, first_name};
use crate::oracle::Erased;

impl Judge<'_> {
    pub(super) fn dispatched(&mut self, log: &ClientLog) {
        let taken = &self.data.target.taken;
        let letters: BTreeSet<Name> =
            self.data.dispatch.dead.iter().filter_map(|message| name(&message.body)).collect();
        let mut wrong = Vec::new();
        for name in self.stored() {
            // An event without an item is not sent: what was deleted may never have been. An event without its claim check may have an
            // item, and be in quarantine.
            let is_archived = self.archived.contains_key(&name);
            let is_due = |erased: Erased| erased.items == 0 && (is_archived || erased.claims == 0);
            let is_due = self.data.erased.find(&name).is_none_or(is_due);
            if is_due && !taken.contains_key(&name) && !letters.contains(&name) {
                wrong.push(format!("{name:?} is stored, and neither delivered nor a dead letter"));
            }
        }
        for (name, texts) in taken {
            let sent = log.events.get(&first_name(name)).map(Vec::as_slice).unwrap_or_default();
            for text in texts.iter().filter(|text| !self.may_be_delivered(name, text, sent)) {
                let text: String = text.chars().take(40).collect();
                wrong.push(format!("{name:?} was delivered with `{text}…`, which is not stored"));
            }
        }
        self.wrong.extend(wrong);
    }

    /// The names of all archive lines and items.
    fn stored(&self) -> BTreeSet<Name> {
        let items = self.data.items.keys().map(|(tenant, id)| (tenant.to_string(), id.to_string()));
        self.archived.keys().cloned().chain(items).collect()
    }

    /// It is the content that is stored. Of an event of which something was deleted it is one that was sent.
    fn may_be_delivered(&self, name: &Name, text: &str, sent: &[Sent]) -> bool {
        let mut delivered = sent.iter().filter(|sent| is_text_of(sent, text));
        if self.data.erased.find(name).is_some() {
            return delivered.next().is_some();
        }
        let lines = self.archived.get(name).map(Vec::as_slice).unwrap_or_default();
        delivered.any(|sent| lines.iter().any(|line| is_text_of(sent, &line.text)))
    }
}

/// The event of a message.
fn name(body: &str) -> Option<Name> {
    let facts = DispatchMessage::read(body).ok()?.line().ok()?.facts.into_owned();
    Some((facts.tenant.to_string(), facts.id.to_string()))
}
