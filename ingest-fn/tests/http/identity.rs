//! Ids: the client's, by key, or ours.

use crate::server::{ACME, JSON, NDJSON, Server, TEXT, post};

async fn ids(headers: &[(&str, &str)], body: &'static str) -> Vec<String> {
    let server = Server::new();
    let answer = server.send(post(headers, body)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let ids: Vec<_> = server.events().iter().map(|event| event.facts.id.to_string()).collect();
    match answer.json["events"].as_array() {
        None => assert_eq!(answer.json["event_id"], ids[0]),
        Some(events) => assert!(events.iter().zip(&ids).all(|(event, id)| event["event_id"] == **id)),
    }
    ids
}

#[tokio::test]
async fn the_events_own_id_goes_before_the_key() {
    let key = ("idempotency-key", "key");
    assert_eq!(ids(&[JSON, ACME, key], r#"{"id":7}"#).await, ["7"]);
    assert_eq!(ids(&[JSON, ACME, key], "{}").await, ["key"]);
    assert_eq!(ids(&[TEXT, ACME, key], "x").await, ["key"]);
    assert_eq!(ids(&[TEXT, ACME, ("webhook-id", "msg_1")], "x").await, ["msg_1"]);
    assert_eq!(ids(&[TEXT, ACME, ("webhook-id", "msg_1"), key], "x").await, ["key"]);
}

#[tokio::test]
async fn in_a_batch_the_key_is_numbered_by_the_events_place() {
    let key = ("idempotency-key", "key");
    assert_eq!(ids(&[JSON, ACME, key], r#"[{},{"id":"own"},{}]"#).await, ["key#0", "own", "key#2"]);
    assert_eq!(ids(&[NDJSON, ACME, key], "{}\n\n{}\n").await, ["key#0", "key#1"]);
}

#[tokio::test]
async fn without_an_id_and_a_key_each_event_gets_one_of_ours() {
    let ids = ids(&[JSON, ACME], "[{},{}]").await;
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_retry_of_a_request_is_another_admission_of_the_same_event() {
    let server = Server::new();
    for _ in 0..2 {
        server.send(post(&[JSON, ACME], r#"{"id":"7","text":"x"}"#)).await;
    }
    let events = server.events();
    assert_eq!(events[0].facts.id, events[1].facts.id);
    assert_ne!(events[0].facts.admission_id, events[1].facts.admission_id);
}
