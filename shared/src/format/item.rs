//! An item of the items table. `docs/items.md` has every attribute with its size.

mod attribute;
mod content;
#[cfg(any(test, feature = "fakes"))]
mod example;
pub mod short;

use serde::de::DeserializeOwned;

pub use self::attribute::{Attribute, bytes};
pub use self::content::{HeldContent, HeldFields, HeldText};
use super::facts::Facts;
use super::key;
use crate::fields::Fields;
use crate::id::AdmissionId;
use crate::origin::Origin;
use crate::time::Timestamp;

/// The attribute of the origin: the one that a redrive changes.
pub const ORIGIN: &str = "origin";
const ADMISSION: &str = "admission";
const HASH: &str = "hash";

/// What tells an item from another: the attributes of [`Existing`].
pub const IDENTITY: [&str; 3] = [ORIGIN, ADMISSION, HASH];

/// When an item expires, in Unix seconds: the attribute of the table's time to live.
pub const EXPIRES_AT: &str = "expires_at";

/// The table's index by time. It holds only the keys of items.
pub const BY_RECEIVED_AT: &str = "by_received_at";
/// The index's partition key. An item without it is not in the index.
pub const RECEIVED_PARTITION: &str = "received_partition";
/// The index's sort key.
pub const RECEIVED_AT: &str = "received_at";

/// What became of the event's dispatch: [`DELIVERED`] or [`FAILED`]. An item without it is not dispatched yet. The dispatcher
/// writes this and the next two, the consumer none of them.
pub const DISPATCH_STATUS: &str = "dispatch_status";
/// How many calls were made for the event.
pub const DISPATCH_ATTEMPTS: &str = "dispatch_attempts";
/// Why the last call failed.
pub const DISPATCH_REASON: &str = "dispatch_reason";

/// The target took the event.
pub const DELIVERED: &str = "delivered";
/// The event is a dead letter.
pub const FAILED: &str = "failed";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub facts: Facts,
    /// The one origin that the event is archived from.
    pub origin: Origin,
    /// What the event is compared by with others of its id ([`super::content_hash`]).
    pub content_hash: String,
    pub processed_at: Timestamp,
    /// `None` if it is in the archive only.
    pub content: Option<HeldContent>,
    /// When the item may be deleted, in seconds since the Unix epoch; `None` for never. Its life begins when it is stored,
    /// or when its event was received, whichever is later.
    pub expires_at: Option<i64>,
    /// Its partition in the index by time ([`crate::partition::received_partition`]), where events are read back. An item
    /// without one is in no index.
    pub received_partition: Option<String>,
}

/// What is compared of an item with an event that has its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    pub origin: Origin,
    pub admission_id: AdmissionId,
    pub content_hash: String,
}

impl Existing {
    /// Reads it from the attributes of an item, by their names ([`IDENTITY`]).
    pub fn read(attribute: impl Fn(&str) -> Option<Attribute>) -> Result<Self, UnreadableItem> {
        let text =
            |name| attribute(name).and_then(Attribute::into_text).ok_or(UnreadableItem { attribute: name });
        Ok(Self {
            origin: short::read_origin(&text(ORIGIN)?).ok_or(UnreadableItem { attribute: ORIGIN })?,
            admission_id: short::read_admission(&text(ADMISSION)?)
                .ok_or(UnreadableItem { attribute: ADMISSION })?,
            content_hash: text(HASH)?,
        })
    }
}

/// What an insert finds if this item is there.
impl From<&Item> for Existing {
    fn from(item: &Item) -> Self {
        Self {
            origin: item.origin.clone(),
            admission_id: item.facts.admission_id,
            content_hash: item.content_hash.clone(),
        }
    }
}

