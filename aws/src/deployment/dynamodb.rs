//! Manifest rows, items and cursors as DynamoDB returns them, and calls for many items.

use std::collections::BTreeSet;

use anyhow::Context;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use consumer_fn::items::dynamodb::read::{Attributes, Wanted, item_key, requests, text as string};
use ingest_fn::reads::dynamodb::attribute;
use operate::deployment::{NamedItem, NotedRow, UnreadableRow};
use shared::format::key;
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::origin::ShardPosition;

use crate::patience::{patiently, wait};

/// Every manifest row's sort key is greater.
pub(super) const FIRST_ROW: &str = "object/";
/// And less than this.
pub(super) const ROWS_END: &str = "object0";

pub(super) fn sort_key(position: &ShardPosition) -> String {
    key::manifest_sort(&position.sequence_number, position.position)
}

/// Less than every row's sort key after the position, and greater than its own. A row that a query excludes by its key is
/// not read, and costs nothing: `tail` asks each second.
pub(super) fn sort_key_after(position: &ShardPosition) -> String {
    sort_key(position) + "!"
}

pub(super) fn text(text: String) -> AttributeValue {
    AttributeValue::S(text)
}

/// Reads the items with these names, in no order; those that do not exist are left out. It waits as long as the table throttles.
pub(super) async fn batch_get(
    client: &Client,
    table: &str,
    names: &[(TenantId, EventId)],
    wanted: Wanted,
) -> anyhow::Result<Vec<Attributes>> {
    // A call that names a key twice is refused.
    let keys: BTreeSet<_> = names.iter().map(|(tenant, id)| item_key(tenant, id)).collect();
    let mut found = Vec::new();
    for mut unread in requests(table, keys.into_iter(), wanted)? {
        let mut failures = 0;
        while !unread.is_empty() {
            let call = client.batch_get_item().set_request_items(Some(unread));
            let output = patiently(async |_| call.clone().send().await).await?;
            let before = found.len();
            found.extend(output.responses.unwrap_or_default().into_values().flatten());
            unread = output.unprocessed_keys.unwrap_or_default();
            failures = if found.len() > before { 0 } else { failures + 1 };
            if failures > 0 && !unread.is_empty() {
                wait(failures).await;
            }
        }
    }
    Ok(found)
}

/// One page.
pub(super) async fn rows(query: QueryFluentBuilder) -> anyhow::Result<Vec<NotedRow>> {
    let page = patiently(async |_| query.clone().send().await).await?;
    Ok(page.items.unwrap_or_default().iter().map(row).collect())
}

/// The cursor of the page after the item with this key.
pub(super) fn cursor(last: &Attributes) -> anyhow::Result<String> {
    let key = |name| string(last, name).context("a page of items has no last key");
    Ok(serde_json::to_string(&[key("pk")?, key("sk")?])?)
}

/// The key in a cursor.
pub(super) fn start(cursor: &str) -> anyhow::Result<Attributes> {
    let [partition, sort]: [String; 2] =
        serde_json::from_str(cursor).context("the cursor is of another list")?;
    Ok([("pk".to_owned(), text(partition)), ("sk".to_owned(), text(sort))].into())
}

fn row(attributes: &Attributes) -> NotedRow {
    let [partition, sort] = keys(attributes);
    let read = ManifestRow::read(|name| attribute(attributes, name));
    read.map_err(|why| UnreadableRow::new(partition, sort, &why))
}

pub(super) fn keys(attributes: &Attributes) -> [&str; 2] {
    ["pk", "sk"].map(|name| string(attributes, name).unwrap_or("?"))
}

/// The attributes of the types that items have.
pub(super) fn plain(attributes: &Attributes) -> operate::deployment::Attributes {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => Some(text.as_str().into()),
        AttributeValue::N(number) => Some(number.parse::<i64>().ok()?.into()),
        AttributeValue::Bool(flag) => Some((*flag).into()),
        _ => None,
    };
    attributes.iter().filter_map(|(name, found)| Some((name.clone(), value(found)?))).collect()
}

pub(super) fn named(attributes: &Attributes) -> Result<NamedItem, UnreadableRow> {
    NamedItem::read(|name| attribute(attributes, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_without_an_attribute_or_with_another_type_or_value_is_named_by_its_key() {
        let texts = [
            ("pk", "tenants/acme"),
            ("sk", "processed_logs/1"),
            ("origin", "0:49"),
            ("admission", "AAAAAAAAAAAAAAAAAAAAAQ"),
            ("hash", "ab"),
            ("received_at", "2026-11-21T09:30:00Z"),
        ];
        let whole: Attributes = texts.map(|(name, value)| (name.to_owned(), text(value.to_owned()))).into();
        assert!(named(&whole).is_ok());
        for name in whole.keys() {
            let other = (name != "hash").then(|| text("?".to_owned()));
            for value in [None, Some(AttributeValue::Bool(true)), other] {
                let mut item = whole.clone();
                item.remove(name);
                item.extend(value.map(|value| (name.clone(), value)));
                let error = named(&item).unwrap_err().to_string();
                let key = if name == "sk" { "tenants/acme" } else { "processed_logs/1" };
                assert!(error.contains(key), "{name}: {error}");
            }
        }
    }

    #[test]
    fn the_key_after_a_row_is_between_it_and_every_later_row() {
        let position = ShardPosition::new("99", 2);
        let after = sort_key_after(&position);
        assert!(sort_key(&position) < after);
        for (number, position) in [("99", 3), ("99", 20), ("100", 0)] {
            assert!(after < sort_key(&ShardPosition::new(number, position)));
        }
        assert!(after.as_str() < ROWS_END);
    }
}
