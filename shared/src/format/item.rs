//! An item of the items table.

#[cfg(any(test, feature = "fakes"))]
mod example;

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::facts::Facts;
use super::key;
use crate::fields::Fields;
use crate::id::AdmissionId;
use crate::origin::Origin;
use crate::time::Timestamp;

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
    /// The text as it came in, or the beginning of it.
    pub original_text: String,
    /// The text after the transform, or the beginning of it.
    pub modified_data: String,
    /// The client's other members and the configured constants; or the constants only.
    pub fields: Fields,
    /// The size of the whole original in bytes, if the item holds only the beginning. The archive has the whole.
    pub original_text_bytes: Option<i64>,
    /// The size of the whole transformed text in bytes, if the item holds only the beginning.
    pub modified_data_bytes: Option<i64>,
    /// The size of all fields in bytes, if the item holds only the constants.
    pub fields_bytes: Option<i64>,
    /// When the item may be deleted, in seconds since the Unix epoch; `None` for never. Its life begins when it is stored,
    /// or when its event was received, whichever is later.
    pub expires_at: Option<i64>,
    /// Its partition in the index by time ([`crate::partition::received_partition`]), where events are read back. An item
    /// without one is in no index.
    pub received_partition: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    Text(String),
    Number(i64),
    Flag(bool),
}

impl Item {
    /// The attributes, keys first, without those that the item does not have. Names are in the table for as long as items
    /// live: never renamed.
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        use Attribute::{Flag, Number, Text};
        let sizes = [self.original_text_bytes, self.modified_data_bytes, self.fields_bytes];
        let always = [
            ("pk", Text(key::item_partition(&self.facts.tenant))),
            ("sk", Text(key::item_sort(&self.facts.id))),
            ("source", Text(self.facts.source.as_str().to_owned())),
            ("original_text", Text(self.original_text.clone())),
            ("modified_data", Text(self.modified_data.clone())),
            ("processed_at", Text(self.processed_at.to_string())),
            (RECEIVED_AT, Text(self.facts.received_at.to_string())),
            ("tier", Text(self.facts.tier.to_string())),
            ("fields", Text(self.fields.as_json().to_owned())),
            ("admission_id", Text(self.facts.admission_id.to_string())),
            ("content_hash", Text(self.content_hash.clone())),
            ("shard", Text(self.origin.shard.to_string())),
            ("sequence_number", Text(self.origin.sequence_number.to_string())),
            ("position", Number(i64::from(self.origin.position))),
        ];
        let sometimes = [
            ("event_time", self.facts.event_time.map(|time| Text(time.to_string()))),
            ("truncated", sizes.iter().any(Option::is_some).then_some(Flag(true))),
            ("original_text_bytes", self.original_text_bytes.map(Number)),
            ("modified_data_bytes", self.modified_data_bytes.map(Number)),
            ("fields_bytes", self.fields_bytes.map(Number)),
            (EXPIRES_AT, self.expires_at.map(Number)),
            (RECEIVED_PARTITION, self.received_partition.clone().map(Text)),
            ("trace", self.facts.trace.clone().map(Text)),
        ];
        always
            .into_iter()
            .chain(sometimes.into_iter().filter_map(|(name, value)| Some((name, value?))))
            .collect()
    }

    /// Reads back [`Item::attributes`], by their names.
    pub fn read(attribute: impl Fn(&str) -> Option<Attribute>) -> Result<Self, UnreadableItem> {
        let unreadable = |name| UnreadableItem { attribute: name };
        let found = |name| match attribute(name) {
            Some(Attribute::Text(text)) => Some(text),
            _ => None,
        };
        let text = |name| found(name).ok_or(unreadable(name));
        let number = |name| match attribute(name) {
            Some(Attribute::Number(number)) => Some(number),
            _ => None,
        };
        let (tenant, id) = key::item_name(&text("pk")?, &text("sk")?).ok_or(unreadable("sk"))?;
        let admission = Uuid::parse_str(&text("admission_id")?).map_err(|_| unreadable("admission_id"))?;
        let position = number("position").and_then(|position| u32::try_from(position).ok());
        Ok(Self {
            facts: Facts {
                id,
                admission_id: AdmissionId(admission),
                tenant,
                tier: value(text("tier")?).ok_or(unreadable("tier"))?,
                source: value(text("source")?).ok_or(unreadable("source"))?,
                received_at: value(text(RECEIVED_AT)?).ok_or(unreadable(RECEIVED_AT))?,
                event_time: found("event_time").and_then(value),
                trace: found("trace"),
            },
            origin: Origin {
                shard: text("shard")?.into(),
                sequence_number: text("sequence_number")?.into(),
                position: position.ok_or(unreadable("position"))?,
            },
            content_hash: text("content_hash")?,
            processed_at: value(text("processed_at")?).ok_or(unreadable("processed_at"))?,
            original_text: text("original_text")?,
            modified_data: text("modified_data")?,
            fields: serde_json::from_str(&text("fields")?).map_err(|_| unreadable("fields"))?,
            original_text_bytes: number("original_text_bytes"),
            modified_data_bytes: number("modified_data_bytes"),
            fields_bytes: number("fields_bytes"),
            expires_at: number(EXPIRES_AT),
            received_partition: found(RECEIVED_PARTITION),
        })
    }

    /// Whether its life has ended. DynamoDB deletes it up to a few days later.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now.unix_ms() / 1_000)
    }
}

/// A value that is written as a text.
fn value<T: DeserializeOwned>(text: String) -> Option<T> {
    serde_json::from_value(text.into()).ok()
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the item cannot be read: its attribute `{attribute}` is missing or malformed")]
pub struct UnreadableItem {
    attribute: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(item: &Item, without: &str) -> Result<Item, UnreadableItem> {
        let attributes = item.attributes();
        Item::read(|name| {
            let found = attributes.iter().find(|(other, _)| *other == name && name != without);
            found.map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn an_item_is_read_as_it_was_written() {
        let whole = Item::example();
        assert_eq!(read(&whole, ""), Ok(whole.clone()));
        let mut small = whole;
        (small.facts.event_time, small.facts.trace) = (None, None);
        (small.original_text_bytes, small.modified_data_bytes, small.fields_bytes) = (None, None, None);
        (small.expires_at, small.received_partition) = (None, None);
        assert_eq!(read(&small, ""), Ok(small.clone()));
    }

    #[test]
    fn an_item_without_an_attribute_that_every_item_has_is_refused_by_its_name() {
        let mut small = Item::example();
        (small.facts.event_time, small.facts.trace) = (None, None);
        (small.original_text_bytes, small.modified_data_bytes, small.fields_bytes) = (None, None, None);
        (small.expires_at, small.received_partition) = (None, None);
        for (name, _) in small.attributes() {
            let error = read(&small, name).unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
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