impl Item {
    /// The attributes, keys first, without those that the item does not have. Names are in the table for as long as items
    /// live: never renamed.
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        use Attribute::{Flag, Number, Text};
        let always = [
            ("pk", Text(key::item_partition(&self.facts.tenant))),
            ("sk", Text(key::item_sort(&self.facts.id))),
            ("source", Text(self.facts.source.as_str().to_owned())),
            ("tier", Text(self.facts.tier.as_str().to_owned())),
            (RECEIVED_AT, Text(self.facts.received_at.written().as_str().to_owned())),
            ("processed_at", Text(self.processed_at.written().as_str().to_owned())),
            (ORIGIN, Text(short::origin(&self.origin))),
            (ADMISSION, Text(short::admission(self.facts.admission_id))),
            (HASH, Text(self.content_hash.clone())),
        ];
        let content = self.content.as_ref();
        let original = content.map(|content| &content.original_text);
        let modified = content.and_then(|content| content.modified_data.as_ref());
        let fields = content.map(|content| &content.fields);
        let sizes = [
            original.and_then(|text| text.whole_bytes),
            modified.and_then(|text| text.whole_bytes),
            fields.and_then(|fields| fields.whole_bytes),
        ];
        let held = |text: &HeldText| Text(text.held.clone());
        let fields = fields.map(|fields| &fields.held).filter(|fields| !fields.is_empty());
        let sometimes = [
            ("original_text", original.map(held)),
            ("modified_data", modified.map(held)),
            ("fields", fields.map(|fields| Text(fields.as_json().to_owned()))),
            ("event_time", self.facts.event_time.map(|time| Text(time.to_string()))),
            ("truncated", sizes.iter().any(Option::is_some).then_some(Flag(true))),
            ("original_text_bytes", sizes[0].map(Number)),
            ("modified_data_bytes", sizes[1].map(Number)),
            ("fields_bytes", sizes[2].map(Number)),
            (EXPIRES_AT, self.expires_at.map(Number)),
            (RECEIVED_PARTITION, self.received_partition.clone().map(Text)),
            ("trace", self.facts.trace.clone().map(Text)),
        ];
        let mut attributes = Vec::with_capacity(always.len() + sometimes.len());
        attributes.extend(always);
        attributes.extend(sometimes.into_iter().filter_map(|(name, value)| Some((name, value?))));
        attributes
    }

    /// Reads back [`Item::attributes`], by their names.
    pub fn read(attribute: impl Fn(&str) -> Option<Attribute>) -> Result<Self, UnreadableItem> {
        let unreadable = |name| UnreadableItem { attribute: name };
        let found = |name| attribute(name).and_then(Attribute::into_text);
        let text = |name| found(name).ok_or(unreadable(name));
        let (tenant, id) = key::item_name(&text("pk")?, &text("sk")?).ok_or(unreadable("sk"))?;
        let Existing { origin, admission_id, content_hash } = Existing::read(&attribute)?;
        Ok(Self {
            facts: Facts {
                id,
                admission_id,
                tenant,
                tier: value(text("tier")?).ok_or(unreadable("tier"))?,
                source: value(text("source")?).ok_or(unreadable("source"))?,
                received_at: value(text(RECEIVED_AT)?).ok_or(unreadable(RECEIVED_AT))?,
                event_time: found("event_time").and_then(value),
                trace: found("trace"),
            },
            origin,
            content_hash,
            processed_at: value(text("processed_at")?).ok_or(unreadable("processed_at"))?,
            content: read_content(&attribute)?,
            expires_at: attribute(EXPIRES_AT).and_then(|at| at.number()),
            received_partition: found(RECEIVED_PARTITION),
        })
    }

    /// Whether its life has ended. DynamoDB deletes it up to a few days later.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now.unix_ms() / 1_000)
    }
}

fn read_content(
    attribute: &impl Fn(&str) -> Option<Attribute>,
) -> Result<Option<HeldContent>, UnreadableItem> {
    let [original, modified, fields] = ["original_text", "modified_data", "fields"]
        .map(|name| attribute(name).and_then(Attribute::into_text));
    let sizes = ["original_text_bytes", "modified_data_bytes", "fields_bytes"]
        .map(|name| attribute(name).and_then(|bytes| bytes.number()));
    let Some(original) = original else {
        let has_none = modified.is_none() && fields.is_none() && sizes == [None; 3];
        return if has_none { Ok(None) } else { Err(UnreadableItem { attribute: "original_text" }) };
    };
    if modified.is_none() && sizes[1].is_some() {
        return Err(UnreadableItem { attribute: "modified_data" });
    }
    let fields = fields.map_or_else(|| Ok(Fields::empty()), |fields| serde_json::from_str(&fields));
    Ok(Some(HeldContent {
        original_text: HeldText { held: original, whole_bytes: sizes[0] },
        modified_data: modified.map(|held| HeldText { held, whole_bytes: sizes[1] }),
        fields: HeldFields {
            held: fields.map_err(|_| UnreadableItem { attribute: "fields" })?,
            whole_bytes: sizes[2],
        },
    }))
}

