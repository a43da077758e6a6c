//! The end of a run: what was accepted is stored once, or kept with its bytes, and nothing else is stored.

mod dispatched;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use base64_simd::STANDARD;
use consumer_fn::items::Item;
use serde_json::Value;
use shared::archive::each_line;
use shared::format::archive_line::ArchiveLine;
use shared::format::claim_check::ClaimCheck;
use shared::format::event_line;
use shared::format::key::FAILURE_DESTINATION;
use shared::format::quarantine_line::QuarantineLine;
use shared::id::{EventId, TenantId};
use shared::origin::Origin;

use crate::client::{ClientLog, Name, Sent, first_name};
use crate::data::Data;
use crate::oracle::Erased;
use crate::stores::DROPPED;
use crate::world::World;

struct Judge<'a> {
    data: &'a Data,
    /// Whether a failed batch was dropped, so that its records are only on the stream.
    has_dropped: bool,
    archived: BTreeMap<Name, Vec<ArchiveLine<'static>>>,
    quarantined: Vec<QuarantineLine>,
    wrong: Vec<String>,
}

pub(crate) fn judge(world: &World, log: &ClientLog) {
    let wrong = {
        let state = world.state();
        let mut judge = Judge {
            data: &state.data,
            has_dropped: state.coverage.contains_key(DROPPED),
            archived: BTreeMap::new(),
            quarantined: Vec::new(),
            wrong: Vec::new(),
        };
        judge.read();
        for (name, contents) in &log.events {
            judge.event(name, contents);
        }
        judge.renamed(log);
        judge.strangers(log);
        judge.garbage(log);
        if world.scenario().dispatch.is_some() {
            judge.dispatched(log);
        }
        judge.wrong
    };
    for wrong in wrong {
        world.violation(wrong);
    }
}

/// Whether an event is an item and an archive line.
pub(crate) fn is_stored(world: &World, name: &Name) -> bool {
    let state = world.state();
    let (archived, quarantined, wrong) = (BTreeMap::new(), Vec::new(), Vec::new());
    let mut judge = Judge { data: &state.data, has_dropped: false, archived, quarantined, wrong };
    judge.read();
    judge.archived.contains_key(name) && judge.item(name).is_some()
}

/// The origins of each event's archive lines.
pub(crate) fn origins(world: &World) -> BTreeMap<Name, Vec<Origin>> {
    let state = world.state();
    let (archived, quarantined, wrong) = (BTreeMap::new(), Vec::new(), Vec::new());
    let mut judge = Judge { data: &state.data, has_dropped: false, archived, quarantined, wrong };
    judge.read();
    let origins =
        |lines: Vec<ArchiveLine<'static>>| lines.into_iter().map(|line| line.origin.into_owned()).collect();
    judge.archived.into_iter().map(|(name, lines)| (name, origins(lines))).collect()
}

pub(crate) fn item_origin(world: &World, (tenant, id): &Name) -> Option<Origin> {
    let key = (TenantId::parse(tenant).ok()?, EventId::parse(id.as_str()).ok()?);
    world.state().data.items.get(&key).map(|item| item.origin.clone())
}

