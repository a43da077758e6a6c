//! Compares an item with what else is stored of its event. Pure.

use std::collections::BTreeMap;

use consumer_fn::items::Item;
use serde_json::Value;
use serde_json::value::RawValue;
use shared::fields::Fields;
use shared::format::archive_line::ArchiveLine;
use shared::format::event_line::Event;
use shared::format::facts::Facts;
use shared::format::item::{DELIVERED, DISPATCH_STATUS, FAILED, HeldFields, HeldText, UnreadableItem};
use shared::id::AdmissionId;
use shared::origin::Origin;

use crate::archive::{SKEW, earlier};
use crate::deployment::{Attributes, attribute};

/// The last members of fields that may be constants of the configuration, of which the content hash knows nothing.
const MOST_CONSTANTS: usize = 64;
/// Items live whole days.
const DAY_SECONDS: i64 = 86_400;

/// An item with the attributes that it was read from.
pub(super) struct StoredItem {
    pub(super) item: Item,
    attributes: Attributes,
}

impl StoredItem {
    pub(super) fn read(attributes: Attributes) -> Result<Self, UnreadableItem> {
        let item = Item::read(|name| attribute(&attributes, name))?;
        Ok(Self { item, attributes })
    }

    /// Attributes that contradict each other.
    pub(super) fn contradictions(&self) -> Vec<&'static str> {
        let Self { item, attributes } = self;
        let Item { facts, processed_at, .. } = item;
        let is_cut = ["original_text_bytes", "modified_data_bytes", "fields_bytes"]
            .iter()
            .any(|name| attributes.contains_key(*name));
        let truncated = attributes.get("truncated").map_or(Some(false), Value::as_bool);
        let lives_from = facts.received_at.max(*processed_at).unix_ms() / 1_000;
        let partition = format!("tenants/{}", facts.tenant);
        let is_own = |of: &str| {
            let key = of.strip_prefix(&partition);
            key.is_some_and(|key| {
                key.is_empty() || key.strip_prefix('#').is_some_and(|n| n.parse::<u16>().is_ok())
            })
        };
        let status = attributes.get(DISPATCH_STATUS);
        let wrong = [
            ("truncated", truncated != Some(is_cut)),
            ("event_time", attributes.contains_key("event_time") && facts.event_time.is_none()),
            ("processed_at", *processed_at < earlier(facts.received_at, SKEW)),
            (
                "expires_at",
                item.expires_at.is_some_and(|at| at < lives_from || (at - lives_from) % DAY_SECONDS != 0),
            ),
            ("received_partition", item.received_partition.as_deref().is_some_and(|of| !is_own(of))),
            ("dispatch_status", status.is_some_and(|status| status != DELIVERED && status != FAILED)),
        ];
        wrong.into_iter().filter(|(_, is_wrong)| *is_wrong).map(|(name, _)| name).collect()
    }

    /// What it has otherwise than the whole archive line from the same origin. `constants` of the configuration may have
    /// replaced members of the client's; then the content hash cannot be computed again.
    pub(super) fn against_line(
        &self,
        line: &ArchiveLine<'_>,
        constants: &BTreeMap<String, Value>,
    ) -> Vec<&'static str> {
        let Self { item, .. } = self;
        // A repeated attempt, or a redrive, archives the line with the configuration of its own time.
        let is_of_one_attempt = item.processed_at == line.processed_at;
        let mut differs = of_facts(&item.facts, &line.facts, !is_of_one_attempt);
        let mut check = |name, is_same: bool| differs.extend((!is_same).then_some(name));
        let content = item.content.as_ref();
        if let (true, Some(content)) = (is_of_one_attempt, content) {
            let text = if content.modified_data.is_some() { "modified_data" } else { "original_text" };
            check(text, HeldText::of(&line.text) == *content.text());
            let fields = HeldFields::of(&line.fields, || content.fields.held.clone());
            check("fields_bytes", fields.whole_bytes == content.fields.whole_bytes);
            check("fields", fields.held == content.fields.held && has_all(&line.fields, &fields.held));
        }
        check("processed_at", earlier(item.processed_at, SKEW) <= line.processed_at);
        let held = content.map(|content| &content.original_text);
        let original = match &line.original_text {
            Some(original) => {
                check("original_text", held.is_none_or(|held| *held == HeldText::of(original)));
                Some(&**original)
            }
            None => held.filter(|held| held.whole_bytes.is_none()).map(|held| held.held.as_str()),
        };
        let is_replaced = constants.keys().any(|name| member(&line.fields, name));
        if let (Some(original), false) = (original, is_replaced) {
            let is_same = has_hash(original, &line.fields, &item.facts, &item.content_hash);
            check("original_text, fields or content_hash", is_same);
        }
        differs
    }

    /// What it has otherwise than the event on the stream from which it was stored. `text` is known unless the event is a
    /// head.
    pub(super) fn against_event(
        &self,
        event: &Event,
        origin: &Origin,
        text: Option<&str>,
    ) -> Vec<&'static str> {
        let Self { item, .. } = self;
        let mut differs = of_facts(&item.facts, &event.facts, is_of_foreign_producer(event, origin));
        let mut check = |name, is_same: bool| differs.extend((!is_same).then_some(name));
        check("content_hash", event.content_hash() == item.content_hash);
        if let (Some(text), Some(content)) = (text, &item.content) {
            check("original_text", HeldText::of(text) == content.original_text);
        }
        differs
    }
}

/// Its facts follow from its first origin; its tier, from the configuration.
pub(super) fn is_of_foreign_producer(event: &Event, origin: &Origin) -> bool {
    event.redrive_of.iter().chain([origin]).any(|Origin { shard, sequence_number, position }| {
        event.facts.admission_id == AdmissionId::of_foreign(shard, sequence_number, *position)
    })
}

/// The facts that two copies of an event do not share.
pub(super) fn of_facts(one: &Facts, other: &Facts, may_have_another_tier: bool) -> Vec<&'static str> {
    let same = [
        ("id", one.id == other.id),
        ("tenant", one.tenant == other.tenant),
        ("admission_id", one.admission_id == other.admission_id),
        ("tier", may_have_another_tier || one.tier == other.tier),
        ("source", one.source == other.source),
        ("received_at", one.received_at == other.received_at),
        ("event_time", one.event_time == other.event_time),
        ("trace", one.trace == other.trace),
    ];
    same.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
}

/// Whether the hash is of this text and these fields, with the configuration's constants after the client's members or
/// without constants, and whether the text was made from the fields or not.
fn has_hash(text: &str, fields: &Fields, facts: &Facts, hash: &str) -> bool {
    let mut event = Event::of_facts(facts.clone());
    text.clone_into(&mut event.text);
    event.is_message = hash.starts_with("message:");
    let mut fields = fields.clone();
    for _ in 0..=MOST_CONSTANTS {
        event.fields.clone_from(&fields);
        for is_flattened in [false, true] {
            event.is_flattened = is_flattened;
            if event.content_hash() == hash {
                return true;
            }
        }
        let Some(shorter) = fields.without_last() else { return false };
        fields = shorter;
    }
    false
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

fn members(fields: &Fields) -> Members<'_> {
    serde_json::from_str(fields.as_json()).unwrap_or_default()
}

fn member(fields: &Fields, name: &str) -> bool {
    members(fields).contains_key(name)
}

/// The item of large fields holds only the constants.
fn has_all(all: &Fields, some: &Fields) -> bool {
    let all = members(all);
    members(some)
        .into_iter()
        .all(|(name, value)| all.get(&name).is_some_and(|other| other.get() == value.get()))
}
