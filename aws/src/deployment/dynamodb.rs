//! Reads items and the manifest, always strongly consistent: an audit of older data would report events as missing.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use consumer_fn::Attribute;
use consumer_fn::items::Existing;
use operate::deployment::{ItemPage, NamedItem};
use shared::format::key;
use shared::format::manifest_row::ManifestRow;
use shared::id::{AdmissionId, EventId, TenantId};
use shared::origin::{Origin, ShardPosition};

use crate::error::described;

const ATTRIBUTES: &str =
    "pk, sk, #shard, sequence_number, #position, admission_id, content_hash, received_at, expires_at";
/// Words that DynamoDB reserves.
const RESERVED: [(&str, &str); 2] = [("#shard", "shard"), ("#position", "position")];
/// Items in one call of `BatchGetItem`.
const CALL_ITEMS: usize = 100;
/// The wait before unprocessed keys are read again, and how often they are read.
const PAUSE: Duration = Duration::from_millis(200);
const ATTEMPTS: u32 = 20;
/// Every manifest row's sort key is greater.
const FIRST_ROW: &str = "object/";
/// And less than this.
const ROWS_END: &str = "object0";

type Attributes = HashMap<String, AttributeValue>;

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
        let mut found = HashMap::new();
        for names in names.chunks(CALL_ITEMS) {
            let keys = names.iter().map(|(tenant, id)| keys(key::item_partition(tenant), key::item_sort(id)));
            let mut request =
                KeysAndAttributes::builder().set_keys(Some(keys.collect())).consistent_read(true);
            for (word, name) in RESERVED {
                request = request.expression_attribute_names(word, name);
            }
            let request = request.projection_expression(ATTRIBUTES).build()?;
            for item in self.batch_get(request).await? {
                let item = named(&item)?;
                found.insert((item.tenant, item.id), item.existing);
            }
        }
        Ok(names.iter().map(|name| found.get(name).cloned()).collect())
    }

    /// DynamoDB returns what it can read, and names the rest.
    async fn batch_get(&self, request: KeysAndAttributes) -> anyhow::Result<Vec<Attributes>> {
        let mut unread = HashMap::from([(self.items.clone(), request)]);
        let mut found = Vec::new();
        for _ in 0..ATTEMPTS {
            let call = self.client.batch_get_item().set_request_items(Some(unread));
            let output = call.send().await.map_err(described)?;
            found.extend(output.responses.unwrap_or_default().into_values().flatten());
            unread = output.unprocessed_keys.unwrap_or_default();
            if unread.is_empty() {
                return Ok(found);
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("the table `{}` throttles: not all items were read", self.items)
    }

    pub(super) async fn list_items(
        &self,
        tenant: Option<&TenantId>,
        after: Option<String>,
    ) -> anyhow::Result<ItemPage> {
        let start = after.map(|after| {
            let [partition, sort]: [String; 2] =
                serde_json::from_str(&after).context("the cursor is of another list")?;
            anyhow::Ok(keys(partition, sort))
        });
        let start = start.transpose()?;
        let (items, last) = match tenant {
            None => {
                let mut scan = self.client.scan().table_name(&self.items).consistent_read(true);
                for (word, name) in RESERVED {
                    scan = scan.expression_attribute_names(word, name);
                }
                let scan = scan.projection_expression(ATTRIBUTES).set_exclusive_start_key(start);
                let page = scan.send().await.map_err(described)?;
                (page.items, page.last_evaluated_key)
            }
            Some(tenant) => {
                let mut query = self.client.query().table_name(&self.items).consistent_read(true);
                for (word, name) in RESERVED {
                    query = query.expression_attribute_names(word, name);
                }
                let query = query.key_condition_expression("pk = :tenant");
                let query = query.expression_attribute_values(":tenant", text(key::item_partition(tenant)));
                let query = query.projection_expression(ATTRIBUTES).set_exclusive_start_key(start);
                let page = query.send().await.map_err(described)?;
                (page.items, page.last_evaluated_key)
            }
        };
        let items = items.unwrap_or_default().iter().map(named).collect::<Result<_, _>>()?;
        let next = last.map(|last| {
            let key = |name| string(&last, name).context("a page of items has no last key");
            Ok::<_, anyhow::Error>(serde_json::to_string(&[key("pk")?, key("sk")?])?)
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

fn keys(partition: String, sort: String) -> Attributes {
    [("pk".to_owned(), text(partition)), ("sk".to_owned(), text(sort))].into()
}

fn row(attributes: &Attributes) -> anyhow::Result<ManifestRow> {
    let attribute = |name: &str| match attributes.get(name)? {
        AttributeValue::S(text) => Some(Attribute::Text(text.clone())),
        AttributeValue::N(number) => Some(Attribute::Number(number.parse().ok()?)),
        _ => None,
    };
    Ok(ManifestRow::read(attribute)?)
}

fn string<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.get(name)?.as_s().ok().map(String::as_str)
}

fn named(attributes: &Attributes) -> anyhow::Result<NamedItem> {
    let read = || {
        let text = |name| string(attributes, name);
        let number = |name: &str| attributes.get(name)?.as_n().ok();
        let (tenant, id) = key::item_name(text("pk")?, text("sk")?)?;
        Some(NamedItem {
            tenant,
            id,
            existing: Existing {
                origin: Origin {
                    shard: text("shard")?.into(),
                    sequence_number: text("sequence_number")?.into(),
                    position: number("position")?.parse().ok()?,
                },
                admission_id: AdmissionId(text("admission_id")?.parse().ok()?),
                content_hash: text("content_hash")?.to_owned(),
            },
            received_at: serde_json::from_value(text("received_at")?.into()).ok()?,
            expires_at: number("expires_at").and_then(|number| number.parse().ok()),
        })
    };
    read().with_context(|| {
        let name = |key| string(attributes, key).unwrap_or("?");
        format!("the item {} {} was not written by Tidegate", name("pk"), name("sk"))
    })
}