impl Judge<'_> {
    fn wrong(&mut self, what: impl Display) {
        self.wrong.push(what.to_string());
    }

    fn read(&mut self) {
        let data = self.data;
        for (key, object) in data.objects.iter().filter(|(key, _)| key.starts_with("events/")) {
            let mut lines = Vec::new();
            let read = each_line(&object.bytes, |line: ArchiveLine<'static>, _| lines.push(line));
            if let Err(error) = read {
                self.wrong(format_args!("{key}: {error}"));
            }
            for line in lines {
                let name = (line.facts.tenant.to_string(), line.facts.id.to_string());
                let erased = data.erased.find(&name);
                let line = match &line.claim_check {
                    None => Some(line),
                    Some(claim) => self.claimed(claim).and_then(|line| serde_json::from_slice(&line).ok()),
                };
                let Some(line) = line else {
                    if erased.is_some_and(|erased| erased.texts > 0) {
                        continue;
                    }
                    self.wrong(format_args!("{key}: the text of a line cannot be read"));
                    continue;
                };
                self.archived.entry(name).or_default().push(line);
            }
        }
        for (key, object) in data.objects.iter().filter(|(key, _)| key.starts_with("errors/")) {
            match QuarantineLine::read_all(&object.bytes) {
                Ok(lines) => self.quarantined.extend(lines),
                Err(error) => self.wrong(format_args!("{key}: {error}")),
            }
        }
    }

    fn claimed(&self, claim: &ClaimCheck) -> Option<Vec<u8>> {
        let parts = claim.part_keys().into_iter().map(|key| self.data.objects.get(&key));
        let parts: Option<Vec<_>> = parts.map(|part| Some(part?.bytes.clone())).collect();
        claim.line(&parts?).ok()
    }

    fn item(&self, (tenant, id): &Name) -> Option<&Item> {
        self.data.items.get(&(TenantId::parse(tenant).ok()?, EventId::parse(id.as_str()).ok()?))
    }

    /// All contents that were sent under one name.
    fn event(&mut self, name: &Name, contents: &[Sent]) {
        if let Some(erased) = self.data.erased.find(name) {
            return self.erased(name, contents, &erased);
        }
        let lines = self.archived.get(name).cloned().unwrap_or_default();
        let item = self.item(name).cloned();
        let is_accepted = contents.iter().any(|sent| sent.is_accepted);
        let (line, item) = match (&lines[..], item) {
            ([], None) if !is_accepted => return,
            ([line], Some(item)) => (line, item),
            (lines, item) => {
                let kept = contents
                    .iter()
                    .filter(|sent| sent.is_accepted)
                    .all(|sent| self.is_quarantined(name, sent));
                let origins: Vec<_> = lines.iter().map(|line| line.origin.to_string()).collect();
                self.wrong(format_args!(
                    "{name:?} has {} archive lines ({origins:?}), and {} item; accepted: {is_accepted}, in quarantine: {kept}",
                    lines.len(),
                    if item.is_some() { "an" } else { "no" },
                ));
                return;
            }
        };
        let Some(stored) = contents.iter().find(|sent| is_of(sent, &item, line)) else {
            self.wrong(format_args!("{name:?}: its item has a text that was not sent"));
            return;
        };
        let content = item.content.as_ref();
        let text = content.map_or(&*line.text, |content| &content.text().held);
        if ![text, &*line.text].iter().all(|text| is_text_of(stored, text)) {
            self.wrong(format_args!("{name:?}: item and line do not have the same text"));
        }
        let n =
            |fields: &str| serde_json::from_str::<Value>(fields).ok().and_then(|fields| fields["n"].as_u64());
        let fields = content.map_or(&*line.fields, |content| &content.fields.held);
        if [fields, &*line.fields].iter().any(|fields| n(fields.as_json()) != Some(stored.n)) {
            self.wrong(format_args!("{name:?}: item and line do not have the fields that were sent"));
        }
        if *line.origin != item.origin || line.facts.admission_id != item.facts.admission_id {
            self.wrong(format_args!(
                "{name:?}: the line is of {} and the item of {}",
                line.origin, item.origin
            ));
        }
        for other in contents.iter().filter(|sent| sent.is_accepted && sent.text != stored.text) {
            if !self.is_quarantined(name, other) {
                self.wrong(format_args!("{name:?}: another content was accepted and is not in quarantine"));
            }
        }
    }

    /// All contents that were sent under one name of which something was deleted by hand.
    fn erased(&mut self, name: &Name, contents: &[Sent], erased: &Erased) {
        let of_event = |(other, _): &(&Name, _)| first_name(other) == *name;
        let lines: Vec<_> =
            self.archived.iter().filter(of_event).flat_map(|(_, lines)| lines.clone()).collect();
        if !erased.lines(contents.len()).contains(&lines.len()) {
            self.wrong(format_args!("{name:?} has {} archive lines after {erased:?}", lines.len()));
        }
        for line in &lines {
            if !contents.iter().any(|sent| is_text_of(sent, &line.text)) {
                self.wrong(format_args!("{name:?}: a line has a text that was not sent, after {erased:?}"));
            }
        }
        if let Some(content) = self.item(name).and_then(|item| item.content.clone())
            && !contents.iter().any(|sent| sent.text == content.original_text.held)
        {
            self.wrong(format_args!("{name:?}: its item has a text that was not sent, after {erased:?}"));
        }
        for sent in contents.iter().filter(|sent| sent.is_accepted && !erased.may_be_gone(&sent.text)) {
            let is_archived = lines.iter().any(|line| is_text_of(sent, &line.text));
            let is_kept = self.is_quarantined(name, sent)
                || erased.may_have_lost_its_text() && self.is_saved_without_text(name);
            if !is_archived && !is_kept {
                self.wrong(format_args!(
                    "{name:?}: an accepted content is in none of archive and quarantine after {erased:?}"
                ));
            }
        }
    }

    /// Whether a head of this name is in quarantine, at the failure destination, or only on the stream, where the redrive leaves it.
    fn is_saved_without_text(&self, name: &Name) -> bool {
        let is_named = |line: &QuarantineLine| {
            line.tenant.as_ref().is_some_and(|tenant| tenant.as_str() == name.0)
                && line.id.as_ref().is_some_and(|id| id.as_str() == name.1)
        };
        let mut failed =
            self.data.objects.keys().filter(|key| key.starts_with(FAILURE_DESTINATION)).peekable();
        self.has_dropped || self.quarantined.iter().any(is_named) || failed.peek().is_some()
    }

    fn is_quarantined(&self, name: &Name, sent: &Sent) -> bool {
        self.quarantined.iter().any(|line| {
            let is_named = line.tenant.as_ref().is_some_and(|tenant| tenant.as_str() == name.0)
                && line.id.as_ref().is_some_and(|id| id.as_str() == name.1);
            let event = || serde_json::from_slice::<event_line::Event>(&line.bytes).ok();
            is_named && event().is_some_and(|event| self.text(event).as_ref() == Some(&sent.text))
        })
    }

    fn text(&self, event: event_line::Event) -> Option<String> {
        match &event.claim_check {
            None => Some(event.text),
            Some(claim) => {
                Some(serde_json::from_slice::<event_line::Event>(&self.claimed(claim)?).ok()?.text)
            }
        }
    }

    /// What was redriven under a new id is stored once, as it was sent.
    fn renamed(&mut self, log: &ClientLog) {
        let renamed = self.archived.iter().filter(|((_, id), _)| id.contains('#'));
        let mut seen = BTreeSet::new();
        let mut wrong = Vec::new();
        for (name, lines) in renamed {
            if self.data.erased.find(name).is_some() {
                continue;
            }
            let sent = log.events.get(&first_name(name)).into_iter().flatten();
            let item = self.item(name);
            let sent = sent.into_iter().find(|sent| item.is_some_and(|item| is_of(sent, item, &lines[0])));
            let is_first = sent.is_some_and(|sent| seen.insert((first_name(name), sent.text.clone())));
            if !is_first || lines.len() != 1 || item.is_none_or(|item| item.origin != *lines[0].origin) {
                wrong.push(format!("{name:?} is not stored once as it was sent: {} lines", lines.len()));
            }
        }
        self.wrong.extend(wrong);
    }

    /// Nothing is stored that was not sent.
    fn strangers(&mut self, log: &ClientLog) {
        let lines = self.archived.keys().cloned();
        let items = self.data.items.keys().map(|(tenant, id)| (tenant.to_string(), id.to_string()));
        let strange: Vec<_> =
            lines.chain(items).filter(|name| !log.events.contains_key(&first_name(name))).collect();
        for name in strange {
            self.wrong(format_args!("{name:?} is stored and was not sent"));
        }
    }

    /// What cannot be read is in quarantine or at the failure destination, with its bytes.
    fn garbage(&mut self, log: &ClientLog) {
        let data = self.data;
        let is_saved = |bytes: &[u8]| {
            let data_of = format!(r#"\"data\":\"{}\""#, STANDARD.encode_to_string(bytes));
            let saved = data.objects.iter().filter(|(key, _)| key.starts_with(FAILURE_DESTINATION));
            saved.into_iter().any(|(_, object)| String::from_utf8_lossy(&object.bytes).contains(&data_of))
        };
        for bytes in &log.garbage {
            if !self.quarantined.iter().any(|line| line.bytes == *bytes) && !is_saved(bytes) {
                self.wrong("a record that cannot be read is saved nowhere with its bytes");
            }
        }
    }
}

/// Whether the item is of what was sent. One without content is known by its line.
fn is_of(sent: &Sent, item: &Item, line: &ArchiveLine<'_>) -> bool {
    match &item.content {
        Some(content) => content.original_text.held == sent.text,
        None => is_text_of(sent, &line.text),
    }
}

/// Whether it is the text that was sent, as one of the configurations transforms it.
fn is_text_of(sent: &Sent, text: &str) -> bool {
    let redacted = redacted(&sent.text);
    text == sent.text || text == redacted || text == redacted.to_uppercase()
}

fn redacted(text: &str) -> String {
    text.replace("555-0199", "[REDACTED]")
}
