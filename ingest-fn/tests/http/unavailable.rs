//! What stands behind the door fails: the client is told to come again, and nothing else.

use std::time::Duration;

use tokio::time::Instant;

use crate::server::{ACME, Answer, Faults, JSON, Server, TEXT, post};

fn assert_retry(answer: &Answer, code: &str) {
    assert_eq!(answer.shown(), format!("503 {code}"));
    assert_eq!(answer.headers["retry-after"], "1");
    answer.assert_problem();
    let detail = answer.json["detail"].as_str().unwrap();
    assert!(
        !detail.contains("account") && !detail.contains("bucket"),
        "what lies behind is not told: {detail}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_hangs_is_answered_within_the_budget() {
    let started = Instant::now();
    let answer =
        Server::failing(Faults { hangs: true, ..Faults::default() }).send(post(&[JSON, ACME], "{}")).await;
    assert_eq!(started.elapsed(), Duration::from_millis(250));
    assert_retry(&answer, "stream_unavailable");
    insta::assert_snapshot!(answer.json["detail"].as_str().unwrap(), @"the stream did not take the event within 250 ms: send it again (under the same id it counts once)");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_takes_no_more_is_answered_for() {
    let faults = Faults { throttled: Some("acme"), ..Faults::default() };
    assert_retry(&Server::failing(faults).send(post(&[JSON, ACME], "{}")).await, "stream_unavailable");
}

#[tokio::test]
async fn a_payload_that_cannot_be_stored_keeps_its_event_off_the_stream() {
    let server = Server::failing(Faults { payloads_fail: true, ..Faults::default() });
    // The same bytes again and again compress, so: no byte like the one before it.
    let text: String = (0..2_000_000_u32)
        .map(|n| char::from(b' ' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 90))
        .collect();
    assert_retry(&server.send(post(&[TEXT, ACME], text)).await, "payload_store_unavailable");
    assert!(server.events().is_empty());
}

#[tokio::test]
async fn a_panic_behind_the_door_is_an_answer_and_not_a_hang() {
    let server = Server::failing(Faults { panics: true, ..Faults::default() });
    assert_retry(&server.send(post(&[JSON, ACME], "{}")).await, "stream_unavailable");
}
