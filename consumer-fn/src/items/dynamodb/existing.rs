//! The items that were in the way of an insert.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use shared::format::key;
use shared::id::AdmissionId;

use super::Attributes;
use crate::items::{Existing, Insert, Item};
use shared::origin::Origin;

/// What is read of an item.
const ATTRIBUTES: &str = "pk, sk, #shard, sequence_number, #position, admission_id, content_hash";

/// Reads items that exist.
pub(super) struct Reader<'a> {
    pub(super) client: &'a Client,
    pub(super) table: &'a str,
}

impl Reader<'_> {
    /// Reads the items with the keys of `items` (at most 25), strongly consistent. What could not be read is a failure: the
    /// insert is tried again, and says again that the item is there. So is one that is gone by now (its time to live
    /// ran out): the next attempt inserts it.
    pub(super) async fn read(&self, items: &[&Item]) -> Vec<Insert> {
        let mut found = HashMap::new();
        let mut why = "the item was there and is gone".to_owned();
        if !items.is_empty()
            && let Err(error) = self.read_into(&mut found, items).await
        {
            why = error;
        }
        let insert = |item: &&Item| match found.remove(&key_of(item)) {
            Some(existing) => Insert::Exists(existing),
            None => Insert::Failed(why.clone()),
        };
        items.iter().map(insert).collect()
    }

    async fn read_into(
        &self,
        found: &mut HashMap<(String, String), Existing>,
        items: &[&Item],
    ) -> Result<(), String> {
        let keys = items.iter().map(|item| {
            let (partition, sort) = key_of(item);
            Attributes::from([
                ("pk".to_owned(), AttributeValue::S(partition)),
                ("sk".to_owned(), AttributeValue::S(sort)),
            ])
        });
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys.collect()))
            .consistent_read(true)
            // Reserved words of DynamoDB.
            .expression_attribute_names("#shard", "shard")
            .expression_attribute_names("#position", "position")
            .projection_expression(ATTRIBUTES)
            .build()
            .map_err(|error| error.to_string())?;
        let mut unread = HashMap::from([(self.table.to_owned(), request)]);
        // DynamoDB answers what it can and names the rest. A call that brings nothing means that it cannot now.
        while !unread.is_empty() {
            let call = self.client.batch_get_item().set_request_items(Some(unread));
            let output = call.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
            let answered: Vec<_> = output.responses.unwrap_or_default().into_values().flatten().collect();
            unread = output.unprocessed_keys.unwrap_or_default();
            if answered.is_empty() && !unread.is_empty() {
                return Err("throttled: no item was read".to_owned());
            }
            found.extend(answered.iter().filter_map(|item| {
                Some(((text(item, "pk")?.to_owned(), text(item, "sk")?.to_owned()), existing(item)?))
            }));
        }
        Ok(())
    }
}

fn key_of(item: &Item) -> (String, String) {
    (key::item_partition(&item.facts.tenant), key::item_sort(&item.facts.id))
}

/// What tells an item from another, if it says so.
pub(super) fn existing(item: &Attributes) -> Option<Existing> {
    Some(Existing {
        origin: Origin {
            shard: text(item, "shard")?.into(),
            sequence_number: text(item, "sequence_number")?.into(),
            position: item.get("position")?.as_n().ok()?.parse().ok()?,
        },
        admission_id: AdmissionId(text(item, "admission_id")?.parse().ok()?),
        content_hash: text(item, "content_hash")?.to_owned(),
    })
}

fn text<'a>(item: &'a Attributes, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}
