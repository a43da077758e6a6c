//! Reading items: what tells one from another, always strongly consistent. The operator's commands read by it, too.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use shared::backoff::Backoff;
use shared::format::key;
use shared::id::{AdmissionId, EventId, TenantId};
use shared::limits;
use shared::origin::Origin;

use crate::items::Existing;

pub type Attributes = HashMap<String, AttributeValue>;

/// What is read of an item.
pub const PROJECTION: &str =
    "pk, sk, #shard, sequence_number, #position, admission_id, content_hash, received_at, expires_at";

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), cap: Duration::from_secs(2) };

/// The words in [`PROJECTION`] that DynamoDB reserves.
pub fn reserved_names() -> HashMap<String, String> {
    ["shard", "position"].map(|name| (format!("#{name}"), name.to_owned())).into()
}

/// An item's key: `pk` and `sk`.
pub fn item_key(tenant: &TenantId, id: &EventId) -> (String, String) {
    (key::item_partition(tenant), key::item_sort(id))
}

/// Reads the items with these keys, in no order; those that do not exist are left out.
///
/// DynamoDB answers as many keys as it can and names the others, which are requested again. A call that returns no item means
/// that the table throttles. After more than `patience` such calls in a row the read fails.
pub async fn batch_get(
    client: &Client,
    table: &str,
    keys: impl Iterator<Item = (String, String)>,
    patience: u32,
) -> Result<Vec<Attributes>, String> {
    let keys: Vec<_> = keys
        .map(|(partition, sort)| {
            let key = [("pk", partition), ("sk", sort)];
            Attributes::from(key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value))))
        })
        .collect();
    let mut found = Vec::new();
    for keys in keys.chunks(limits::BATCH_GET_ITEMS) {
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys.to_vec()))
            .consistent_read(true)
            .set_expression_attribute_names(Some(reserved_names()))
            .projection_expression(PROJECTION)
            .build()
            .map_err(|error| error.to_string())?;
        let mut unread = HashMap::from([(table.to_owned(), request)]);
        let mut failures = 0;
        while !unread.is_empty() {
            let call = client.batch_get_item().set_request_items(Some(unread));
            let output = call.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
            let answered = output.responses.unwrap_or_default().into_values().flatten();
            let before = found.len();
            found.extend(answered);
            unread = output.unprocessed_keys.unwrap_or_default();
            if found.len() > before || unread.is_empty() {
                failures = 0;
                continue;
            }
            failures += 1;
            if failures > patience {
                return Err(format!("the table `{table}` throttles: not all items were read"));
            }
            tokio::time::sleep(BACKOFF.jittered(failures)).await;
        }
    }
    Ok(found)
}

/// What tells an item from another, if it has all of it.
pub fn existing(item: &Attributes) -> Option<Existing> {
    Some(Existing {
        origin: Origin {
            shard: text(item, "shard")?.into(),
            sequence_number: text(item, "sequence_number")?.into(),
            position: number(item, "position")?,
        },
        admission_id: AdmissionId(text(item, "admission_id")?.parse().ok()?),
        content_hash: text(item, "content_hash")?.to_owned(),
    })
}

pub(crate) fn number(item: &Attributes, name: &str) -> Option<u32> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// A string attribute.
pub fn text<'a>(item: &'a Attributes, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}
