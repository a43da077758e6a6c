//! Cross-origin requests: which pages' scripts may call the API (`cors.origins`). Off by default: then no answer has these
//! headers, and browsers refuse.
//!
//! The protocol is that of the [Fetch Standard](https://fetch.spec.whatwg.org/#http-cors-protocol). It protects a browser's
//! user, not this service: a sender outside of a browser needs no permission. Keys and signatures are checked as always; a
//! preflight has none, and needs none.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use shared::config::Config;

use crate::repeated::distinct;

/// How long a browser need not ask again: two hours, the most that Chromium takes.
const MAX_AGE_SECONDS: &str = "7200";
/// What a script may read of an answer besides its body.
const EXPOSED: &str = "x-request-id, retry-after";

/// Answers a preflight of an allowed origin, and lets its scripts read all answers. Answers the handshake of an allowed sender.
pub(crate) async fn cors(State(config): State<Arc<Config>>, request: Request, next: Next) -> Response {
    if let Some(response) = handshake(&request, &config.cors.origins) {
        return response;
    }
    let Some(origin) = allowed(request.headers(), &config.cors.origins) else {
        return next.run(request).await;
    };
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight { preflight(request.headers()) } else { next.run(request).await };
    let headers = response.headers_mut();
    if origin != "*" {
        // `sendBeacon` always asks for this. Nothing here reads cookies.
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    response
}

/// A sender of CloudEvents asks whether it may send, and names itself by host
/// (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection>).
fn handshake(request: &Request, origins: &[String]) -> Option<Response> {
    let sender = request.headers().get("webhook-request-origin")?;
    let is_sender = |origin: &String| {
        origin == "*"
            || origin.strip_prefix("https://").is_some_and(|host| host.as_bytes() == sender.as_bytes())
    };
    (request.method() == Method::OPTIONS && origins.iter().any(is_sender)).then(|| {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert("webhook-allowed-origin", sender.clone());
        headers.insert("webhook-allowed-rate", HeaderValue::from_static("*"));
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
        response
    })
}

/// What the answer names as the allowed origin, if the request's is.
fn allowed(headers: &HeaderMap, origins: &[String]) -> Option<HeaderValue> {
    let [origin] = distinct(headers, ORIGIN.as_str())[..] else { return None };
    if let Some(allowed) = origins.iter().find(|allowed| allowed.as_bytes() == origin) {
        return HeaderValue::from_str(allowed).ok();
    }
    origins.iter().any(|allowed| allowed == "*").then(|| HeaderValue::from_static("*"))
}

/// Any header may be sent: which ones name an event is configured, and none gives rights to a page.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_SECONDS));
    if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}
