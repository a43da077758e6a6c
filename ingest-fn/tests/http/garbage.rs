//! Malformed requests by the thousand: each is answered with a success or a problem below 500, and none panics.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Request};
use proptest::prelude::*;
use shared::gzip::{self, Level};

use crate::server::Server;

/// A value that is right, nearly right, or anything.
fn header_value(right: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        6 => proptest::sample::select(right).prop_map(|value| Some(value.as_bytes().to_vec())),
        1 => Just(None),
        1 => "[ -~]{0,40}".prop_map(|value| Some(value.into_bytes())),
        1 => proptest::collection::vec(0x80_u8..=0xff, 0..20).prop_map(Some),
    ]
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, Option<Vec<u8>>)>> {
    let types: &[_] = &[
        "application/json",
        "application/x-ndjson",
        "text/plain",
        "application/json; charset=utf-8",
        "text/plain;charset",
    ];
    (
        header_value(&["pro", "free"]),
        header_value(&["acme"]),
        header_value(types),
        prop_oneof![5 => Just(None), 1 => header_value(&["gzip", "deflate", "zstd", "identity"])],
        prop_oneof![5 => Just(None), 1 => header_value(&["key"])],
        prop_oneof![5 => Just(None), 1 => header_value(&["5", "0", "-1", "10000001", "99999999999999999999"])],
        prop_oneof![5 => Just(None), 1 => header_value(&["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])],
    )
        .prop_map(|(tier, tenant, media_type, coding, key, length, trace)| {
            vec![
                ("x-customer-tier", tier),
                ("x-tenant-id", tenant),
                ("content-type", media_type),
                ("content-encoding", coding),
                ("idempotency-key", key),
                ("content-length", length),
                ("traceparent", trace),
            ]
        })
}

/// JSON, nearly, about the members that mean something.
const JSON_LIKE: &str = r#"[\[{]{1,3}("(tenant_id|event_id|log_id|id|text|payload|body|timestamp|x)" ?: ?("[a-zé\\u0d8ü/"]{0,12}"|-?[0-9]{1,22}(\.[0-9])?(e[0-9]{1,3})?|null|true|\[[0-9,\[\]]{0,8}\]|\{("k":[0-9])?\}),? ?\n?){0,5}[\]}]{0,3}"#;

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => JSON_LIKE.prop_map(String::into_bytes),
        2 => proptest::collection::vec(JSON_LIKE, 0..5).prop_map(|lines| lines.join("\n").into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => JSON_LIKE.prop_map(|json| gzip::compress(json.as_bytes(), Level::FAST)),
        1 => proptest::collection::vec(any::<u8>(), 0..60).prop_map(|rest| [b"\x28\xb5\x2f\xfd", &rest[..]].concat()),
        1 => (1..3_000_usize).prop_map(|depth| format!("{{\"a\":{}", "[".repeat(depth)).into_bytes()),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just("/ingest".to_owned()),
        2 => "/v1/webhooks/(acme|[a-zA-Z0-9%.~-]{1,8}|%[0-9a-f]{2})/events/new",
        1 => "/[a-z0-9/%.]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_a_client_sends_is_our_fault(path in path(), headers in headers(), body in body()) {
        let Ok(mut request) = Request::post(path).body(Body::from(body)) else { return Ok(()) };
        for (name, value) in headers {
            if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(&value).ok()) {
                request.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let answer = runtime.block_on(Server::new().send(request));
        prop_assert!(answer.status.as_u16() < 500, "{:?}", answer);
        if !answer.status.is_success() {
            answer.assert_problem();
        }
    }
}
