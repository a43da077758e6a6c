//! Several events in a request: how each is answered.

use http::Request;

use crate::server::{ACME, Faults, JSON, NDJSON, Server, post};

#[tokio::test]
async fn an_array_is_answered_for_each_of_its_events_even_if_it_is_one() {
    let server = Server::new();
    let answer = server.send(post(&[JSON, ACME], r#"[{"id":"a"}]"#)).await;
    assert_eq!(answer.status, 202);
    insta::assert_snapshot!(answer.text, @r#"{"status":"success","accepted":1,"events":[{"index":0,"status":"accepted","event_id":"a"}]}"#);
}

#[tokio::test]
async fn lines_are_answered_as_an_array_is() {
    let server = Server::new();
    let answer = server.send(post(&[NDJSON, ACME], "{\"id\":\"a\"}\n{\"id\":\"b\"}\n")).await;
    assert_eq!(answer.status, 202);
    insta::assert_snapshot!(answer.text, @r#"{"status":"success","accepted":2,"events":[{"index":0,"status":"accepted","event_id":"a"},{"index":1,"status":"accepted","event_id":"b"}]}"#);
    assert_eq!(server.partition_keys(), ["acme"], "one record");
}

#[tokio::test]
async fn a_batch_may_mix_tenants_where_neither_path_nor_header_names_one() {
    let server = Server::new();
    let body = r#"[{"tenant_id":"a","id":1},{"tenant_id":"b","id":1},{"tenant_id":"a","id":2}]"#;
    assert_eq!(server.send(post(&[JSON], body)).await.status, 202);
    assert_eq!(server.partition_keys(), ["a", "b"]);
    let events: Vec<_> =
        server.events().iter().map(|event| format!("{}/{}", event.facts.tenant, event.facts.id)).collect();
    assert_eq!(events, ["a/1", "a/2", "b/1"]);
}

#[tokio::test]
async fn the_good_events_of_a_batch_are_taken_and_the_bad_ones_named() {
    let server = Server::new();
    let answer = server.send(post(&[JSON, ACME], r#"[{"id":"a"},7,{"tenant_id":"beta"}]"#)).await;
    assert_eq!(answer.status, 207);
    insta::assert_snapshot!(answer.text, @r#"{"status":"partial","accepted":1,"events":[{"index":0,"status":"accepted","event_id":"a"},{"index":1,"status":"rejected","code":"not_an_object","detail":"it is JSON, but not an object"},{"index":2,"status":"rejected","code":"tenant_conflict","detail":"two tenants are named: `acme` and `beta`"}]}"#);
    assert_eq!(server.events().len(), 1);
}

#[tokio::test]
async fn a_batch_of_bad_events_is_a_problem_that_lists_them() {
    let answer = Server::new().send(post(&[JSON, ACME], "[7]")).await;
    assert_eq!(answer.status, 422);
    answer.assert_problem();
    insta::assert_snapshot!(answer.text, @r#"{"type":"urn:tidegate:problem:batch_rejected","title":"Batch rejected","status":422,"detail":"none of the batch's events can be accepted","code":"batch_rejected","request_id":"00000000-0000-0000-0000-000000000001","events":[{"index":0,"status":"rejected","code":"not_an_object","detail":"it is JSON, but not an object"}]}"#);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_published_is_told_apart_from_what_is_bad() {
    let send = async |request: Request<_>| {
        let faults = Faults { throttled: Some("full"), queue_refuses: true, ..Faults::default() };
        Server::failing(faults).send(request).await
    };
    let answer = send(post(&[JSON], r#"[{"tenant_id":"free","id":1},{"tenant_id":"full","id":2},7]"#)).await;
    assert_eq!(answer.status, 207);
    insta::assert_snapshot!(answer.text, @r#"{"status":"partial","accepted":1,"events":[{"index":0,"status":"accepted","event_id":"1"},{"index":1,"status":"unpublished","code":"stream_unavailable","detail":"neither the stream nor the spill queue took the event within 400 ms: send it again (under the same id it counts once)"},{"index":2,"status":"rejected","code":"not_an_object","detail":"it is JSON, but not an object"}]}"#);

    let answer = send(post(&[JSON], r#"[{"tenant_id":"full","id":2},7]"#)).await;
    assert_eq!((answer.status.as_u16(), &answer.json["accepted"]), (207, &0.into()));

    let answer = send(post(&[JSON], r#"[{"tenant_id":"full"},{"tenant_id":"full"}]"#)).await;
    assert_eq!(answer.shown(), "503 stream_unavailable");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.json["events"][1]["status"], "unpublished");
    answer.assert_problem();
}

#[tokio::test]
async fn ten_thousand_events_are_taken_and_one_more_is_not() {
    // Packing so many takes a debug build on a busy machine longer than a sender waits.
    let server = Server::with(Faults::default(), |config| {
        (config.publish.budget_ms, config.publish.attempt_ms) = (60_000, 60_000);
    });
    let lines = |count: usize| "{}\n".repeat(count);
    assert_eq!(server.send(post(&[NDJSON, ACME], lines(10_000))).await.json["accepted"], 10_000);
    assert_eq!(server.events().len(), 10_000);
    let answer = server.send(post(&[NDJSON, ACME], lines(10_001))).await;
    assert_eq!((answer.shown().as_str(), &answer.json["limit"]), ("413 batch_too_large", &10_000.into()));
}
