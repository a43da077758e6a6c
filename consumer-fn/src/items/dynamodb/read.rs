//! Reading items: what tells one from another, always strongly consistent. The operator's commands read by it, too.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use shared::backoff::Backoff;
use shared::format::item::{Attribute, EXPIRES_AT, IDENTITY, RECEIVED_AT};
use shared::format::key;
use shared::id::{EventId, TenantId};
use shared::limits;

use crate::items::Existing;

pub type Attributes = HashMap<String, AttributeValue>;

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), cap: Duration::from_secs(2) };

/// What is read of an item: an expression, and the names in it. DynamoDB reserves some of them as words.
pub fn projection() -> (String, HashMap<String, String>) {
    let names = [key::PARTITION_ATTRIBUTE, key::SORT_ATTRIBUTE, RECEIVED_AT, EXPIRES_AT];
    let names = names.into_iter().chain(IDENTITY).map(|name| (format!("#{name}"), name.to_owned()));
    let names: Vec<_> = names.collect();
    let expression: Vec<_> = names.iter().map(|(placeholder, _)| placeholder.as_str()).collect();
    (expression.join(", "), names.into_iter().collect())
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
    let (expression, names) = projection();
    let mut found = Vec::new();
    for keys in keys.chunks(limits::BATCH_GET_ITEMS) {
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys.to_vec()))
            .consistent_read(true)
            .set_expression_attribute_names(Some(names.clone()))
            .projection_expression(&expression)
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
    Existing::read(|name| Some(Attribute::Text(text(item, name)?.to_owned()))).ok()
}

pub(crate) fn number(item: &Attributes, name: &str) -> Option<u32> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// A string attribute.
pub fn text<'a>(item: &'a Attributes, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}
