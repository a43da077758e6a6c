//! Items, their index by time, and the manifest, by the AWS SDK.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use shared::backoff::Backoff;
use shared::format::item::{Attribute, BY_RECEIVED_AT, RECEIVED_AT, RECEIVED_PARTITION};
use shared::format::key;
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::origin::{Origin, ShardPosition};
use shared::sdk::{self, Preflight};

use super::port::{EventReader, IndexEntry, IndexQuery, ReadFailure, StoredEvent};

/// Time limit for one attempt at a call. A dead pooled connection never answers, so a second attempt fits a request's time.
const ATTEMPT: Duration = Duration::from_millis(1_500);

/// Between two calls for the items that DynamoDB did not read.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(1) };

/// Every manifest row's sort key is greater than this.
const FIRST_ROW: &str = "object/";

type Attributes = HashMap<String, AttributeValue>;

#[derive(Clone, Debug)]
pub struct DynamoReader {
    client: Client,
    items_table: String,
    /// Of ledger and manifest.
    ledger_table: String,
}

impl DynamoReader {
    pub fn new(sdk: &SdkConfig, items_table: String, ledger_table: String) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
        let client = Client::from_conf(Builder::from(sdk).timeout_config(timeouts).build());
        Self { client, items_table, ledger_table }
    }

    /// Opens a connection.
    pub async fn open(&self) {
        sdk::open("DynamoDB", self.client.batch_get_item().customize().interceptor(Preflight).send()).await;
    }

    /// Reads the items with these keys. DynamoDB reads as many as fit 16 MB and as the table's throughput allows, and names
    /// the others.
    async fn read_all(&self, mut keys: Vec<Attributes>) -> Result<Vec<Attributes>, ReadFailure> {
        let (mut found, mut waits) = (Vec::new(), 0);
        while !keys.is_empty() {
            let request = KeysAndAttributes::builder().set_keys(Some(keys)).build().map_err(failure)?;
            let call = self.client.batch_get_item().request_items(&self.items_table, request);
            let output = call.send().await.map_err(failure)?;
            let read = output.responses.unwrap_or_default().remove(&self.items_table).unwrap_or_default();
            let is_throttled = read.is_empty();
            found.extend(read);
            let mut unread = output.unprocessed_keys.unwrap_or_default();
            keys = unread.remove(&self.items_table).map(|rest| rest.keys).unwrap_or_default();
            if is_throttled && !keys.is_empty() {
                waits += 1;
                tokio::time::sleep(BACKOFF.jittered(waits)).await;
            }
        }
        Ok(found)
    }
}

impl EventReader for DynamoReader {
    async fn entries(&self, query: &IndexQuery) -> Result<Vec<IndexEntry>, ReadFailure> {
        let mut entries = Vec::new();
        let mut start = query.after.as_ref().map(|entry| entry_key(query, entry));
        loop {
            let limit = i32::try_from(query.limit - entries.len()).unwrap_or(i32::MAX);
            let call = self.client.query().table_name(&self.items_table).index_name(BY_RECEIVED_AT);
            let call = call
                .key_condition_expression("#partition = :partition AND #time BETWEEN :from AND :last")
                .expression_attribute_names("#partition", RECEIVED_PARTITION)
                .expression_attribute_names("#time", RECEIVED_AT)
                .expression_attribute_values(":partition", text(query.partition.clone()))
                .expression_attribute_values(":from", text(query.from.to_string()))
                .expression_attribute_values(":last", text(query.last.to_string()))
                .scan_index_forward(false)
                .limit(limit)
                .set_exclusive_start_key(start.take());
            let page = call.send().await.map_err(failure)?;
            for item in page.items.unwrap_or_default() {
                entries.push(entry(&item).ok_or_else(|| unreadable(&item))?);
            }
            start = page.last_evaluated_key;
            if start.is_none() || entries.len() >= query.limit {
                return Ok(entries);
            }
        }
    }

    async fn find(&self, tenant: &TenantId, id: &EventId) -> Result<Option<StoredEvent>, ReadFailure> {
        let get = self.client.get_item().table_name(&self.items_table).consistent_read(true);
        let found = get.set_key(Some(item_key(tenant, id))).send().await.map_err(failure)?;
        found.item.as_ref().map(event).transpose()
    }

