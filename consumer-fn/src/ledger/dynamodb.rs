//! Ledger and manifest by the AWS SDK, in one table: one partition for each shard, with the ledger row and one row for each
//! object.
//!
//! Two plain writes instead of a transaction, which would cost twice as much: a manifest row depends on its object alone, so
//! it may be written early and more than once.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use shared::format::key;

use super::{Intent, Ledger, LedgerFailure, Progress, Written};
use crate::items::dynamodb::read::{Attributes, number, text};
use crate::items::dynamodb::{CONDITION_FAILED, client, value};
use shared::format::manifest_row::ManifestRow;
use shared::origin::ShardPosition;

/// Time limit for one attempt at a call.
const ATTEMPT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct DynamoLedger {
    client: Client,
    table: String,
}

impl DynamoLedger {
    pub fn new(sdk: &SdkConfig, table: String) -> Self {
        Self { client: client(sdk, ATTEMPT), table }
    }
}

impl Ledger for DynamoLedger {
    async fn read(&self, shard: &str) -> Result<Progress, LedgerFailure> {
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let found =
            get.set_key(Some(keys(shard, key::LEDGER_SORT.to_owned()))).send().await.map_err(failure)?;
        match found.item {
            None => Ok(Progress::default()),
            Some(row) => progress(&row).ok_or_else(|| {
                LedgerFailure::Unreadable(format!("the ledger row of `{shard}` cannot be read"))
            }),
        }
    }

    /// If an answer is lost, the SDK tries again, and the condition fails although the write was done. That counts as a conflict
    /// too: the caller reads again.
    async fn write(&self, shard: &str, progress: &Progress) -> Result<Written, LedgerFailure> {
        let mut row = keys(shard, key::LEDGER_SORT.to_owned());
        row.extend(attributes(progress));
        let put = self.client.put_item().table_name(&self.table).set_item(Some(row));
        // A reserved word of DynamoDB.
        let put = put.expression_attribute_names("#version", "version");
        let put = match progress.version - 1 {
            0 => put.condition_expression("attribute_not_exists(#version)"),
            before => put
                .condition_expression("#version = :before")
                .expression_attribute_values(":before", AttributeValue::N(before.to_string())),
        };
        match put.send().await {
            Ok(_) => Ok(Written::Done),
            Err(error) if error.code() == Some(CONDITION_FAILED) => Ok(Written::Conflict),
            Err(error) => Err(failure(error)),
        }
    }

    async fn note(&self, shard: &str, row: &ManifestRow) -> Result<(), LedgerFailure> {
        let ShardPosition { sequence_number, position } = &row.first;
        let mut item = keys(shard, key::manifest_sort(sequence_number, *position));
        item.extend(
            row.attributes().into_iter().map(|(name, attribute)| (name.to_owned(), value(attribute))),
        );
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map(drop).map_err(failure)
    }
}

fn keys(shard: &str, sort: String) -> Attributes {
    let keys = [(key::PARTITION_ATTRIBUTE, key::ledger_partition(shard)), (key::SORT_ATTRIBUTE, sort)];
    keys.map(|(name, key)| (name.to_owned(), AttributeValue::S(key))).into()
}

/// The names are in tables: never rename them.
fn attributes(progress: &Progress) -> Attributes {
    let Progress { version, committed_end, intent } = progress;
    let mut attributes = vec![("version", AttributeValue::N(version.to_string()))];
    let mut add = |names: [&'static str; 2], position: &ShardPosition| {
        attributes.push((names[0], AttributeValue::S(position.sequence_number.to_string())));
        attributes.push((names[1], AttributeValue::N(position.position.to_string())));
    };
    if let Some(end) = committed_end {
        add(["committed_end_sequence_number", "committed_end_position"], end);
    }
    if let Some(intent) = intent {
        add(["intent_sequence_number", "intent_position"], &intent.from);
        attributes.push(("intent_key", AttributeValue::S(intent.key.clone())));
    }
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn progress(row: &Attributes) -> Option<Progress> {
    let position = |names: [&str; 2]| Some(ShardPosition::new(text(row, names[0])?, number(row, names[1])?));
    let intent = match text(row, "intent_key") {
        None => None,
        Some(key) => Some(Intent {
            key: key.to_owned(),
            from: position(["intent_sequence_number", "intent_position"])?,
        }),
    };
    let committed_end = position(["committed_end_sequence_number", "committed_end_position"]);
    Some(Progress { version: number(row, "version")?, committed_end, intent })
}

fn failure<E: std::error::Error + Send + Sync + 'static>(error: SdkError<E>) -> LedgerFailure {
    LedgerFailure::NoAnswer(DisplayErrorContext(error).to_string())
}

#[cfg(test)]
#[cfg(feature = "aws-test")]
mod tests {
    use serde_json::Value;
    use shared::id::TenantId;
    use shared::time::Timestamp;

    use super::*;
    use shared::format::manifest_row::{TenantIndex, TenantRange};
    use shared::replay::{StaticReplayClient, replay};

