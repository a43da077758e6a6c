//! A port fails: the client is asked to retry, and learns nothing else.

use std::time::Duration;

use serde_json::json;
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
        "the answer names no internals: {detail}"
    );
}

/// A server whose stream fails in the given way and whose spill queue refuses everything.
fn both_unavailable(stream: Faults) -> Server {
    Server::failing(Faults { queue_refuses: true, ..stream })
}

#[tokio::test(start_paused = true)]
async fn an_event_for_a_hanging_stream_is_spilled_and_answered_202_within_the_budget() {
    let server = Server::failing(Faults { hangs: true, ..Faults::default() });
    let started = Instant::now();
    let answer = server.send(post(&[JSON, ACME], r#"{"id":"1"}"#)).await;
    assert_eq!(started.elapsed(), Duration::from_millis(250));
    assert_eq!((answer.shown(), &*answer.text), ("202".to_owned(), r#"{"status":"success","event_id":"1"}"#));
    assert_eq!(server.spilled(), [("acme".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn only_the_events_of_a_batch_that_the_stream_did_not_take_are_spilled() {
    let server = Server::failing(Faults { throttled: Some("full"), ..Faults::default() });
    let batch = r#"[{"tenant_id":"full","id":1},{"tenant_id":"free","id":2},{"tenant_id":"full","id":3}]"#;
    assert_eq!(server.send(post(&[JSON], batch)).await.json["accepted"], 3);
    assert_eq!(server.spilled(), [("full".to_owned(), 2)]);
    assert_eq!(server.partition_keys(), ["free"]);
}

#[tokio::test(start_paused = true)]
async fn without_stream_and_spill_queue_the_answer_comes_within_both_budgets() {
    let started = Instant::now();
    let answer =
        both_unavailable(Faults { hangs: true, ..Faults::default() }).send(post(&[JSON, ACME], "{}")).await;
    assert!(started.elapsed() <= Duration::from_millis(400));
    assert_retry(&answer, "stream_unavailable");
    insta::assert_snapshot!(answer.json["detail"].as_str().unwrap(), @"neither the stream nor the spill queue took the event within 400 ms: send it again (under the same id it counts once)");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_shard_is_answered_503() {
    let server = both_unavailable(Faults { throttled: Some("acme"), ..Faults::default() });
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
async fn a_panic_in_an_adapter_is_answered() {
    let server = both_unavailable(Faults { panics: true, ..Faults::default() });
    assert_retry(&server.send(post(&[JSON, ACME], "{}")).await, "stream_unavailable");
}

/// No event is accepted, not even one that the stream took: it may have gone to a file that is deleted.
#[tokio::test]
async fn a_storage_that_is_gone_before_or_during_a_request_refuses_it() {
    for (after, records) in [(0, 0), (1, 1)] {
        let server = Server::failing(Faults { storage_gone_after: Some(after), ..Faults::default() });
        let answer = server.send(post(&[JSON, ACME], "{}")).await;
        assert_eq!(answer.shown(), "503 storage_failing");
        assert_eq!(answer.headers["retry-after"], "30");
        answer.assert_problem();
        assert_eq!(server.partition_keys().len(), records);
    }
}

#[tokio::test]
async fn health_says_what_is_wrong_with_the_storage_and_what_to_do() {
    let server = Server::failing(Faults { storage_gone_after: Some(0), ..Faults::default() });
    let answer = server.health().await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json["status"], "failing");
    let expected = json!([{
        "code": "storage_failing",
        "message": "the folder is gone: put it back",
        "runbook": "docs/runbooks/storage-failing.md",
    }]);
    assert_eq!(answer.json["reasons"], expected);
}

/// A platform ends processes that answer 503 here, and none of them can help the stream.
#[tokio::test]
async fn services_that_fail_make_the_process_degraded_until_a_minute_passes_without_failures() {
    let spilling = Faults { throttled: Some("acme"), ..Faults::default() };
    for (faults, code, gauge) in [
        (spilling, "spilling", "events_spilled_lately"),
        (Faults { queue_refuses: true, ..spilling }, "ingest_unavailable", "events_refused_lately"),
    ] {
        let server = Server::failing(faults);
        assert_eq!(server.health().await.json["status"], "ok");
        server.send(post(&[JSON, ACME], "{}")).await;
        server.advance(Duration::from_secs(40));
        server.send(post(&[JSON, ACME], "[{},{}]")).await;
        let answer = server.health().await;
        assert_eq!((answer.status.as_u16(), &answer.json["status"]), (200, &json!("degraded")));
        assert_eq!((&answer.json["covers"], &answer.json["gauges"][gauge]), (&json!("ingest"), &json!(3)));
        let [reason] = &answer.json["reasons"].as_array().unwrap()[..] else { panic!("{answer:?}") };
        assert_eq!(
            (&reason["code"], &reason["value"], &reason["limit"]),
            (&json!(code), &json!(3), &json!(0))
        );
        server.advance(Duration::from_secs(59));
        assert_eq!(server.health().await.json["status"], "degraded");
        server.advance(Duration::from_secs(1));
        let answer = server.health().await;
        assert_eq!((&answer.json["status"], &answer.json["gauges"][gauge]), (&json!("ok"), &json!(0)));
    }
}
