//! Quotas: what a tenant gets when it sends more than it may.

use std::time::Duration;

use axum::body::Body;
use shared::config::{Config, Quota};
use shared::tier::Tier;

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

#[tokio::test(start_paused = true)]
async fn bytes_are_charged_after_decompression_and_the_largest_body_is_possible() {
    let quota = Quota { bytes_per_second: Some(1_000_000), ..Quota::default() };
    let server = Server::with(Faults::default(), limited(quota));
    let largest = shared::gzip::compress(&vec![b' '; 10_485_760], shared::gzip::Level::FAST);
    let gzip = ("content-encoding", "gzip");
    assert_eq!(server.send(post(&[TEXT, ACME, gzip], largest.clone())).await.status, 202);
    let answer = server.send(post(&[TEXT, ACME, gzip], largest.clone())).await;
    assert_eq!(
        (answer.shown().as_str(), answer.headers["retry-after"].as_str()),
        ("429 quota_exceeded", "11")
    );
    insta::assert_snapshot!(answer.json["detail"].as_str().unwrap(), @"the quota of 1000000 bytes/s is used up: send again in 11 s");
    server.advance(Duration::from_secs(11));
    assert_eq!(server.send(post(&[TEXT, ACME, gzip], largest)).await.status, 202);
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