/// A value that is written as a text.
fn value<T: DeserializeOwned>(text: String) -> Option<T> {
    serde_json::from_value(text.into()).ok()
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the item cannot be read: its attribute `{attribute}` is missing or malformed")]
pub struct UnreadableItem {
    pub attribute: &'static str,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::ItemContent;

    fn read(item: &Item, without: &str) -> Result<Item, UnreadableItem> {
        let attributes = item.attributes();
        Item::read(|name| {
            let found = attributes.iter().find(|(other, _)| *other == name && name != without);
            found.map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn an_item_is_read_as_it_was_written() {
        for item in [Item::example(), Item::smallest()] {
            assert_eq!(read(&item, ""), Ok(item));
        }
        let mut item = Item::smallest();
        let content =
            HeldContent::new(ItemContent::Changed, "same", "same", &Fields::empty(), Fields::empty).unwrap();
        assert_eq!(content.text().held, "same");
        item.content = Some(content);
        assert_eq!(read(&item, ""), Ok(item.clone()));
        let names: Vec<_> = item.attributes().into_iter().map(|(name, _)| name).skip(9).collect();
        assert_eq!(names, ["original_text"], "neither the same text again nor empty fields");
    }

    #[test]
    fn an_item_without_an_attribute_that_every_item_has_is_refused_by_its_name() {
        for (name, _) in Item::smallest().attributes() {
            let error = read(&Item::smallest(), name).unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn an_item_with_a_part_of_its_content_only_is_refused() {
        assert_eq!(
            read(&Item::example(), "original_text"),
            Err(UnreadableItem { attribute: "original_text" })
        );
        assert_eq!(
            read(&Item::example(), "modified_data"),
            Err(UnreadableItem { attribute: "modified_data" })
        );
    }

    #[test]
    fn the_identity_is_read_from_its_attributes_alone() {
        let item = Item::example();
        let identity: Vec<_> =
            item.attributes().into_iter().filter(|(name, _)| IDENTITY.contains(name)).collect();
        assert_eq!(identity.len(), IDENTITY.len());
        let of =
            |name: &str| identity.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone());
        assert_eq!(Existing::read(of), Ok(Existing::from(&item)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_item_is_read_as_it_was_written_whatever_it_has(
            original in text(), text in proptest::option::of(text()), fields in prop_oneof![Just(0), 1..100_usize, 59_990..60_010_usize],
            with_constants: bool, content in 0..3_usize,
        ) {
            use ItemContent::{Both, Changed, Reference};
            let fields = if fields == 0 { "{}".to_owned() } else { format!("{{\"é\":\"{}\"}}", "x".repeat(fields)) };
            let fields: Fields = serde_json::from_str(&fields).unwrap();
            let constants = || if with_constants { serde_json::from_str("{\"c\":1}").unwrap() } else { Fields::empty() };
            let text = text.unwrap_or_else(|| original.clone());
            let held = HeldContent::new([Both, Changed, Reference][content], &original, &text, &fields, constants);
            // Each mode has what it says, and gives the same text.
            if let Some(held) = &held {
                prop_assert_eq!(held.text(), &HeldText::of(&text));
                prop_assert_eq!(&held.original_text, &HeldText::of(&original));
                prop_assert_eq!(held.modified_data.is_none(), content == 1 && text == original);
            }
            prop_assert_eq!(held.is_none(), content == 2);
            for mut item in [Item::example(), Item::smallest()] {
                item.content = held.clone();
                prop_assert_eq!(read(&item, ""), Ok(item));
            }
        }
    }

    /// Short ones, and some around the most that an item has.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![".{0,20}", (149_990..150_010_usize).prop_map(|bytes| format!("{}é!", "a".repeat(bytes)))]
    }

    #[test]
    fn an_item_expires_at_its_second() {
        let mut item = Item::example();
        let at = Timestamp::from_unix_ms;
        assert!(!item.is_expired(at(1_799_999_999_999)) && item.is_expired(at(1_800_000_000_000)));
        item.expires_at = None;
        assert!(!item.is_expired(at(i64::MAX)));
    }
}
