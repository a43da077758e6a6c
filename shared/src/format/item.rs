//! An item of the items table.

use super::facts::Facts;
use super::key;
use crate::fields::Fields;
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
    /// SHA-256 of the client's content ([`super::event_line::Event::content_hash`]).
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
    /// Its partition in the index by time ([`crate::partition::received_partition`]).
    pub received_partition: String,
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
            (RECEIVED_PARTITION, Text(self.received_partition.clone())),
        ];
        let sometimes = [
            ("event_time", self.facts.event_time.map(|time| Text(time.to_string()))),
            ("truncated", sizes.iter().any(Option::is_some).then_some(Flag(true))),
            ("original_text_bytes", self.original_text_bytes.map(Number)),
            ("modified_data_bytes", self.modified_data_bytes.map(Number)),
            ("fields_bytes", self.fields_bytes.map(Number)),
            (EXPIRES_AT, self.expires_at.map(Number)),
            ("trace", self.facts.trace.clone().map(Text)),
        ];
        always
            .into_iter()
            .chain(sometimes.into_iter().filter_map(|(name, value)| Some((name, value?))))
            .collect()
    }
}
