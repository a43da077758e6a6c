//! Large bodies: inline as long as a record takes them, else a claim check.

use bytes::Bytes;
use shared::format::event_line::Event;
use shared::limits;
use shared::noise::noise;

use crate::server::{ACME, Faults, JSON, NDJSON, Server, TEXT, post};

/// The event that is stored for a head.
fn fetch(server: &Server, head: &Event) -> Event {
    let objects = &server.objects;
    assert!(objects.keys("").iter().all(|key| objects.bytes(key).len() <= limits::OBJECT_BYTES));
    let claim_check = head.claim_check.as_ref().unwrap();
    let parts: Vec<Bytes> = claim_check.part_keys().iter().map(|key| objects.bytes(key)).collect();
    let event: Event = serde_json::from_slice(&claim_check.line(&parts).unwrap()).unwrap();
    assert_eq!((&event.facts, event.content_hash()), (&head.facts, head.content_hash()));
    event
}

#[tokio::test]
async fn a_text_of_the_largest_size_is_stored_whole_in_parts() {
    let (server, text) = (Server::new(), noise(limits::BODY_BYTES, 1));
    assert_eq!(server.send(post(&[TEXT, ACME, ("idempotency-key", "a/b")], text.clone())).await.status, 202);
    let head = &server.events()[0];
    let claim_check = head.claim_check.as_ref().unwrap();
    assert_eq!(claim_check.parts, 2, "{claim_check:?}");
    assert!(claim_check.key.starts_with("claims/acme/a%2Fb/"), "{}", claim_check.key);
    assert!(fetch(&server, head).text == text);
}

#[tokio::test]
async fn fields_of_the_largest_size_are_stored_whole_with_their_text() {
    let server = Server::new();
    let frame = r#"{"text":"small","data":""}"#.len();
    let data = noise(limits::BODY_BYTES - frame, 1);
    let answer = server.send(post(&[JSON, ACME], format!(r#"{{"text":"small","data":"{data}"}}"#))).await;
    assert_eq!(answer.status, 202);
    let event = fetch(&server, &server.events()[0]);
    assert_eq!(event.text, "small");
    assert!(event.fields.as_json() == format!(r#"{{"data":"{data}"}}"#));
}

#[tokio::test]
async fn a_text_that_compresses_to_a_record_goes_inline_and_nothing_is_stored() {
    for text in ["all work and no play ".repeat(470_000), noise(1_300_000, 1)] {
        let server = Server::new();
        assert_eq!(server.send(post(&[TEXT, ACME], text.clone())).await.status, 202);
        assert!(server.events()[0].text == text);
        assert!(server.objects.keys("").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_that_fits_a_record_but_no_message_is_spilled_as_a_head() {
    let text = noise(1_300_000, 1);
    let server = Server::failing(Faults { hangs: true, ..Faults::default() });
    assert_eq!(server.send(post(&[TEXT, ACME], text.clone())).await.status, 202);
    let spilled = server.spilled_lines();
    assert!(spilled[0].is_head && spilled.len() == 1);
    assert!(fetch(&server, &serde_json::from_slice(&spilled[0].line).unwrap()).text == text);

    let faults = Faults { hangs: true, objects_fail: true, ..Faults::default() };
    let server = Server::failing(faults);
    assert_eq!(server.send(post(&[TEXT, ACME], text)).await.shown(), "503 stream_unavailable");
    assert!(server.spilled().is_empty());
}

#[tokio::test]
async fn an_object_whose_paths_multiply_is_flattened_to_no_more_than_its_size() {
    // A path of 100 KB on each of 100,000 leaves would be 10 GB of text.
    let body = format!(r#"{{"{}":[{}1]}}"#, noise(100_000, 1), "1,".repeat(100_000));
    let server = Server::new();
    assert_eq!(server.send(post(&[JSON, ACME], body)).await.status, 202);
    assert!(server.events()[0].text.len() <= 150_000);
}

#[tokio::test]
async fn large_and_small_events_may_share_a_batch() {
    let (server, large) = (Server::new(), noise(2_000_000, 1));
    let body = format!("{{\"id\":1,\"text\":\"{large}\"}}\n{{\"id\":2,\"text\":\"small\"}}\n");
    assert_eq!(server.send(post(&[NDJSON, ACME], body)).await.json["accepted"], 2);
    let events = server.events();
    let ids: Vec<_> = events.iter().map(|event| event.facts.id.to_string()).collect();
    assert_eq!(ids, ["1", "2"]);
    assert!(events[0].claim_check.is_some() && events[1].claim_check.is_none());
}
