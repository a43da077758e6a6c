//! What is asked of DynamoDB, and what its answers come to.

use serde_json::Value;
use shared::format::facts::Facts;
use shared::id::{AdmissionId, EventId};
use uuid::Uuid;

use super::DynamoItems;
use crate::items::{Existing, Insert, Item, ItemStore, TakeOver, TakenOver};
use shared::origin::Origin;
use shared::replay::{StaticReplayClient, replay};

const OLD: &str = r#"{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/a"},"origin":{"S":"=shardId-0:7.2"},"admission":{"S":"AAAAAAAAAAAAAAAAAAAACQ"},"hash":{"S":"ab"}}"#;

const TOO_LARGE: &str = "Item size has exceeded the maximum allowed size";

/// What DynamoDB says of every item where the table is not ours.
const OF_THE_TABLE: [&str; 5] = [
    "One or more parameter values were invalid: Missing the key id in the item",
    "One or more parameter values were invalid: Type mismatch for key sk expected: N actual: S",
    "One or more parameter values were invalid: Type mismatch for Index Key received_partition Expected: N Actual: S IndexName: by_received_at",
    "The provided key element does not match the schema",
    "Statement wasn't well formed, can't be processed: Unexpected token",
];

fn item(id: &str) -> Item {
    let mut item = Item::smallest().with_texts("hello", "");
    item.facts.id = EventId::parse(id).unwrap();
    item.facts.admission_id = AdmissionId(Uuid::from_u128(1));
    item.origin.position = 0;
    item.expires_at = Some(1_800_000_000);
    item.received_partition = Some("tenants/acme#3".to_owned());
    item
}

fn old() -> Insert {
    Insert::Exists(Existing {
        origin: Origin { shard: "shardId-0".into(), sequence_number: "7".into(), position: 2 },
        admission_id: AdmissionId(Uuid::from_u128(9)),
        content_hash: "ab".to_owned(),
    })
}

