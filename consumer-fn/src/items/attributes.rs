//! An item as it lies in its table: attributes by name.

use shared::blob::BlobRef;
use shared::key;

use super::Item;

/// The attribute that an item expires by, in Unix seconds: the table's time to live names it.
pub const EXPIRES_AT: &str = "expires_at";

/// The table's index by time, which holds the keys of items and no more: what lists of a tenant's events are read from.
pub const BY_RECEIVED_AT: &str = "by_received_at";
/// The index's partition key. An item without it is in no list.
pub const RECEIVED_PARTITION: &str = "received_partition";
/// The index's sort key.
pub const RECEIVED_AT: &str = "received_at";

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A string.
    Text(String),
    /// A whole number.
    Number(i64),
}

impl Item {
    /// The attributes, keys first; what the item does not have is not among them. Names are in the table for as long
    /// as items live: add at the end, never rename.
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        use Attribute::{Number, Text};
        let blob = |blob: &BlobRef| Text(serde_json::to_string(blob).expect("a reference always serialises"));
        let always = [
            ("pk", Text(key::item_partition(&self.tenant))),
            ("sk", Text(key::item_sort(&self.id))),
            ("source", Text(self.source.as_str().to_owned())),
            ("original_text", Text(self.original_text.clone())),
            ("modified_data", Text(self.modified_data.clone())),
            ("processed_at", Text(self.processed_at.to_string())),
            (RECEIVED_AT, Text(self.received_at.to_string())),
            ("tier", Text(self.tier.to_string())),
            ("fields", Text(self.fields.as_json().to_owned())),
            ("admission_id", Text(self.admission_id.to_string())),
            ("content_hash", Text(self.content_hash.clone())),
            ("shard", Text(self.origin.shard.to_string())),
            ("sequence_number", Text(self.origin.sequence_number.to_string())),
            ("position", Number(i64::from(self.origin.position))),
            (RECEIVED_PARTITION, Text(self.received_partition.clone())),
        ];
        let sometimes = [
            ("event_time", self.event_time.map(|time| Text(time.to_string()))),
            ("original_ref", self.original_ref.as_ref().map(blob)),
            ("modified_ref", self.modified_ref.as_ref().map(blob)),
            ("fields_ref", self.fields_ref.as_ref().map(blob)),
            (EXPIRES_AT, self.expires_at.map(Number)),
        ];
        always
            .into_iter()
            .chain(sometimes.into_iter().filter_map(|(name, value)| Some((name, value?))))
            .collect()
    }
}
