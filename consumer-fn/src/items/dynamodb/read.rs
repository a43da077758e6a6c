//! Reading items: what tells one from another, always strongly consistent. The operator's commands read by it, too.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, DisplayErrorContext};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use shared::format::item::{Attribute, EXPIRES_AT, IDENTITY, RECEIVED_AT};
use shared::format::key;
use shared::id::{EventId, TenantId};
use shared::limits;

use crate::items::Existing;

pub type Attributes = HashMap<String, AttributeValue>;

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

/// What is read of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What tells one from another.
    Identity,
    All,
}

/// What the calls ask for that read the items with these keys, 100 in each, strongly consistent. DynamoDB answers as many keys as
/// it can, and 16 MB at most; it names the others, which are requested again.
pub fn requests(
    table: &str,
    keys: impl Iterator<Item = (String, String)>,
    wanted: Wanted,
) -> Result<Vec<HashMap<String, KeysAndAttributes>>, BuildError> {
    let keys: Vec<_> = keys
        .map(|(partition, sort)| {
            let key = [("pk", partition), ("sk", sort)];
            Attributes::from(key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value))))
        })
        .collect();
    let (expression, names) = (wanted == Wanted::Identity).then(projection).unzip();
    let request = |keys: &[Attributes]| {
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys.to_vec()))
            .consistent_read(true)
            .set_expression_attribute_names(names.clone())
            .set_projection_expression(expression.clone())
            .build()?;
        Ok(HashMap::from([(table.to_owned(), request)]))
    };
    keys.chunks(limits::BATCH_GET_ITEMS).map(request).collect()
}

/// Reads what tells the items with these keys from others, in no order; those that do not exist are left out. A call that returns
/// no item and leaves some unread means that the table throttles: then it fails.
pub(super) async fn batch_get(
    client: &Client,
    table: &str,
    keys: impl Iterator<Item = (String, String)>,
) -> Result<Vec<Attributes>, String> {
    let requests = requests(table, keys, Wanted::Identity).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for mut unread in requests {
        while !unread.is_empty() {
            let call = client.batch_get_item().set_request_items(Some(unread));
            let output = call.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
            let before = found.len();
            found.extend(output.responses.unwrap_or_default().into_values().flatten());
            unread = output.unprocessed_keys.unwrap_or_default();
            if found.len() == before && !unread.is_empty() {
                return Err(format!("the table `{table}` throttles: not all items were read"));
            }
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
