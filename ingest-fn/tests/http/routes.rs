//! Every route, and what an event is made of on its way in.

use axum::body::Body;
use http::{Method, Request};

use crate::server::{ACME, JSON, Server, TEXT, post, post_to};

#[tokio::test]
async fn a_json_event_is_answered_with_its_id_and_is_on_the_stream_by_then() {
    let server = Server::new();
    let body = r#"{"tenant_id":"acme","log_id":"123","text":"User 555-0199 accessed /reports","n":1.0}"#;
    let trace = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let answer = server.send(post(&[JSON, trace], body)).await;
    assert_eq!(answer.status, 202);
    insta::assert_snapshot!(answer.text, @r#"{"status":"success","event_id":"123"}"#);
    let event = String::from_utf8(server.events()[0].line()).unwrap();
    insta::assert_snapshot!(event, @r#"{"v":1,"id":"123","admission_id":"00000000-0000-0000-0000-000000000002","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","text":"User 555-0199 accessed /reports","fields":{"n":1.0},"trace":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#);
    assert_eq!(server.partition_keys(), ["acme"]);
}

#[tokio::test]
async fn a_text_is_an_event_of_the_tenant_that_its_header_names() {
    let server = Server::new();
    assert_eq!(server.send(post(&[TEXT, ACME], "hello\nworld\n")).await.status, 202);
    let event = String::from_utf8(server.events()[0].line()).unwrap();
    insta::assert_snapshot!(event, @r#"{"v":1,"id":"00000000-0000-0000-0000-000000000002","admission_id":"00000000-0000-0000-0000-000000000003","tenant":"acme","tier":"pro","source":"text_upload","received_at":"2026-11-21T09:30:00.123Z","text":"hello\nworld\n"}"#);
}

#[tokio::test]
async fn the_webhook_path_names_the_tenant_and_the_source() {
    let server = Server::new();
    for headers in [[JSON], [TEXT]] {
        let request =
            post_to("/v1/webhooks/acme/events/new", &headers, r#"{"id":"e","name":"n","body":"b"}"#);
        assert_eq!(server.send(request).await.status, 202);
    }
    let shown = |event: &shared::format::event_line::Event| {
        format!("{} {} {:?}", event.facts.tenant, event.facts.source.as_str(), event.text)
    };
    let events: Vec<_> = server.events().iter().map(shown).collect();
    assert_eq!(
        events,
        [r#"acme webhook "b""#, r#"acme webhook "{\"id\":\"e\",\"name\":\"n\",\"body\":\"b\"}""#]
    );
}

#[tokio::test]
async fn events_is_another_name_for_ingest() {
    let server = Server::new();
    assert_eq!(server.send(post_to("/events", &[JSON, ACME], r#"{"text":"x"}"#)).await.status, 202);
    assert_eq!(server.events()[0].text, "x");
}

#[tokio::test]
async fn health_tells_version_and_configuration() {
    let server = Server::new();
    let answer = server.send(Request::get("/health").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(answer.json["config"], shared::config::Config::default().fingerprint());
    assert!(answer.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn other_paths_are_not_found_and_other_methods_are_told_what_is_allowed() {
    let server = Server::new();
    let send = async |method: Method, path: &str| {
        let answer =
            server.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await;
        answer.assert_problem();
        (answer.shown(), answer.headers.get("allow").cloned())
    };
    let not_found = ("404 not_found".to_owned(), None);
    assert_eq!(send(Method::GET, "/").await, not_found);
    assert_eq!(send(Method::POST, "/ingest/a//").await, not_found);
    let not_allowed = |allow: &str| ("405 method_not_allowed".to_owned(), Some(allow.to_owned()));
    assert_eq!(send(Method::PUT, "/events").await, not_allowed("POST,GET,HEAD"));
    assert_eq!(send(Method::POST, "/events/1").await, not_allowed("GET,HEAD"));
    assert_eq!(send(Method::GET, "/ingest").await, not_allowed("POST"));
    assert_eq!(send(Method::DELETE, "/v1/webhooks/acme/events/new").await, not_allowed("POST"));
    assert_eq!(send(Method::POST, "/health").await, not_allowed("GET,HEAD"));
}

#[tokio::test]
async fn a_spread_tenant_goes_to_one_of_its_keys() {
    let spread = shared::id::TenantId::parse("acme").unwrap();
    let server = Server::with(crate::server::Faults::default(), |config| {
        config.tenants.spread.insert(spread, 4);
    });
    for id in ["1", "2", "1"] {
        server.send(post(&[JSON, ACME, ("idempotency-key", id)], "{}")).await;
    }
    assert_eq!(server.partition_keys(), ["acme#1", "acme#2", "acme#1"]);
}

#[tokio::test]
async fn slashes_too_many_do_not_matter() {
    let server = Server::new();
    for path in ["/ingest/", "//ingest", "/events/", "/v1//webhooks/acme/events/new"] {
        let body = Body::from(r#"{"text":"x"}"#);
        let request = Request::post(path).header("x-customer-tier", "pro").header("x-tenant-id", "acme");
        let request = request.header("content-type", "application/json").body(body).unwrap();
        assert_eq!(server.send(request).await.status, 202, "{path}");
    }
    assert_eq!(server.send(Request::get("/health/?x=//").body(Body::empty()).unwrap()).await.status, 200);
}
