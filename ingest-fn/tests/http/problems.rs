//! Each refusal: status, code, and the shape of its answer.

use axum::body::Body;
use http::Request;

use crate::server::{ACME, Faults, JSON, NDJSON, Server, TEXT, post, post_to};

async fn check(request: Request<Body>, expected: &str) {
    // Small limits, so that a body may pass them in a line.
    let server = Server::with(Faults::default(), |config| {
        config.limits.body_bytes = 1_000;
        config.limits.batch_events = 2;
    });
    let answer = server.send(request).await;
    assert_eq!(answer.shown(), expected, "{answer:?}");
    answer.assert_problem();
    assert!(server.events().is_empty());
}

#[tokio::test]
async fn every_refusal_has_its_status_and_code_and_is_a_problem() {
    let bare = |headers: &[(&str, &str)]| {
        let request = Request::post("/ingest").header("content-type", "application/json");
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .body("{}".into())
            .unwrap()
    };
    check(bare(&[]), "403 tier_missing").await;
    check(bare(&[("x-customer-tier", "gold")]), "403 tier_not_allowed").await;

    check(post(&[JSON], "{}"), "400 tenant_missing").await;
    check(post(&[TEXT], "x"), "400 tenant_missing").await;
    check(post(&[JSON, ("x-tenant-id", "no spaces")], "{}"), "400 tenant_invalid").await;
    check(post(&[JSON], r#"{"tenant_id":"../x"}"#), "400 tenant_invalid").await;
    check(post(&[JSON], r#"{"tenant_id":[7]}"#), "400 tenant_invalid").await;
    check(post_to("/v1/webhooks/a%2Fb/events/new", &[JSON], "{}"), "400 tenant_invalid").await;
    check(post_to("/v1/webhooks//events/new", &[JSON], "{}"), "400 tenant_invalid").await;
    check(post_to("/v1/webhooks/%ff/events/new", &[JSON], "{}"), "400 tenant_invalid").await;
    check(post_to("/v1/webhooks/beta/events/new", &[JSON, ACME], "{}"), "400 tenant_conflict").await;
    check(post(&[JSON, ACME], r#"{"tenant_id":"beta"}"#), "400 tenant_conflict").await;

    check(post(&[JSON, ACME], r#"{"id":{}}"#), "400 event_id_invalid").await;
    let long = "k".repeat(257);
    check(post(&[JSON, ACME, ("idempotency-key", &long)], "{}"), "400 event_id_invalid").await;

    check(post(&[ACME], "{}"), "415 media_type_unsupported").await;
    check(post(&[ACME, ("content-type", "text/html")], "{}"), "415 media_type_unsupported").await;
    check(post(&[ACME, ("content-type", "text/plain; charset=utf-16")], "x"), "400 not_of_charset").await;
    check(post(&[ACME, ("content-type", "text/plain; charset=utf-7")], "x"), "415 charset_unsupported").await;
    check(post(&[JSON, ACME, ("content-encoding", "br")], "{}"), "415 content_encoding_unsupported").await;

    check(post(&[TEXT, ACME], vec![b'x'; 1_001]), "413 body_too_large").await;
    check(post(&[TEXT, ACME, ("content-length", "1001")], "x"), "413 body_too_large").await;
    check(post(&[JSON, ACME, ("content-encoding", "gzip")], &b"\x1f\x8b{}"[..]), "400 body_corrupt").await;
    check(post(&[JSON, ACME], "\x1f\u{fffd}\x08"), "400 body_mangled").await;
    check(post(&[TEXT, ACME], ""), "400 body_empty").await;
    check(post(&[JSON, ACME], " "), "400 body_empty").await;
    check(post(&[TEXT, ACME], &b"\xff"[..]), "400 not_utf8").await;
    check(post(&[JSON, ACME], &b"{\"text\":\"\xff\"}"[..]), "400 not_utf8").await;

    check(post(&[JSON, ACME], "{"), "400 malformed_json").await;
    check(post(&[JSON, ACME], "null"), "400 not_an_object").await;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(120), "]".repeat(120));
    check(post(&[JSON, ACME], deep), "400 json_unreadable").await;
    check(
        post(&[JSON, ACME], format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200))),
        "400 json_unreadable",
    )
    .await;
    check(post(&[JSON, ACME], "[]"), "400 batch_empty").await;
    check(post(&[NDJSON, ACME], "\n"), "400 batch_empty").await;
    check(post(&[JSON, ACME], "[1,2,3]"), "413 batch_too_large").await;
    check(post(&[NDJSON, ACME], "1\n2\n3"), "413 batch_too_large").await;
    check(post(&[JSON, ACME], "[1,2]"), "422 batch_rejected").await;
}

#[tokio::test]
async fn a_text_with_more_simulated_work_than_fits_is_refused_with_the_limit_and_the_keys() {
    let server = Server::with(Faults::default(), |config| config.transform.simulate_work = 10.0);
    assert_eq!(server.send(post(&[TEXT, ACME], "ééé")).await.status, 202);
    let answer = server.send(post(&[TEXT, ACME], "éééé")).await;
    answer.assert_problem();
    insta::assert_snapshot!(answer.text, @r#"{"type":"urn:tidegate:problem:work_too_long","title":"Work too long","status":413,"detail":"the text has 4 characters, allowed with simulated work: at most 3; shorten it, lower `transform.simulate_work` (10 s a character) or raise `consumer.timeout_seconds` (60 s, at most 900)","code":"work_too_long","limit":3,"request_id":"00000000-0000-0000-0000-000000000004"}"#);

    // The text of an object that is flattened counts too, and each event of a batch is answered alone.
    let answer = server.send(post(&[JSON, ACME], r#"[{"id":1,"text":"abc"},{"id":2,"a":"bc"}]"#)).await;
    assert_eq!((answer.status.as_u16(), &answer.json["events"][1]["code"]), (207, &"work_too_long".into()));
    assert_eq!(server.events().len(), 2);
}

#[tokio::test]
async fn a_header_that_is_no_text_is_refused_by_name() {
    let value = http::HeaderValue::from_bytes(b"\xff").unwrap();
    let mut request = post(&[JSON, ACME], "{}");
    request.headers_mut().insert("webhook-id", value.clone());
    check(request, "400 header_not_text").await;
    let mut request = post(&[JSON], "{}");
    request.headers_mut().insert("x-tenant-id", value.clone());
    check(request, "400 tenant_invalid").await;
    let mut request = post(&[JSON, ACME], "{}");
    request.headers_mut().insert("x-customer-tier", value);
    check(request, "403 tier_not_allowed").await;
}

#[tokio::test]
async fn a_problem_names_what_came_and_what_is_allowed() {
    let server = Server::new();
    let mut request = post(&[JSON, ACME], "{}");
    request.headers_mut().insert("x-customer-tier", "gold".parse().unwrap());
    insta::assert_snapshot!(server.send(request).await.text, @r#"{"type":"urn:tidegate:problem:tier_not_allowed","title":"Tier not allowed","status":403,"detail":"tier `gold` is not allowed (allowed: free, pro, enterprise)","code":"tier_not_allowed","request_id":"00000000-0000-0000-0000-000000000001"}"#);
    insta::assert_snapshot!(server.send(post(&[ACME, ("content-type", "text/csv")], "x")).await.json["detail"].as_str().unwrap(), @"media type `text/csv` cannot be read (accepted: application/json, application/x-ndjson, text/plain)");
    insta::assert_snapshot!(server.send(post(&[TEXT, ACME], vec![b'x'; 10_485_761])).await.text, @r#"{"type":"urn:tidegate:problem:body_too_large","title":"Body too large","status":413,"detail":"the body is larger than 10485760 bytes (after decompression)","code":"body_too_large","limit":10485760,"request_id":"00000000-0000-0000-0000-000000000003"}"#);
}

#[tokio::test]
async fn a_tier_is_not_looked_for_where_a_default_stands() {
    let server = Server::with(Faults::default(), |config| {
        config.tiers.default = Some(config.tiers.allowed[0].clone());
        config.tenants.default = Some(shared::id::TenantId::parse("house").unwrap());
    });
    let request = Request::post("/ingest").header("content-type", "text/plain").body("x".into()).unwrap();
    assert_eq!(server.send(request).await.status, 202);
    let event = &server.events()[0];
    assert_eq!((event.facts.tier.as_str(), event.facts.tenant.as_str()), ("free", "house"));
}
