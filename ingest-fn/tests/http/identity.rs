//! Ids: the client's, by key, or ours.

use crate::server::{ACME, Faults, JSON, NDJSON, Server, TEXT, post};

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
async fn a_header_names_the_event_over_its_body() {
    let key = ("idempotency-key", "key");
    assert_eq!(ids(&[JSON, ACME, key], r#"{"id":7}"#).await, ["key"]);
    assert_eq!(ids(&[JSON, ACME], r#"{"id":7}"#).await, ["7"]);
    assert_eq!(ids(&[TEXT, ACME, key], "x").await, ["key"]);
    assert_eq!(ids(&[TEXT, ACME, ("webhook-id", "msg_1")], "x").await, ["msg_1"]);
    assert_eq!(ids(&[TEXT, ACME, ("webhook-id", "msg_1"), key], "x").await, ["key"]);
    assert_eq!(ids(&[JSON, ACME, ("idempotency-key", "")], r#"{"event_id":"","id":7.0}"#).await, ["7"]);
}

#[tokio::test]
async fn the_configuration_says_which_headers_and_members_name_events() {
    let server = Server::with(Faults::default(), |config| {
        config.ids.headers = vec!["X-GitHub-Delivery".to_owned()];
        config.ids.members = vec!["uuid".to_owned()];
    });
    let body = r#"{"id":1,"uuid":"u","text":"x"}"#;
    server.send(post(&[JSON, ACME, ("x-github-delivery", "delivery"), ("webhook-id", "w")], body)).await;
    server.send(post(&[JSON, ACME, ("idempotency-key", "k")], body)).await;
    let events = server.events();
    assert_eq!(events.iter().map(|event| event.facts.id.as_str()).collect::<Vec<_>>(), ["delivery", "u"]);
    assert_eq!(events[0].fields.as_json(), r#"{"id":1,"uuid":"u"}"#);
    assert_eq!(events[1].fields.as_json(), r#"{"id":1}"#);
}

#[tokio::test]
async fn in_a_batch_the_key_is_completed_by_the_events_content() {
    let key = ("idempotency-key", "key");
    let batch = ids(&[JSON, ACME, key], r#"[{},{"id":"own"},{}]"#).await;
    assert_eq!(batch[2], format!("{}.2", batch[0]));
    assert_eq!(ids(&[NDJSON, ACME, key], "{\"id\":\"own\"}\n\n{ }\n").await, [&*batch[1], &*batch[0]]);
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
