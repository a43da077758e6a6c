//! `DynamoItems` inserts items that are absent, and returns one result for each item, in order.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use consumer_fn::items::dynamodb::DynamoItems;
use consumer_fn::items::{BY_RECEIVED_AT, Insert, Item, ItemStore};
use serde_json::json;
use shared::format::facts::Facts;
use shared::id::{AdmissionId, EventId};
use shared::origin::Origin;
use uuid::Uuid;

use crate::emulator::{sdk, table, url};
use crate::proxy::{Proxy, ProxyFault};

fn item(number: u32, text: &str) -> Item {
    let mut item = Item::smallest().with_texts(text, text);
    item.facts.id = EventId::parse(format!("e{number}")).unwrap();
    item.facts.admission_id = AdmissionId(Uuid::from_u128(number.into()));
    item.origin =
        Origin { shard: "shardId-000000000000".into(), sequence_number: "495".into(), position: number };
    item.content_hash = shared::digest::sha256(text.as_bytes());
    item.received_partition = Some(format!("tenants/acme#{}", number % 2));
    item
}

fn items(count: u32) -> Vec<Item> {
    (0..count).map(|number| item(number, "x")).collect()
}

async fn insert(proxy: &Proxy, table: &str, items: &[Item]) -> Vec<Insert> {
    let store = DynamoItems::new(&proxy.sdk(), table.to_owned());
    let items: Vec<_> = items.iter().cloned().map(Arc::new).collect();
    let mut inserts = Vec::new();
    for call in items.chunks(DynamoItems::CALL_ITEMS) {
        inserts.extend(store.insert(call).await);
    }
    inserts
}

async fn stored(table: &str) -> usize {
    let scan = Client::new(&sdk(url())).scan().table_name(table).consistent_read(true).send().await.unwrap();
    scan.items().len()
}

fn word(insert: &Insert) -> &'static str {
    match insert {
        Insert::Inserted => "inserted",
        Insert::Exists(_) => "exists",
        Insert::Refused(_) => "refused",
        Insert::Failed(_) => "failed",
    }
}

fn words(inserts: &[Insert]) -> Vec<&'static str> {
    inserts.iter().map(word).collect()
}

#[tokio::test]
async fn an_item_is_inserted_once_and_a_second_insert_returns_the_existing_item() {
    let (table, proxy) = (table().await, Proxy::new(&[]).await);
    assert_eq!(insert(&proxy, &table, &[item(1, "first")]).await, [Insert::Inserted]);
    let mut second = item(1, "second");
    second.origin.position = 99;
    let inserts = insert(&proxy, &table, &[second, item(2, "x")]).await;
    let [Insert::Exists(existing), Insert::Inserted] = &inserts[..] else { panic!("{inserts:?}") };
    let first = item(1, "first");
    assert_eq!(
        (&existing.origin, existing.admission_id, &existing.content_hash),
        (&first.origin, first.facts.admission_id, &first.content_hash)
    );
    let client = Client::new(&sdk(url()));
    let get = client.get_item().table_name(&table);
    let key = |value: &str| AttributeValue::S(value.to_owned());
    let get = get.key("pk", key("tenants/acme")).key("sk", key("processed_logs/e1"));
    let found = get.send().await.unwrap().item.unwrap();
    assert_eq!(found["original_text"], key("first"), "the first item stays");
}

#[tokio::test]
async fn items_of_a_spread_tenant_are_listed_by_time_in_the_partitions_of_the_index() {
    let (table, proxy) = (table().await, Proxy::new(&[]).await);
    let later = |number: u32| {
        let item = item(number, "x");
        let received_at = item.facts.received_at.plus(Duration::from_millis(u64::from(number)));
        let facts = Facts { received_at, ..item.facts };
        Item { facts, ..item }
    };
    // Not sorted by time.
    let items: Vec<_> = [3, 0, 5, 1, 4, 2].map(later).into();
    assert_eq!(insert(&proxy, &table, &items).await, vec![Insert::Inserted; 6]);
    let client = Client::new(&sdk(url()));
    for (partition, expected) in [
        ("tenants/acme#0", vec!["processed_logs/e4", "processed_logs/e2", "processed_logs/e0"]),
        ("tenants/acme#1", vec!["processed_logs/e5", "processed_logs/e3", "processed_logs/e1"]),
        ("tenants/acme", vec![]),
    ] {
        let query = client.query().table_name(&table).index_name(BY_RECEIVED_AT).scan_index_forward(false);
        let query = query.key_condition_expression("received_partition = :partition");
        let value = AttributeValue::S(partition.to_owned());
        let page = query.expression_attribute_values(":partition", value).send().await.unwrap();
        let found: Vec<_> = page.items().iter().map(|item| item["sk"].as_s().unwrap().as_str()).collect();
        assert_eq!(found, expected, "{partition}: newest first");
    }
}

