//! Headers that are there several times. A container gets lines, a Function URL joins them with commas: the answer and the
//! event must be the same.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{HeaderName, Request};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::config::AuthMode;
use uuid::Uuid;

use crate::credentials::{ACME_SECRET, Message, document};
use crate::lambda::{event, invoke};
use crate::server::{NOW_SECONDS, Server};

const BODY: &str = r#"{"id":"own","text":"x"}"#;
const PAGE: &str = "https://page.example";

type Lines = Vec<(&'static str, String)>;

async fn server(mode: AuthMode) -> Server {
    let change = |config: &mut shared::config::Config| {
        config.auth.mode = mode;
        config.cors.origins = vec![PAGE.to_owned()];
    };
    Server::with_credentials(&document(), change).await
}

/// What a client sees, and what was stored of it.
#[derive(Debug, PartialEq)]
struct Outcome {
    status: u64,
    body: Value,
    allowed_origin: Option<String>,
    events: Vec<Value>,
}

fn outcome(status: u64, body: &str, allowed_origin: Option<String>, server: &Server) -> Outcome {
    let mut body: Value = serde_json::from_str(body).unwrap();
    body.as_object_mut().unwrap().remove("request_id");
    // The two servers count their ids apart.
    let named = |id: &str| if Uuid::parse_str(id).is_ok() { "random".to_owned() } else { id.to_owned() };
    if let Some(id) = body["event_id"].as_str() {
        body["event_id"] = named(id).into();
    }
    let event = |event: shared::format::event_line::Event| {
        let facts = event.facts;
        json!([facts.tenant, facts.tier, named(facts.id.as_str()), facts.trace, event.is_message, event.text])
    };
    Outcome { status, body, allowed_origin, events: server.events().into_iter().map(event).collect() }
}

async fn by_lines(mode: AuthMode, lines: &Lines) -> Outcome {
    let server = server(mode).await;
    let mut request = Request::post("/ingest").body(Body::from(BODY)).unwrap();
    for (name, value) in lines {
        request.headers_mut().append(HeaderName::from_static(name), value.parse().unwrap());
    }
    let answer = server.send(request).await;
    let allowed = answer.headers.get("access-control-allow-origin").cloned();
    outcome(answer.status.as_u16().into(), &answer.text, allowed, &server)
}

async fn by_function_url(mode: AuthMode, lines: &Lines) -> Outcome {
    let server = server(mode).await;
    let mut joined = BTreeMap::<_, Vec<&str>>::new();
    for (name, value) in lines {
        joined.entry(*name).or_default().push(value);
    }
    let mut event = event(BODY, false, &[]);
    event["headers"] = joined.into_iter().map(|(name, values)| (name.to_owned(), values.join(","))).collect();
    let answer = invoke(&server, event).await;
    let allowed = answer["headers"]["access-control-allow-origin"].as_str().map(str::to_owned);
    outcome(answer["statusCode"].as_u64().unwrap(), answer["body"].as_str().unwrap(), allowed, &server)
}

/// The headers of a request that is accepted.
fn good(mode: AuthMode) -> Lines {
    let mut lines = vec![("content-type", "application/json".to_owned())];
    match mode {
        AuthMode::None => {
            lines.extend([("x-customer-tier", "pro".to_owned()), ("x-tenant-id", "acme".to_owned())]);
        }
        AuthMode::ApiKey => lines.push(("authorization", "Bearer acme-key".to_owned())),
        AuthMode::Signature => {
            lines.push(("x-tenant-id", "acme".to_owned()));
            lines.extend(Message::signed(ACME_SECRET, "msg_1", NOW_SECONDS, BODY).headers);
        }
    }
    lines
}

async fn both(mode: AuthMode, besides: &[(&'static str, &str)]) -> Outcome {
    let mut lines = good(mode);
    lines.extend(besides.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let outcome = by_lines(mode, &lines).await;
    assert_eq!(outcome, by_function_url(mode, &lines).await, "{lines:?}");
    outcome
}

/// `202 id`, or `400 code`.
async fn check(mode: AuthMode, besides: &[(&'static str, &str)], expected: &str) {
    let Outcome { status, body, .. } = both(mode, besides).await;
    let named = ["code", "event_id"].into_iter().find_map(|member| body[member].as_str());
    assert_eq!(format!("{status} {}", named.unwrap()), expected, "{besides:?}: {body}");
}

#[tokio::test]
async fn a_header_may_be_repeated_with_the_same_value_only() {
    let none = AuthMode::None;
    check(none, &[("x-customer-tier", "pro")], "202 own").await;
    check(none, &[("x-customer-tier", "enterprise")], "400 tier_conflict").await;
    check(none, &[("x-tenant-id", "acme")], "202 own").await;
    check(none, &[("x-tenant-id", "beta")], "400 tenant_conflict").await;
    check(none, &[("content-type", "application/json")], "202 own").await;
    check(none, &[("content-type", "text/plain")], "415 media_type_unsupported").await;
    check(
        none,
        &[("content-encoding", "identity"), ("content-encoding", "identity")],
        "415 content_encoding_unsupported",
    )
    .await;
    for id in ["idempotency-key", "webhook-id"] {
        check(none, &[(id, "k"), (id, ""), (id, "k")], "202 k").await;
        check(none, &[(id, "k"), (id, "other")], "400 event_id_conflict").await;
        check(none, &[(id, "k,other")], "400 event_id_conflict").await;
    }
    check(none, &[("idempotency-key", "k"), ("webhook-id", "w")], "202 k").await;
    assert_eq!(both(none, &[("traceparent", "a"), ("traceparent", "b")]).await.events[0][3], "a");

    let key = AuthMode::ApiKey;
    check(key, &[("authorization", "Bearer acme-key"), ("x-api-key", "acme-key")], "202 own").await;
    check(key, &[("authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b")], "202 own").await;
    check(key, &[("authorization", "Bearer beta-key")], "401 credential_invalid").await;
    check(key, &[("x-api-key", "acme-key"), ("x-api-key", "beta-key")], "401 credential_invalid").await;

    let signed = AuthMode::Signature;
    let again = Message::signed(ACME_SECRET, "msg_1", NOW_SECONDS, BODY).headers;
    let again: Vec<_> = again.iter().map(|(name, value)| (*name, value.as_str())).collect();
    check(signed, &again, "202 msg_1").await;
    check(signed, &[("webhook-id", "msg_2")], "401 credential_invalid").await;
    check(signed, &[("webhook-timestamp", "1")], "401 credential_invalid").await;
    check(
        signed,
        &[("webhook-signature", "v1,AAAA"), ("webhook-signature", "v2,AAAA v1a,AAAA")],
        "202 msg_1",
    )
    .await;
}

fn any_line() -> impl Strategy<Value = (&'static str, String)> {
    let now = NOW_SECONDS.to_string();
    let right = Message::signed(ACME_SECRET, "msg_1", NOW_SECONDS, BODY).headers[2].1.clone();
    let pool: Vec<(&str, Vec<String>)> = [
        ("x-customer-tier", &["", "pro", "free", "pro,pro", " pro , free", "gold"][..]),
        ("x-tenant-id", &["", "acme", "beta", "acme,acme", ",acme", "a b"]),
        ("idempotency-key", &["", "k", "other", "k,k", "k , other", ","]),
        ("webhook-id", &["", "msg_1", "msg_2", "msg_1,msg_1"]),
        ("webhook-timestamp", &["", "1", &now, &format!("{now},{now}")]),
        (
            "webhook-signature",
            &["", &right, "v1,AAAA", &format!("v1a,AAAA {right}"), "v1", "v1,,", &right[3..]],
        ),
        ("content-type", &["", "application/json", "text/plain", "application/json,application/json"]),
        ("content-encoding", &["", "identity", "gzip", "identity, gzip"]),
        (
            "authorization",
            &[
                "",
                "Bearer acme-key",
                "bearer  beta-key",
                "Basic a",
                "AWS4-HMAC-SHA256 Credential=a, Signature=b",
                "Bearer acme-key,Bearer acme-key",
            ],
        ),
        ("x-api-key", &["", "acme-key", "beta-key", "acme-key,acme-key"]),
        ("traceparent", &["", "a", "b", "a,b"]),
        ("x-amzn-trace-id", &["", "Root=1", "Root=2"]),
        ("origin", &["", PAGE, "https://other.example"]),
    ]
    .map(|(name, values)| (name, values.iter().map(|value| (*value).to_owned()).collect()))
    .to_vec();
    proptest::sample::select(pool)
        .prop_flat_map(|(name, values)| proptest::sample::select(values).prop_map(move |value| (name, value)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn lines_and_their_list_have_the_same_outcome(
        mode in prop_oneof![Just(AuthMode::None), Just(AuthMode::ApiKey), Just(AuthMode::Signature)],
        before in proptest::collection::vec(any_line(), 0..3),
        after in proptest::collection::vec(any_line(), 0..4),
        is_good in proptest::bool::weighted(0.9),
    ) {
        let good = if is_good { good(mode) } else { Vec::new() };
        let lines: Lines = [before, good, after].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let (by_lines, joined) = runtime.block_on(async { (by_lines(mode, &lines).await, by_function_url(mode, &lines).await) });
        prop_assert_eq!(by_lines, joined, "{:?}", lines);
    }
}
