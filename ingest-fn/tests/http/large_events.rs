//! Claim checks: bodies up to the limit are stored whole, whatever they are made of.

use bytes::Bytes;
use shared::format::claim_check::BlobRef;
use shared::format::event_line::Text;
use shared::limits;
use shared::noise::noise;

use crate::server::{ACME, JSON, NDJSON, Server, TEXT, post};

/// What the reference leads to.
fn fetch(server: &Server, blob: &BlobRef) -> Bytes {
    let objects = &server.objects;
    assert!(objects.keys("").iter().all(|key| objects.bytes(key).len() <= limits::OBJECT_BYTES));
    blob.join(blob.part_keys().iter().map(|key| objects.bytes(key)).collect()).unwrap()
}

#[tokio::test]
async fn a_text_of_the_largest_size_is_stored_whole_in_parts() {
    let (server, text) = (Server::new(), noise(limits::BODY_BYTES, 1));
    assert_eq!(server.send(post(&[TEXT, ACME, ("idempotency-key", "a/b")], text.clone())).await.status, 202);
    let event = &server.events()[0];
    let Text::Ref(blob) = &event.text else { panic!("{event:?}") };
    assert_eq!((blob.parts, blob.bytes), (2, 10_000_000));
    assert!(blob.key.starts_with("payloads/acme/a%2Fb/"), "{}", blob.key);
    assert_eq!(fetch(&server, blob), text);
}

#[tokio::test]
async fn fields_of_the_largest_size_are_stored_whole_and_a_small_text_stays() {
    let server = Server::new();
    let frame = r#"{"text":"small","data":""}"#.len();
    let data = noise(limits::BODY_BYTES - frame, 1);
    let answer = server.send(post(&[JSON, ACME], format!(r#"{{"text":"small","data":"{data}"}}"#))).await;
    assert_eq!(answer.status, 202);
    let event = &server.events()[0];
    assert_eq!((&event.text, event.fields.is_empty()), (&Text::Inline("small".to_owned()), true));
    assert_eq!(fetch(&server, event.fields_ref.as_ref().unwrap()), format!(r#"{{"data":"{data}"}}"#));
}

#[tokio::test]
async fn text_and_fields_both_go_where_both_are_large() {
    let (server, half) = (Server::new(), noise(4_000_000, 1));
    let answer = server.send(post(&[JSON, ACME], format!(r#"{{"text":"{half}","data":"{half}"}}"#))).await;
    assert_eq!(answer.status, 202);
    let event = &server.events()[0];
    let Text::Ref(text) = &event.text else { panic!("{event:?}") };
    assert_eq!(fetch(&server, text), half);
    assert_eq!(fetch(&server, event.fields_ref.as_ref().unwrap()), format!(r#"{{"data":"{half}"}}"#));
}

#[tokio::test]
async fn a_text_that_compresses_well_stays_in_the_line_whatever_its_size() {
    let (server, text) = (Server::new(), "all work and no play ".repeat(470_000));
    assert_eq!(server.send(post(&[TEXT, ACME], text.clone())).await.status, 202);
    assert_eq!(server.events()[0].text, Text::Inline(text));
    assert!(server.objects.keys("").is_empty());
}

#[tokio::test]
async fn an_object_that_flattens_to_many_times_its_size_is_taken() {
    // A path of 100 KB on each of 100,000 leaves would be 10 GB of text.
    let body = format!(r#"{{"{}":[{}1]}}"#, noise(100_000, 1), "1,".repeat(100_000));
    let server = Server::new();
    assert_eq!(server.send(post(&[JSON, ACME], body)).await.status, 202);
}

#[tokio::test]
async fn large_and_small_events_may_share_a_batch() {
    let (server, large) = (Server::new(), noise(1_000_000, 1));
    let body = format!("{{\"id\":1,\"text\":\"{large}\"}}\n{{\"id\":2,\"text\":\"small\"}}\n");
    assert_eq!(server.send(post(&[NDJSON, ACME], body)).await.json["accepted"], 2);
    let ids: Vec<_> = server.events().iter().map(|event| event.facts.id.to_string()).collect();
    assert_eq!(ids, ["1", "2"]);
}