    fn ledger(answers: &[(u16, &'static str)]) -> (DynamoLedger, StaticReplayClient) {
        let (sdk, requests) = replay(answers);
        (DynamoLedger::new(&sdk, "ledger".to_owned()), requests)
    }

    fn asked(requests: &StaticReplayClient) -> Value {
        let request = requests.actual_requests().last().expect("something was asked");
        serde_json::from_slice(request.body().bytes().expect("a body in memory")).expect("JSON")
    }

    fn progress(version: u32) -> Progress {
        let intent = Intent { key: "events/x".to_owned(), from: ShardPosition::new("4951", 0) };
        Progress { version, committed_end: Some(ShardPosition::new("4950", 3)), intent: Some(intent) }
    }

    #[tokio::test]
    async fn what_was_written_is_read() {
        let row = r#"{"Item":{"pk":{"S":"shard/s"},"sk":{"S":"ledger"},"version":{"N":"7"},"committed_end_sequence_number":{"S":"4950"},"committed_end_position":{"N":"3"},"intent_key":{"S":"events/x"},"intent_sequence_number":{"S":"4951"},"intent_position":{"N":"0"}}}"#;
        let (stored, requests) = ledger(&[(200, row)]);
        assert_eq!(stored.read("s").await.unwrap(), progress(7));
        let asked_for: Value = serde_json::from_str(r#"{"ConsistentRead":true,"Key":{"pk":{"S":"shard/s"},"sk":{"S":"ledger"}},"TableName":"ledger"}"#).unwrap();
        assert_eq!(asked(&requests), asked_for);
        let (written, requests) = ledger(&[(200, "{}")]);
        assert_eq!(written.write("s", &progress(7)).await, Ok(Written::Done));
        let row: Value = serde_json::from_str(row).unwrap();
        assert_eq!(asked(&requests)["Item"], row["Item"]);
        assert_eq!(ledger(&[(200, "{}")]).0.read("s").await, Ok(Progress::default()));
        assert!(ledger(&[(200, r#"{"Item":{"pk":{"S":"shard/s"}}}"#)]).0.read("s").await.is_err());
    }

    #[tokio::test]
    async fn a_write_asks_for_the_version_before_it() {
        let (first, requests) = ledger(&[(200, "{}")]);
        assert_eq!(first.write("s", &progress(1)).await, Ok(Written::Done));
        assert_eq!(asked(&requests)["ConditionExpression"], "attribute_not_exists(#version)");

        let failed = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}"#;
        let (second, requests) = ledger(&[(400, failed)]);
        assert_eq!(second.write("s", &progress(2)).await, Ok(Written::Conflict));
        assert_eq!(asked(&requests)["ConditionExpression"], "#version = :before");
        assert_eq!(asked(&requests)["ExpressionAttributeValues"][":before"]["N"], "1");

        let throttled =
            r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}"#;
        let (throttling, _) = ledger(&[(400, throttled); 3]);
        assert!(throttling.write("s", &progress(2)).await.is_err());
    }

    #[tokio::test]
    async fn a_manifest_row_has_every_tenants_range() {
        let range = |tenant, offset, length, lines| TenantRange {
            tenant: TenantId::parse(tenant).unwrap(),
            offset,
            length,
            lines,
        };
        let mut row = ManifestRow {
            key: "events/x".to_owned(),
            first: ShardPosition::new("4951", 0),
            end: ShardPosition::new("4959", 1),
            bytes: 220,
            sha256: "ab".to_owned(),
            lines: 5,
            received_at: [1_795_253_400_000, 1_795_253_401_000].map(Timestamp::from_unix_ms),
            tenants: TenantIndex::Ranges(vec![range("acme", 0, 120, 3), range("beta", 120, 100, 2)]),
        };
        let (ledger, requests) = ledger(&[(200, "{}"), (200, "{}")]);
        ledger.note("s", &row).await.unwrap();
        // As in tables: never rename members.
        let expected = r#"{"end_position":{"N":"1"},"end_sequence_number":{"S":"4959"},"first_position":{"N":"0"},"first_sequence_number":{"S":"4951"},"object_bytes":{"N":"220"},"object_key":{"S":"events/x"},"object_lines":{"N":"5"},"object_sha256":{"S":"ab"},"oldest_received_at":{"S":"2026-11-21T09:30:00.000Z"},"pk":{"S":"shard/s"},"sk":{"S":"object/004-4951/0000000000"},"tenants":{"S":"[[\"acme\",0,120,3],[\"beta\",120,100,2]]"},"youngest_received_at":{"S":"2026-11-21T09:30:01.000Z"}}"#;
        assert_eq!(asked(&requests)["Item"], serde_json::from_str::<Value>(expected).unwrap());
        row.tenants = TenantIndex::Sidecar("manifests/x.json.gz".to_owned());
        ledger.note("s", &row).await.unwrap();
        assert_eq!(asked(&requests)["Item"]["tenants_key"]["S"], "manifests/x.json.gz");
        assert_eq!(asked(&requests)["Item"]["tenants"], Value::Null);
    }
}
