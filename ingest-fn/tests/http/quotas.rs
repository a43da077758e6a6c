//! Quotas: what a tenant gets when it sends more than it may.

use std::time::Duration;

use axum::body::Body;
use shared::config::{Config, Quota};
use shared::tier::Tier;
use tower::ServiceExt;

use crate::server::{ACME, Faults, JSON, NDJSON, Server, TEXT, post};

fn limited(quota: Quota) -> impl FnOnce(&mut Config) {
    move |config| config.quotas.tiers = [(Tier::parse("pro").unwrap(), quota)].into()
}

#[tokio::test(start_paused = true)]
async fn a_request_over_the_quota_is_answered_429_with_a_time() {
    let quota = Quota { requests_per_second: Some(2), requests_burst: Some(3), ..Quota::default() };
    let server = Server::with(Faults::default(), limited(quota));
    for _ in 0..3 {
        assert_eq!(server.send(post(&[JSON, ACME], "{}")).await.status, 202);
    }
    let answer = server.send(post(&[JSON, ACME], "{}")).await;
    assert_eq!(
        (answer.shown().as_str(), answer.headers["retry-after"].as_str()),
        ("429 quota_exceeded", "1")
    );
    answer.assert_problem();
    assert_eq!(answer.json["limit"], 2);
    insta::assert_snapshot!(answer.json["detail"].as_str().unwrap(), @"the quota of 2 requests/s is used up: send again in 1 s");
    // Another tenant is not held up.
    assert_eq!(server.send(post(&[JSON, ("x-tenant-id", "beta")], "{}")).await.status, 202);
    server.advance(Duration::from_secs(1));
    assert_eq!(server.send(post(&[JSON, ACME], "{}")).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn a_request_over_the_quota_is_refused_before_its_body_is_read() {
    let quota = Quota { requests_per_second: Some(1), ..Quota::default() };
    let server = Server::with(Faults::default(), limited(quota));
    assert_eq!(server.send(post(&[JSON, ACME], "{}")).await.status, 202);
    let silent = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let started = tokio::time::Instant::now();
    let answer = server.send(post(&[JSON, ACME, ("expect", "100-continue")], silent)).await;
    assert_eq!((answer.shown().as_str(), started.elapsed()), ("429 quota_exceeded", Duration::ZERO));
}

const GZIP: (&str, &str) = ("content-encoding", "gzip");

fn largest() -> Vec<u8> {
    shared::gzip::compress(&vec![b' '; 10_485_760], shared::gzip::Level::FAST)
}

#[tokio::test(start_paused = true)]
async fn what_decompression_adds_is_charged_and_paid_before_the_next_body_is_decompressed() {
    let quota = Quota { bytes_per_second: Some(1_000_000), ..Quota::default() };
    let server = Server::with(Faults::default(), limited(quota));
    assert_eq!(server.send(post(&[TEXT, ACME, GZIP], largest())).await.status, 202);
    // There is room for what comes, not for what it becomes.
    server.advance(Duration::from_secs(1));
    assert_eq!(server.send(post(&[TEXT, ACME, GZIP], largest())).await.status, 202);
    // It cannot be decompressed at all, and that is not seen.
    let answer = server.send(post(&[TEXT, ACME, GZIP], &b"not \xff"[..])).await;
    assert_eq!(
        (answer.shown().as_str(), answer.headers["retry-after"].as_str()),
        ("429 quota_exceeded", "10")
    );
    insta::assert_snapshot!(answer.json["detail"].as_str().unwrap(), @"the quota of 1000000 bytes/s is used up: send again in 10 s");
    server.advance(Duration::from_secs(10));
    assert_eq!(server.send(post(&[TEXT, ACME, GZIP], &b"not \xff"[..])).await.shown(), "400 body_corrupt");
}

#[tokio::test(start_paused = true)]
async fn small_events_are_charged_for_what_each_is_stored_with() {
    let quota = Quota { bytes_per_second: Some(1_000_000), ..Quota::default() };
    let server = Server::with(Faults::default(), limited(quota));
    let many = |events| format!("[{}]", vec!["{}"; events].join(","));
    assert_eq!(server.send(post(&[JSON, ACME], many(10_000))).await.status, 202);
    assert_eq!(
        server.send(post(&[JSON, ACME], many(10_000))).await.status,
        202,
        "there was room for what came"
    );
    let answer = server.send(post(&[JSON, ACME], "{}")).await;
    assert_eq!(
        (answer.shown().as_str(), answer.headers["retry-after"].as_str()),
        ("429 quota_exceeded", "10")
    );
}

#[tokio::test]
async fn of_many_small_events_in_many_requests_at_once_the_first_ones_use_up_the_quota() {
    let server = Server::with(
        Faults::default(),
        limited(Quota { bytes_per_second: Some(1_000_000), ..Quota::default() }),
    );
    let many = || server.send(post(&[NDJSON, ACME], "{}\n".repeat(10_000)));
    let answers = futures::future::join_all(std::iter::repeat_with(many).take(64)).await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    // One is the burst, and each core may work on another one before it is charged.
    let most = 2 + std::thread::available_parallelism().unwrap().get();
    assert!((1..=most).contains(&accepted), "{accepted} of 64");
    assert!(answers.iter().all(|answer| ["202", "429 quota_exceeded"].contains(&answer.shown().as_str())));
}

/// The server drops the router's future then, while a blocking thread decompresses.
#[tokio::test]
async fn a_client_that_disconnects_while_its_body_is_decompressed_is_charged() {
    let quota = Quota { bytes_per_second: Some(1_000_000), ..Quota::default() };
    let server = Server::with(Faults::default(), limited(quota));
    // Large enough for a blocking thread.
    let mut body: Vec<u8> = (0..60_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    body.resize(10_485_760, b' ');
    let body = shared::gzip::compress(&body, shared::gzip::Level::FAST);
    assert!(body.len() > 20_000, "{}", body.len());
    let mut request = Box::pin(server.router.clone().oneshot(post(&[TEXT, ACME, GZIP], body)));
    for _ in 0..3 {
        assert!(futures::poll!(&mut request).is_pending());
        tokio::task::yield_now().await;
    }
    drop(request);
    let charged = async {
        while server.send(post(&[TEXT, ACME], "x")).await.shown() != "429 quota_exceeded" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), charged).await.expect("it is charged");
}

#[tokio::test(start_paused = true)]
async fn bodies_that_cannot_be_decompressed_are_charged_what_they_can_have_become() {
    let quota = Quota { bytes_per_second: Some(1_000_000), ..Quota::default() };
    let bomb = shared::gzip::compress(&vec![b' '; 20_000_000], shared::gzip::Level::FAST);
    let cut = largest()[..10_000].to_vec();
    for (body, refused) in [(bomb, "413 body_too_large"), (cut, "400 body_corrupt")] {
        let server = Server::with(Faults::default(), limited(quota.clone()));
        let send = async || server.send(post(&[TEXT, ACME, GZIP], body.clone())).await.shown();
        assert_eq!([send().await, send().await], [refused, "429 quota_exceeded"]);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_name_no_tenant_share_a_quota() {
    let quota = Quota { requests_per_second: Some(1), ..Quota::default() };
    let server = Server::with(Faults::default(), limited(quota));
    let event = |tenant: &str| format!(r#"{{"tenant_id":"{tenant}"}}"#);
    assert_eq!(server.send(post(&[NDJSON], event("a"))).await.status, 202);
    assert_eq!(server.send(post(&[NDJSON], event("b"))).await.status, 429);
    assert_eq!(server.events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_floods_uses_up_the_default_quota_and_no_other_tenant_sees_it() {
    let server = Server::new();
    let tiny = |tenant: &str| format!("{{\"tenant_id\":\"{tenant}\"}}\n").repeat(10_000);
    let mut accepted = 0;
    let refused = loop {
        match server.send(post(&[NDJSON], tiny("bad"))).await.shown() {
            shown if shown == "202" => accepted += 1,
            refused => break refused,
        }
    };
    // Two are a burst, the third one is owed.
    assert_eq!((accepted, refused.as_str()), (3, "429 quota_exceeded"));
    assert_eq!(server.send(post(&[NDJSON], tiny("good"))).await.shown(), "202");
    let mixed = "{\"tenant_id\":\"bad\"}\n{\"tenant_id\":\"good\"}";
    let answer = server.send(post(&[NDJSON], mixed)).await;
    assert_eq!((answer.status.as_u16(), &answer.json["events"][0]["code"]), (207, &"quota_exceeded".into()));
    assert_eq!(
        (&answer.json["events"][0]["status"], &answer.json["accepted"]),
        (&"unpublished".into(), &1.into())
    );
    assert_eq!(server.events().len(), 40_001);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_announces_more_than_the_quota_is_refused_before_it_is_read() {
    let server = Server::new();
    let large = || Body::from(vec![b'x'; 10_000_000]);
    let length = ("content-length", "10000000");
    for _ in 0..2 {
        assert_eq!(server.send(post(&[TEXT, ACME, length], large())).await.shown(), "202");
    }
    let silent = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let request = post(&[TEXT, ACME, length, ("expect", "100-continue")], silent);
    let started = tokio::time::Instant::now();
    let answer = server.send(request).await;
    assert_eq!((answer.shown().as_str(), started.elapsed()), ("429 quota_exceeded", Duration::ZERO));
}
