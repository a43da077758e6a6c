//! What stands behind the door fails: the client is told to come again, and nothing else.

use std::time::Duration;

use tokio::time::Instant;

use crate::server::{ACME, Answer, Faults, JSON, Server, TEXT, post};
use shared::noise::noise;

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

/// The stream takes nothing for `acme`, in one way or another, and the spill queue nothing at all.
fn both_away(stream: Faults) -> Server {
    Server::failing(Faults { queue_refuses: true, ..stream })
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_hangs_is_answered_202_within_the_budget_and_the_event_is_in_the_spill_queue() {
    let server = Server::failing(Faults { hangs: true, ..Faults::default() });
    let started = Instant::now();
    let answer = server.send(post(&[JSON, ACME], r#"{"id":"1"}"#)).await;
    assert_eq!(started.elapsed(), Duration::from_millis(250));
    assert_eq!((answer.shown(), &*answer.text), ("202".to_owned(), r#"{"status":"success","event_id":"1"}"#));
    assert_eq!(server.spilled(), [("acme".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_only_what_the_stream_did_not_take_spills() {
    let server = Server::failing(Faults { throttled: Some("full"), ..Faults::default() });
    let batch = r#"[{"tenant_id":"full","id":1},{"tenant_id":"free","id":2},{"tenant_id":"full","id":3}]"#;
    assert_eq!(server.send(post(&[JSON], batch)).await.json["accepted"], 3);
    assert_eq!(server.spilled(), [("full".to_owned(), 2)]);
    assert_eq!(server.partition_keys(), ["free"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_and_a_spill_queue_that_are_away_are_answered_within_both_budgets() {
    let started = Instant::now();
    let answer = both_away(Faults { hangs: true, ..Faults::default() }).send(post(&[JSON, ACME], "{}")).await;
    assert!(started.elapsed() <= Duration::from_millis(400));
    assert_retry(&answer, "stream_unavailable");
    insta::assert_snapshot!(answer.json["detail"].as_str().unwrap(), @"neither the stream nor the spill queue took the event within 400 ms: send it again (under the same id it counts once)");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_takes_no_more_is_answered_for() {
    let server = both_away(Faults { throttled: Some("acme"), ..Faults::default() });
    assert_retry(&server.send(post(&[JSON, ACME], "{}")).await, "stream_unavailable");
}

#[tokio::test]
async fn a_claim_check_that_cannot_be_stored_keeps_its_event_off_the_stream() {
    let server = Server::failing(Faults { objects_fail: true, ..Faults::default() });
    let answer = server.send(post(&[TEXT, ACME], noise(2_000_000, 1))).await;
    assert_retry(&answer, "claim_store_unavailable");
    assert!(server.events().is_empty());
}

#[tokio::test]
async fn a_panic_behind_the_door_is_an_answer_and_not_a_hang() {
    let server = both_away(Faults { panics: true, ..Faults::default() });
    assert_retry(&server.send(post(&[JSON, ACME], "{}")).await, "stream_unavailable");
}