/// Inserts items of these ids before a DynamoDB that answers so, call by call.
async fn insert(ids: &[&str], answers: &[(u16, String)]) -> (Vec<Insert>, StaticReplayClient) {
    let answers: Vec<(u16, &'static str)> =
        answers.iter().map(|(status, body)| (*status, &*Box::leak(body.clone().into_boxed_str()))).collect();
    let (sdk, requests) = replay(&answers);
    let items: Vec<std::sync::Arc<Item>> = ids.iter().map(|id| item(id).into()).collect();
    (DynamoItems::new(&sdk, "items".to_owned()).insert(&items).await, requests)
}

/// The operation and the body of each request.
fn asked(requests: &StaticReplayClient) -> Vec<(String, Value)> {
    let operation = |target: &str| target.rsplit('.').next().unwrap().to_owned();
    requests
        .actual_requests()
        .map(|request| {
            let target = request.headers().get("x-amz-target").unwrap();
            (operation(target), serde_json::from_slice(request.body().bytes().unwrap()).unwrap())
        })
        .collect()
}

fn responses(each: &[&str]) -> (u16, String) {
    (200, format!(r#"{{"Responses":[{}]}}"#, each.join(",")))
}

fn error(code: &str) -> String {
    error_with(code, "why")
}

fn error_with(code: &str, message: &str) -> String {
    format!(r#"{{"Error":{{"Code":"{code}","Message":"{message}"}}}}"#)
}

#[tokio::test]
async fn items_are_inserted_by_one_statement_each() {
    let (inserts, requests) = insert(&["a"], &[responses(&["{}"])]).await;
    assert_eq!(inserts, [Insert::Inserted]);
    insta::assert_snapshot!(asked(&requests)[0].0, @"BatchExecuteStatement");
    insta::assert_snapshot!(asked(&requests)[0].1["Statements"][0], @r#"{"Statement":"INSERT INTO \"items\" VALUE {'pk': ?, 'sk': ?, 'source': ?, 'tier': ?, 'received_at': ?, 'processed_at': ?, 'origin': ?, 'admission': ?, 'hash': ?, 'original_text': ?, 'modified_data': ?, 'expires_at': ?, 'received_partition': ?}","Parameters":[{"S":"tenants/acme"},{"S":"processed_logs/a"},{"S":"webhook"},{"S":"pro"},{"S":"2026-11-21T09:30:00.123Z"},{"S":"2026-11-21T09:30:01.123Z"},{"S":"=shardId-0:8"},{"S":"AAAAAAAAAAAAAAAAAAAAAQ"},{"S":"cd"},{"S":"hello"},{"S":""},{"N":"1800000000"},{"S":"tenants/acme#3"}],"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}"#);
}

#[tokio::test]
async fn each_statement_has_an_outcome_of_its_own() {
    let duplicate = format!(r#"{{"Error":{{"Code":"DuplicateItem","Item":{OLD}}}}}"#);
    let throttled = error("ThrottlingError");
    let invalid = error_with("ValidationError", TOO_LARGE);
    let (inserts, _) =
        insert(&["a", "b", "c", "d"], &[responses(&[&duplicate, &throttled, "{}", &invalid])]).await;
    assert_eq!(
        inserts,
        [
            old(),
            Insert::Failed("ThrottlingError: why".to_owned()),
            Insert::Inserted,
            Insert::Refused(format!("ValidationError: {TOO_LARGE}"))
        ]
    );
}

#[tokio::test]
async fn an_item_that_is_not_given_with_the_error_is_read_until_there_is_nothing_left() {
    let duplicate = error("DuplicateItem");
    let keys = r#"{"items":{"Keys":[{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/b"}}]}}"#;
    let first = format!(r#"{{"Responses":{{"items":[{OLD}]}},"UnprocessedKeys":{keys}}}"#);
    let second =
        format!(r#"{{"Responses":{{"items":[{}]}}}}"#, OLD.replace("processed_logs/a", "processed_logs/b"));
    let (inserts, requests) =
        insert(&["a", "c", "b"], &[responses(&[&duplicate, "{}", &duplicate]), (200, first), (200, second)])
            .await;
    assert_eq!(inserts, [old(), Insert::Inserted, old()]);
    let read = &asked(&requests)[1];
    assert_eq!(read.0, "BatchGetItem");
    assert_eq!(read.1["RequestItems"]["items"]["ConsistentRead"], true);
    assert_eq!(read.1["RequestItems"]["items"]["Keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_item_that_cannot_be_read_is_a_failure() {
    let duplicate = error("DuplicateItem");
    let gone = (200, r#"{"Responses":{"items":[]}}"#.to_owned());
    let (inserts, _) = insert(&["a"], &[responses(&[&duplicate]), gone]).await;
    assert_eq!(inserts, [Insert::Failed("the item existed and is gone".to_owned())]);
}

#[tokio::test]
async fn a_call_that_is_refused_as_a_whole_is_made_for_each_item_alone() {
    let refused = || invalid_call(TOO_LARGE);
    let (inserts, _) = insert(&["a", "b"], &[refused(), responses(&["{}"]), refused()]).await;
    assert!(
        matches!(&inserts[..], [Insert::Inserted, Insert::Refused(why)] if why.contains("ValidationException"))
    );
}

fn invalid_call(message: &str) -> (u16, String) {
    (400, format!(r#"{{"__type":"com.amazon.coral.validate#ValidationException","message":"{message}"}}"#))
}

#[tokio::test]
async fn what_is_wrong_with_the_table_is_no_items_fault_and_nothing_is_given_up() {
    for message in OF_THE_TABLE {
        let each = error_with("ValidationError", message);
        for answer in [responses(&[&each, &each]), invalid_call(message)] {
            let (inserts, requests) = insert(&["a", "b"], &[answer]).await;
            assert!(
                inserts.iter().all(|insert| matches!(insert, Insert::Failed(why) if why.contains(message)))
            );
            assert_eq!(asked(&requests).len(), 1, "no item is asked for alone");
        }
    }
    let gone = error("ResourceNotFound");
    let (inserts, _) = insert(&["a"], &[responses(&[&gone])]).await;
    assert_eq!(inserts, [Insert::Failed("ResourceNotFound: why".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_throttled_leaves_every_item_to_the_next_attempt() {
    let throttled =
        (400, r#"{"__type":"x#ProvisionedThroughputExceededException","message":"why"}"#.to_owned());
    let (inserts, requests) = insert(&["a", "b"], &vec![throttled; 3]).await;
    assert!(inserts.iter().all(|insert| matches!(insert, Insert::Failed(_))));
    assert_eq!(asked(&requests).len(), 3, "the SDK tries again");
}

/// Takes an item over before a DynamoDB that answers so.
async fn take_over(answers: &[(u16, &'static str)]) -> (TakenOver, StaticReplayClient) {
    let (sdk, requests) = replay(answers);
    let Item { facts: Facts { tenant, id, .. }, origin: to, .. } = item("a");
    let from = Origin { sequence_number: "7".into(), position: 2, ..to.clone() };
    let items = DynamoItems::new(&sdk, "items".to_owned());
    let mut taken = items.take_over(&[TakeOver { tenant, id, from, to }]).await;
    (taken.remove(0), requests)
}

#[tokio::test]
async fn an_item_is_taken_over_only_from_the_origin_that_it_was_seen_to_name() {
    let (taken, requests) = take_over(&[(200, "{}")]).await;
    assert_eq!(taken, TakenOver::Done);
    let (operation, body) = asked(&requests).remove(0);
    assert_eq!(operation, "UpdateItem");
    assert_eq!(body["UpdateExpression"], "SET #origin = :to");
    assert_eq!(body["ConditionExpression"], "#origin = :from");
    assert_eq!(
        body["Key"],
        serde_json::json!({"pk": {"S": "tenants/acme"}, "sk": {"S": "processed_logs/a"}})
    );
    assert_eq!(body["ExpressionAttributeNames"]["#origin"], "origin");
    assert_eq!(body["ExpressionAttributeValues"][":from"]["S"], "=shardId-0:7.2");
    assert_eq!(body["ExpressionAttributeValues"][":to"]["S"], "=shardId-0:8");
}

#[tokio::test(start_paused = true)]
async fn an_item_that_names_another_origin_by_now_is_left_alone() {
    let changed = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}"#;
    assert_eq!(take_over(&[(400, changed)]).await.0, TakenOver::Changed);
    let throttled = r#"{"__type":"x#ProvisionedThroughputExceededException","message":"why"}"#;
    assert!(matches!(take_over(&[(400, throttled); 3]).await.0, TakenOver::Failed(_)));
}
