//! Reads items and the manifest, always strongly consistent: an audit of older data would report events as missing.

use std::collections::HashMap;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use consumer_fn::Attribute;
use consumer_fn::items::Existing;
use consumer_fn::items::dynamodb::read::{
    Attributes, PROJECTION, batch_get, existing, item_key, reserved_names, text as string,
};
use operate::deployment::{ItemPage, NamedItem};
use shared::format::key;
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::origin::ShardPosition;

use crate::error::described;

/// Throttled calls in a row before a command gives up.
const PATIENCE: u32 = 20;
/// Every manifest row's sort key is greater.
const FIRST_ROW: &str = "object/";
/// And less than this.
const ROWS_END: &str = "object0";

#[derive(Debug)]
pub(super) struct Tables {
    client: Client,
    items: String,
    ledger: String,
}

impl Tables {
    pub(super) fn new(sdk: &SdkConfig, items: String, ledger: String) -> Self {
        Self { client: Client::new(sdk), items, ledger }
    }

    pub(super) async fn manifest(
        &self,
        shard: &str,
        after: Option<&ShardPosition>,
    ) -> anyhow::Result<Vec<ManifestRow>> {
        let after = after.map_or(FIRST_ROW.to_owned(), sort_key);
        let query = self.client.query().table_name(&self.ledger).consistent_read(true);
        let query = query.key_condition_expression("pk = :shard AND sk > :after");
        let query = query.expression_attribute_values(":shard", text(key::ledger_partition(shard)));
        let page =
            query.expression_attribute_values(":after", text(after)).send().await.map_err(described)?;
        page.items.unwrap_or_default().iter().map(row).collect()
    }

    pub(super) async fn manifest_before(
        &self,
        shard: &str,
        end: Option<&ShardPosition>,
    ) -> anyhow::Result<Vec<ManifestRow>> {
        let query = self.backwards(shard, end.map_or(ROWS_END.to_owned(), sort_key));
        let page = query.send().await.map_err(described)?.items.unwrap_or_default();
        let rows: Vec<_> = page.iter().map(row).collect::<Result<_, _>>()?;
        Ok(rows.into_iter().filter(|row| end != Some(&row.first)).collect())
    }

    pub(super) async fn manifest_at(
        &self,
        shard: &str,
        position: &ShardPosition,
    ) -> anyhow::Result<Option<ManifestRow>> {
        let page = self.backwards(shard, sort_key(position)).limit(1).send().await.map_err(described)?;
        page.items.unwrap_or_default().first().map(row).transpose()
    }

    /// The manifest rows backwards from `last`, inclusive.
    fn backwards(&self, shard: &str, last: String) -> QueryFluentBuilder {
        let query = self.client.query().table_name(&self.ledger).consistent_read(true);
        let query = query.key_condition_expression("pk = :shard AND sk BETWEEN :first AND :last");
        let query = query.expression_attribute_values(":shard", text(key::ledger_partition(shard)));
        let query = query.expression_attribute_values(":first", text(FIRST_ROW.to_owned()));
        query.expression_attribute_values(":last", text(last)).scan_index_forward(false)
    }

    pub(super) async fn items(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Existing>>> {
        let keys = names.iter().map(|(tenant, id)| item_key(tenant, id));
        let read = batch_get(&self.client, &self.items, keys, PATIENCE).await.map_err(anyhow::Error::msg)?;
        let item = |item: &Attributes| named(item).map(|item| ((item.tenant, item.id), item.existing));
        let found: HashMap<_, _> = read.iter().map(item).collect::<Result<_, _>>()?;
        Ok(names.iter().map(|name| found.get(name).cloned()).collect())
    }

    pub(super) async fn list_items(&self, after: Option<String>) -> anyhow::Result<ItemPage> {
        let start = after.map(|after| {
            let [partition, sort]: [String; 2] =
                serde_json::from_str(&after).context("the cursor is of another list")?;
            anyhow::Ok([("pk".to_owned(), text(partition)), ("sk".to_owned(), text(sort))].into())
        });
        let scan = self.client.scan().table_name(&self.items).consistent_read(true);
        let scan = scan.set_expression_attribute_names(Some(reserved_names()));
        let scan = scan.projection_expression(PROJECTION).set_exclusive_start_key(start.transpose()?);
        let page = scan.send().await.map_err(described)?;
        let items = page.items.unwrap_or_default().iter().map(named).collect::<Result<_, _>>()?;
        let next = page.last_evaluated_key.map(|last| {
            let key = |name| string(&last, name).context("a page of items has no last key");
            anyhow::Ok(serde_json::to_string(&[key("pk")?, key("sk")?])?)
        });
        Ok(ItemPage { items, next: next.transpose()? })
    }
}

fn sort_key(mark: &ShardPosition) -> String {
    key::manifest_sort(&mark.sequence_number, mark.position)
}

fn text(text: String) -> AttributeValue {
    AttributeValue::S(text)
}

fn row(attributes: &Attributes) -> anyhow::Result<ManifestRow> {
    let attribute = |name: &str| match attributes.get(name)? {
        AttributeValue::S(text) => Some(Attribute::Text(text.clone())),
        AttributeValue::N(number) => Some(Attribute::Number(number.parse().ok()?)),
        _ => None,
    };
    Ok(ManifestRow::read(attribute)?)
}

fn named(attributes: &Attributes) -> anyhow::Result<NamedItem> {
    let read = || {
        let (tenant, id) = key::item_name(string(attributes, "pk")?, string(attributes, "sk")?)?;
        Some(NamedItem {
            tenant,
            id,
            existing: existing(attributes)?,
            received_at: serde_json::from_value(string(attributes, "received_at")?.into()).ok()?,
            expires_at: attributes.get("expires_at").and_then(|number| number.as_n().ok()?.parse().ok()),
        })
    };
    read().with_context(|| {
        let name = |key| string(attributes, key).unwrap_or("?");
        format!("the item {} {} was not written by Tidegate", name("pk"), name("sk"))
    })
}