#[tokio::test]
async fn many_items_are_inserted_in_calls_of_twenty_five() {
    let (table, proxy) = (table().await, Proxy::new(&[]).await);
    assert_eq!(insert(&proxy, &table, &items(60)).await, vec![Insert::Inserted; 60]);
    assert_eq!(stored(&table).await, 60);
    assert_eq!(proxy.calls(), ["BatchExecuteStatement"; 3]);
}

#[tokio::test]
async fn throttled_statements_fail_and_the_others_are_inserted() {
    let throttled =
        json!({"Error": {"Code": "ThrottlingError", "Message": "Rate exceeded"}, "TableName": "any"});
    let (table, proxy) = (table().await, Proxy::new(&[(0, ProxyFault::RefuseSome(throttled))]).await);
    let inserts = insert(&proxy, &table, &items(6)).await;
    assert_eq!(words(&inserts), ["failed", "inserted", "failed", "inserted", "failed", "inserted"]);
    assert_eq!(stored(&table).await, 3);
    // The next attempt finds the items of the first.
    let again = insert(&proxy, &table, &items(6)).await;
    assert_eq!(words(&again), ["inserted", "exists", "inserted", "exists", "inserted", "exists"]);
}

#[tokio::test]
async fn after_a_lost_answer_the_items_are_found_with_the_same_origin() {
    let (table, proxy) = (table().await, Proxy::new(&[(0, ProxyFault::LoseAnswer)]).await);
    let inserts = insert(&proxy, &table, &items(3)).await;
    assert_eq!(stored(&table).await, 3);
    for (insert, item) in inserts.iter().zip(items(3)) {
        assert!(matches!(insert, Insert::Exists(existing) if existing.origin == item.origin), "{insert:?}");
    }
}

#[tokio::test]
async fn unprocessed_keys_are_read_again() {
    let (table, proxy) =
        (table().await, Proxy::new(&[(2, ProxyFault::ReadHalf), (3, ProxyFault::ReadHalf)]).await);
    insert(&proxy, &table, &items(10)).await;
    let again = insert(&proxy, &table, &items(10)).await;
    assert_eq!(words(&again), ["exists"; 10]);
    let calls = proxy.calls();
    assert_eq!(calls[..2], ["BatchExecuteStatement"; 2]);
    assert!(calls[2..].len() >= 3 && calls[2..].iter().all(|call| call == "BatchGetItem"), "{calls:?}");
}

#[tokio::test]
async fn a_call_that_is_refused_as_a_whole_is_split_to_find_the_bad_item() {
    let invalid = json!({
        "__type": "com.amazon.coral.validate#ValidationException",
        "message": "Item size has exceeded the maximum allowed size",
    });
    let fault =
        ProxyFault::Answer(400, &[("content-type", "application/x-amz-json-1.0")], invalid.to_string());
    let (table, proxy) = (table().await, Proxy::new(&[(0, fault.clone()), (2, fault)]).await);
    let inserts = insert(&proxy, &table, &items(3)).await;
    assert_eq!(words(&inserts), ["inserted", "refused", "inserted"]);
    assert_eq!(stored(&table).await, 2);
}

#[tokio::test]
async fn a_table_that_is_not_there_fails_every_item() {
    let proxy = Proxy::new(&[]).await;
    let inserts = insert(&proxy, "no-such-table", &items(2)).await;
    assert_eq!(words(&inserts), ["failed", "failed"]);
}