    async fn find_all(
        &self,
        tenant: &TenantId,
        ids: &[EventId],
    ) -> Result<Vec<Option<StoredEvent>>, ReadFailure> {
        let keys = ids.iter().map(|id| item_key(tenant, id)).collect();
        let found = self.read_all(keys).await?.iter().map(event).collect::<Result<Vec<_>, _>>()?;
        let mut found: HashMap<_, _> =
            found.into_iter().map(|event| (event.item.facts.id.clone(), event)).collect();
        Ok(ids.iter().map(|id| found.remove(id)).collect())
    }

    async fn archive_object(&self, origin: &Origin) -> Result<Option<ManifestRow>, ReadFailure> {
        let position = ShardPosition::from(origin);
        let last = key::manifest_sort(&position.sequence_number, position.position);
        let query = self.client.query().table_name(&self.ledger_table).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :shard AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":shard", text(key::ledger_partition(&origin.shard)))
            .expression_attribute_values(":first", text(FIRST_ROW.to_owned()))
            .expression_attribute_values(":last", text(last))
            .scan_index_forward(false)
            .limit(1);
        let found = query.send().await.map_err(failure)?.items.unwrap_or_default();
        let row = found.first().map(|row| ManifestRow::read(|name| attribute(row, name))).transpose();
        let row = row.map_err(|error| ReadFailure(error.to_string()))?;
        Ok(row.filter(|row| position < row.end))
    }
}

/// An attribute of an item or of a manifest row, in our words.
pub fn attribute(attributes: &Attributes, name: &str) -> Option<Attribute> {
    match attributes.get(name)? {
        AttributeValue::S(text) => Some(Attribute::Text(text.clone())),
        AttributeValue::N(number) => Some(Attribute::Number(number.parse().ok()?)),
        AttributeValue::Bool(flag) => Some(Attribute::Flag(*flag)),
        _ => None,
    }
}

fn event(attributes: &Attributes) -> Result<StoredEvent, ReadFailure> {
    let event = StoredEvent::read(|name| attribute(attributes, name));
    event.map_err(|error| ReadFailure(format!("{error} ({})", name_of(attributes))))
}

fn item_key(tenant: &TenantId, id: &EventId) -> Attributes {
    let keys =
        [(key::PARTITION_ATTRIBUTE, key::item_partition(tenant)), (key::SORT_ATTRIBUTE, key::item_sort(id))];
    keys.map(|(name, key)| (name.to_owned(), text(key))).into()
}

/// The key of an entry: of its item, and of the index.
fn entry_key(query: &IndexQuery, entry: &IndexEntry) -> Attributes {
    let mut key = item_key(&query.tenant, &entry.id);
    key.insert(RECEIVED_PARTITION.to_owned(), text(query.partition.clone()));
    key.insert(RECEIVED_AT.to_owned(), text(entry.received_at.to_string()));
    key
}

fn entry(item: &Attributes) -> Option<IndexEntry> {
    let string = |name| item.get(name)?.as_s().ok();
    let (_, id) = key::item_name(string(key::PARTITION_ATTRIBUTE)?, string(key::SORT_ATTRIBUTE)?)?;
    let received_at = serde_json::from_value(string(RECEIVED_AT)?.as_str().into()).ok()?;
    Some(IndexEntry { received_at, id })
}

fn unreadable(item: &Attributes) -> ReadFailure {
    ReadFailure(format!("the entry of {} in the index `{BY_RECEIVED_AT}` cannot be read", name_of(item)))
}

fn name_of(item: &Attributes) -> String {
    let string = |name| item.get(name).and_then(|value| value.as_s().ok()).map_or("?", String::as_str);
    format!("{} {}", string(key::PARTITION_ATTRIBUTE), string(key::SORT_ATTRIBUTE))
}

fn text(text: String) -> AttributeValue {
    AttributeValue::S(text)
}

fn failure(error: impl std::error::Error) -> ReadFailure {
    ReadFailure(DisplayErrorContext(&error).to_string())
}

#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests;
