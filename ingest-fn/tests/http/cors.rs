//! Scripts of web pages.

use axum::body::Body;
use http::{Method, Request};
use shared::config::Config;

use crate::server::{ACME, Answer, Faults, JSON, Server, TEXT, post};

const PAGE: &str = "https://app.example.com";

fn server(origins: &[&str]) -> Server {
    Server::with(Faults::default(), |config: &mut Config| {
        config.cors.origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    })
}

fn preflight(origin: &str) -> Request<Body> {
    let request = Request::builder().method(Method::OPTIONS).uri("/ingest").header("origin", origin);
    let request = request
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,x-tenant-id");
    request.body(Body::empty()).unwrap()
}

/// Status, allowed origin, whether credentials are allowed.
fn shown(answer: &Answer) -> (u16, Option<&str>, bool) {
    let origin = answer.headers.get("access-control-allow-origin").map(String::as_str);
    (answer.status.as_u16(), origin, answer.headers.contains_key("access-control-allow-credentials"))
}

#[tokio::test]
async fn a_preflight_of_an_allowed_page_is_answered_and_others_are_not() {
    let answer = server(&[PAGE]).send(preflight(PAGE)).await;
    assert_eq!(shown(&answer), (204, Some(PAGE), true));
    assert_eq!(answer.headers["access-control-allow-headers"], "authorization,content-type,x-tenant-id");
    assert_eq!(answer.headers["access-control-allow-methods"], "GET, HEAD, POST");
    assert_eq!(answer.headers["vary"], "origin");
    assert!(answer.headers.contains_key("x-request-id"));

    assert_eq!(shown(&server(&["*"]).send(preflight(PAGE)).await), (204, Some("*"), false));
    for other in
        ["https://evil.example.com", "https://app.example.com.evil", "http://app.example.com", "null"]
    {
        assert_eq!(shown(&server(&[PAGE]).send(preflight(other)).await), (405, None, false), "{other}");
    }
    assert_eq!(shown(&server(&[]).send(preflight(PAGE)).await), (405, None, false));
}

#[tokio::test]
async fn a_sender_of_cloudevents_is_answered_whether_it_may_send() {
    let ask = |sender: &str| {
        let request = Request::builder().method(Method::OPTIONS).uri("/v1/webhooks/acme/events/new");
        request.header("webhook-request-origin", sender).body(Body::empty()).unwrap()
    };
    for origins in [&["*"][..], &[PAGE]] {
        let answer = server(origins).send(ask("app.example.com")).await;
        assert_eq!(answer.status, 200);
        let header = |name: &str| answer.headers[name].as_str();
        assert_eq!(
            [header("webhook-allowed-origin"), header("webhook-allowed-rate"), header("allow")],
            ["app.example.com", "*", "POST"]
        );
    }
    for (origins, sender) in [(&[PAGE][..], "evil.example.com"), (&[], "app.example.com")] {
        let answer = server(origins).send(ask(sender)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.headers.contains_key("webhook-allowed-origin")),
            (405, false)
        );
    }
}

#[tokio::test]
async fn a_page_may_read_what_it_is_answered_whether_accepted_or_refused() {
    let server = server(&[PAGE]);
    for (body, status) in [("{\"text\":\"x\"}", 202), ("{", 400)] {
        let answer = server.send(post(&[JSON, ACME, ("origin", PAGE)], body)).await;
        assert_eq!(shown(&answer), (status, Some(PAGE), true));
        assert_eq!(answer.headers["access-control-expose-headers"], "x-request-id, retry-after");
    }
    let answer = server.send(post(&[JSON, ACME], "{}")).await;
    assert_eq!(shown(&answer), (202, None, false), "it comes from no page");
}

#[tokio::test]
async fn json_in_a_text_is_read_as_json_where_that_is_set() {
    for (is_set, body, id) in [
        (true, "{\"id\":\"b-1\",\"text\":\"x\"}", "b-1"),
        (true, " [{\"id\":\"b-1\",\"text\":\"x\"}]\n", "b-1"),
        (true, "{not JSON", "key"),
        (true, "plain", "key"),
        (false, "{\"id\":\"b-1\",\"text\":\"x\"}", "key"),
    ] {
        let server = Server::with(Faults::default(), |config| config.cors.text_is_json = is_set);
        // An element of an array has its own id.
        let headers = [TEXT, ACME, ("idempotency-key", "key")];
        let headers = if id == "key" { &headers[..] } else { &headers[..2] };
        assert_eq!(server.send(post(headers, body)).await.shown(), "202");
        assert_eq!(server.events()[0].facts.id.as_str(), id, "{body}");
    }
}
