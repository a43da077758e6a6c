//! The Runtime API of one environment over HTTP.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde_json::{Value, json};

use super::exchange::{Exchange, Offer};
use super::specification::{FunctionSpec, PAYLOAD_LIMIT};
use crate::event_source_mapping::ports::InvokeFailure;

const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const DEADLINE_MS: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const FUNCTION_ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");

struct Api {
    exchange: Arc<Exchange>,
    function_arn: String,
    function: String,
    /// Whether a stranger's request was logged.
    is_logged: AtomicBool,
}

type ApiState = State<Arc<Api>>;

/// Answers only under the path `/{secret}/`.
pub(super) fn router(exchange: Arc<Exchange>, spec: &FunctionSpec, secret: &str) -> Router {
    // The account is the one that emulators use.
    let function_arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{}", spec.name);
    let api = Api { exchange, function_arn, function: spec.name.clone(), is_logged: AtomicBool::new(false) };
    let calls = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next_invocation))
        .route("/2018-06-01/runtime/invocation/{request_id}/response", post(invocation_response))
        .route("/2018-06-01/runtime/invocation/{request_id}/error", post(invocation_error))
        .route("/2018-06-01/runtime/init/error", post(initialization_error));
    Router::new().nest(&format!("/{secret}"), calls).fallback(stranger).with_state(Arc::new(api))
}

/// Refuses a request of another process: an answer would give it the events of all tenants.
async fn stranger(State(api): ApiState) -> StatusCode {
    if !api.is_logged.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            function.name = api.function,
            "another process of this machine called the Runtime API of `{}`, and was refused; further calls are not logged",
            api.function
        );
    }
    StatusCode::FORBIDDEN
}

async fn next_invocation(State(api): ApiState) -> Response {
    let offer = api.exchange.next().await;
    let trace_id = trace_id(&offer);
    let headers = [
        (CONTENT_TYPE, "application/json".to_owned()),
        (REQUEST_ID, offer.request_id),
        (DEADLINE_MS, offer.deadline.unix_ms().to_string()),
        (FUNCTION_ARN, api.function_arn.clone()),
        (TRACE_ID, trace_id),
    ];
    (headers, offer.payload).into_response()
}

async fn invocation_response(State(api): ApiState, Path(request_id): Path<String>, body: Body) -> Response {
    let Ok((response, bytes)) = collect(body).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let is_too_large = bytes > PAYLOAD_LIMIT;
    let too_large = || {
        let message = format!("response payload of {bytes} bytes is over the limit of {PAYLOAD_LIMIT} bytes");
        InvokeFailure::function("Function.ResponseSizeTooLarge", message)
    };
    let result = if is_too_large { Err(too_large()) } else { Ok(response) };
    if !api.exchange.finish(&request_id, result) {
        return unknown_request();
    }
    if is_too_large {
        let error = json!({
            "errorType": "RequestEntityTooLarge",
            "errorMessage": format!("Exceeded maximum allowed payload size ({PAYLOAD_LIMIT} bytes)."),
        });
        return (StatusCode::PAYLOAD_TOO_LARGE, error.to_string()).into_response();
    }
    accepted()
}

async fn invocation_error(State(api): ApiState, Path(request_id): Path<String>, body: Body) -> Response {
    let (kind, message) = describe(&collect(body).await.unwrap_or_default().0);
    if api.exchange.finish(&request_id, Err(InvokeFailure::Function { kind, message })) {
        accepted()
    } else {
        unknown_request()
    }
}

async fn initialization_error(State(api): ApiState, body: Body) -> Response {
    let (error_type, message) = describe(&collect(body).await.unwrap_or_default().0);
    api.exchange.fail_to_initialize(format!("{error_type}: {message}"));
    accepted()
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, r#"{"status":"OK"}"#).into_response()
}

fn unknown_request() -> Response {
    let error = r#"{"errorType":"InvalidRequestID","errorMessage":"Invalid request ID"}"#;
    (StatusCode::BAD_REQUEST, error).into_response()
}

/// `errorType` and `errorMessage` of an error that a function sent.
fn describe(payload: &[u8]) -> (String, String) {
    let error: Value = serde_json::from_slice(payload).unwrap_or_default();
    let member = |name: &str, default: &str| error[name].as_str().unwrap_or(default).to_owned();
    (member("errorType", "Runtime.UnknownReason"), member("errorMessage", "unknown error"))
}

/// An X-Ray header for an invocation that is not traced.
fn trace_id(offer: &Offer) -> String {
    let seconds = offer.deadline.unix_ms() / 1_000;
    let random: String = offer.request_id.chars().filter(char::is_ascii_hexdigit).take(24).collect();
    format!("Root=1-{seconds:08x}-{random};Sampled=0")
}

/// The body and its length. A body over [`PAYLOAD_LIMIT`] comes back cut, but is read to its end: an answer before that
/// would look like a broken connection to the client. Fails if the client aborts the body.
async fn collect(body: Body) -> Result<(Bytes, usize), axum::Error> {
    let mut chunks = body.into_data_stream();
    let mut collected = BytesMut::new();
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        bytes += chunk.len();
        if bytes <= PAYLOAD_LIMIT {
            collected.extend_from_slice(&chunk);
        }
    }
    Ok((collected.freeze(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &str, expected: (&str, &str)) {
        let (error_type, message) = describe(payload.as_bytes());
        assert_eq!((error_type.as_str(), message.as_str()), expected);
    }

    #[test]
    fn an_error_has_its_type_and_message_or_lambdas_defaults() {
        check(r#"{"errorType":"Oops","errorMessage":"no luck","stackTrace":[]}"#, ("Oops", "no luck"));
        check("not json", ("Runtime.UnknownReason", "unknown error"));
    }
}
