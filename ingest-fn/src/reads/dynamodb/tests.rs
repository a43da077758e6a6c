//! The requests that the adapter makes, and what it makes of the answers.

use serde_json::{Value, json};
use shared::format::manifest_row::TenantIndex;
use shared::replay::{StaticReplayClient, replay};
use shared::time::Timestamp;

use super::*;

fn reader(answers: &[(u16, &'static str)]) -> (DynamoReader, StaticReplayClient) {
    let (sdk, requests) = replay(answers);
    (DynamoReader::new(&sdk, "items".to_owned(), "ledger".to_owned()), requests)
}

/// The calls: their names and bodies.
fn asked(requests: &StaticReplayClient) -> Vec<(String, Value)> {
    let call = |request: &aws_sdk_dynamodb::config::http::HttpRequest| {
        let target = request.headers().get("x-amz-target").unwrap().rsplit('.').next().unwrap().to_owned();
        (target, serde_json::from_slice(request.body().bytes().unwrap()).unwrap())
    };
    requests.actual_requests().map(call).collect()
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn id(id: &str) -> EventId {
    EventId::parse(id).unwrap()
}

fn query(after: Option<IndexEntry>) -> IndexQuery {
    IndexQuery {
        tenant: acme(),
        partition: "tenants/acme#1".to_owned(),
        from: Timestamp::from_unix_ms(0),
        last: Timestamp::from_unix_ms(1_795_253_400_123),
        after,
        limit: 3,
    }
}

/// An item as the consumer writes it.
const ITEM: &str = r#"{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/a%2Fb"},"source":{"S":"webhook"},"original_text":{"S":"hello"},"modified_data":{"S":"HELLO"},"processed_at":{"S":"2026-11-21T09:30:02.000Z"},"received_at":{"S":"2026-11-21T09:30:00.123Z"},"tier":{"S":"pro"},"fields":{"S":"{\"n\":1.0}"},"admission":{"S":"AAAAAAAAAAAAAAAAAAAAAQ"},"hash":{"S":"cd"},"origin":{"S":"=shardId-0:4951.3"},"truncated":{"BOOL":true},"modified_data_bytes":{"N":"200000"},"expires_at":{"N":"1800000000"},"dispatch_status":{"S":"delivered"}}"#;

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[tokio::test]
async fn a_partition_of_the_index_is_read_newest_first_until_the_limit() {
    let first = r#"{"Items":[{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/a%2Fb"},"received_partition":{"S":"tenants/acme#1"},"received_at":{"S":"2026-11-21T09:30:00.123Z"}}],"LastEvaluatedKey":{"pk":{"S":"x"}}}"#;
    let second = r#"{"Items":[{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/c"},"received_partition":{"S":"tenants/acme#1"},"received_at":{"S":"2026-11-21T09:30:00.000Z"}}]}"#;
    let (reader, requests) = reader(&[(200, first), (200, second)]);
    let entries = reader.entries(&query(None)).await.unwrap();
    let entry = |at, name| IndexEntry { received_at: Timestamp::from_unix_ms(at), id: id(name) };
    assert_eq!(entries, [entry(1_795_253_400_123, "a/b"), entry(1_795_253_400_000, "c")]);
    let calls = asked(&requests);
    let expected = json!({
        "TableName": "items",
        "IndexName": "by_received_at",
        "KeyConditionExpression": "#partition = :partition AND #time BETWEEN :from AND :last",
        "ExpressionAttributeNames": {"#partition": "received_partition", "#time": "received_at"},
        "ExpressionAttributeValues": {
            ":partition": {"S": "tenants/acme#1"},
            ":from": {"S": "1970-01-01T00:00:00.000Z"},
            ":last": {"S": "2026-11-21T09:30:00.123Z"},
        },
        "ScanIndexForward": false,
        "Limit": 3,
    });
    assert_eq!(calls[0], ("Query".to_owned(), expected));
    let next = &calls[1].1;
    assert_eq!((&next["Limit"], &next["ExclusiveStartKey"]), (&json!(2), &json!({"pk": {"S": "x"}})));
}

#[tokio::test]
async fn a_list_continues_after_the_key_of_an_entry() {
    let (reader, requests) = reader(&[(200, r#"{"Items":[]}"#)]);
    let after = IndexEntry { received_at: Timestamp::from_unix_ms(1_795_253_400_000), id: id("a/b") };
    assert_eq!(reader.entries(&query(Some(after))).await, Ok(Vec::new()));
    let expected = json!({
        "pk": {"S": "tenants/acme"},
        "sk": {"S": "processed_logs/a%2Fb"},
        "received_partition": {"S": "tenants/acme#1"},
        "received_at": {"S": "2026-11-21T09:30:00.000Z"},
    });
    assert_eq!(asked(&requests)[0].1["ExclusiveStartKey"], expected);
}

#[tokio::test]
async fn a_single_event_is_read_consistently() {
    let answer = leaked(format!("{{\"Item\":{ITEM}}}"));
    let (stored, requests) = reader(&[(200, answer)]);
    let event = stored.find(&acme(), &id("a/b")).await.unwrap().unwrap();
    assert_eq!(event.dispatch_status.as_deref(), Some("delivered"));
    let text = event.item.content.unwrap().modified_data.unwrap();
    assert_eq!((event.item.facts.id.as_str(), text.whole_bytes), ("a/b", Some(200_000)));
    let key = json!({"pk": {"S": "tenants/acme"}, "sk": {"S": "processed_logs/a%2Fb"}});
    let expected = json!({"TableName": "items", "ConsistentRead": true, "Key": key});
    assert_eq!(asked(&requests), [("GetItem".to_owned(), expected)]);
    assert_eq!(reader(&[(200, "{}")]).0.find(&acme(), &id("a/b")).await, Ok(None));
    let broken = reader(&[(200, r#"{"Item":{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/1"}}}"#)]);
    let failure = broken.0.find(&acme(), &id("1")).await.unwrap_err().to_string();
    assert!(failure.ends_with("(tenants/acme processed_logs/1)"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn items_that_dynamodb_did_not_read_are_requested_again() {
    let keys = r#"{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/a%2Fb"}}"#;
    let unread = leaked(format!(
        "{{\"Responses\":{{\"items\":[]}},\"UnprocessedKeys\":{{\"items\":{{\"Keys\":[{keys}]}}}}}}"
    ));
    let read = leaked(format!("{{\"Responses\":{{\"items\":[{ITEM}]}},\"UnprocessedKeys\":{{}}}}"));
    let (reader, requests) = reader(&[(200, unread), (200, read)]);
    let found = reader.find_all(&acme(), &[id("missing"), id("a/b")]).await.unwrap();
    assert!(found[0].is_none() && found[1].is_some());
    let calls = asked(&requests);
    assert_eq!(calls[0].0, "BatchGetItem");
    assert_eq!(calls[0].1["RequestItems"]["items"]["Keys"].as_array().unwrap().len(), 2);
    assert_eq!(
        calls[1].1["RequestItems"]["items"]["Keys"],
        serde_json::from_str::<Value>(&format!("[{keys}]")).unwrap()
    );
}

#[tokio::test]
async fn an_events_archive_object_is_the_last_one_that_begins_before_it_if_it_ends_after_it() {
    let row = r#"{"Items":[{"pk":{"S":"shard/shardId-0"},"sk":{"S":"object/004-4950/0000000000"},"object_key":{"S":"events/x"},"first_sequence_number":{"S":"4950"},"first_position":{"N":"0"},"end_sequence_number":{"S":"4951"},"end_position":{"N":"4"},"object_bytes":{"N":"220"},"object_sha256":{"S":"ab"},"object_lines":{"N":"5"},"oldest_received_at":{"S":"2026-11-21T09:30:00.000Z"},"youngest_received_at":{"S":"2026-11-21T09:30:01.000Z"},"tenants_key":{"S":"manifests/x"}}]}"#;
    let origin = |position| Origin { shard: "shardId-0".into(), sequence_number: "4951".into(), position };
    let (stored, requests) = reader(&[(200, row)]);
    let found = stored.archive_object(&origin(3)).await.unwrap().unwrap();
    assert_eq!(
        (found.key.as_str(), found.tenants),
        ("events/x", TenantIndex::Sidecar("manifests/x".to_owned()))
    );
    let expected = json!({
        "TableName": "ledger",
        "ConsistentRead": true,
        "KeyConditionExpression": "pk = :shard AND sk BETWEEN :first AND :last",
        "ExpressionAttributeValues": {
            ":shard": {"S": "shard/shardId-0"},
            ":first": {"S": "object/"},
            ":last": {"S": "object/004-4951/0000000003"},
        },
        "ScanIndexForward": false,
        "Limit": 1,
    });
    assert_eq!(asked(&requests), [("Query".to_owned(), expected)]);
    assert_eq!(reader(&[(200, row)]).0.archive_object(&origin(4)).await, Ok(None), "not archived yet");
    assert_eq!(reader(&[(200, r#"{"Items":[]}"#)]).0.archive_object(&origin(3)).await, Ok(None));
}

#[tokio::test]
async fn a_refusal_is_a_failure_that_names_the_cause() {
    let denied = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","message":"not authorized to perform dynamodb:Query"}"#;
    let failure = reader(&[(400, denied)]).0.entries(&query(None)).await.unwrap_err().to_string();
    assert!(failure.contains("dynamodb:Query"), "{failure}");
}
