//! The edge to Lambda: Function URL events, as Lambda writes them.

use ingest_fn::lambda::service;
use lambda_http::http::StatusCode;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Context, LambdaEvent};
use serde_json::{Value, json};
use tower::{Service, ServiceExt};

use crate::server::Server;

/// A request event of a Function URL (payload format 2.0).
fn event(body: &str, is_base64: bool, headers: &[(&str, &str)]) -> Value {
    let mut all = json!({
        "host": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws",
        "content-type": "application/json",
        "x-customer-tier": "pro",
        "x-forwarded-for": "192.0.2.1",
        "x-amzn-trace-id": "Root=1-63441c4a-abcdef012345678912345678",
    });
    for (name, value) in headers {
        all[*name] = (*value).into();
    }
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/ingest",
        "rawQueryString": "",
        "headers": all,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abcdefghijklmnopqrstuvwxyz012345",
            "domainName": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws",
            "domainPrefix": "abcdefghijklmnopqrstuvwxyz012345",
            "http": {
                "method": "POST", "path": "/ingest", "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1", "userAgent": "curl/8"
            },
            "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
            "routeKey": "$default",
            "stage": "$default",
            "time": "21/Nov/2026:09:30:00 +0000",
            "timeEpoch": 1_795_253_400_123_i64
        },
        "body": body,
        "isBase64Encoded": is_base64
    })
}

/// The response event.
async fn invoke(server: &Server, event: Value) -> Value {
    let request: LambdaRequest = serde_json::from_value(event).unwrap();
    let mut context = Context::default();
    "8476a536-e9f4-11e8-9739-2dfe598c3fcd".clone_into(&mut context.request_id);
    let mut adapter = Adapter::from(service(server.router.clone()));
    let response = adapter.ready().await.unwrap_or_else(|_| panic!("always ready"));
    let response =
        response.call(LambdaEvent::new(request, context)).await.unwrap_or_else(|_| panic!("always answers"));
    serde_json::to_value(response).unwrap()
}

#[tokio::test]
async fn an_event_with_a_plain_body_is_a_request() {
    let server = Server::new();
    let response = invoke(&server, event(r#"{"tenant_id":"acme","id":"1","text":"x"}"#, false, &[])).await;
    assert_eq!(response["statusCode"], StatusCode::ACCEPTED.as_u16());
    assert_eq!(response["body"], r#"{"status":"success","event_id":"1"}"#);
    assert_eq!(response["isBase64Encoded"], false);
    assert_eq!(server.events()[0].facts.trace.as_deref(), Some("Root=1-63441c4a-abcdef012345678912345678"));
}

#[tokio::test]
async fn a_body_in_base64_is_decoded_and_then_inflated() {
    let server = Server::new();
    // gzip of {"tenant_id":"acme","id":"1","text":"x"}
    let packed =
        shared::gzip::compress(br#"{"tenant_id":"acme","id":"1","text":"x"}"#, shared::gzip::Level::FAST);
    let body = base64_simd::STANDARD.encode_to_string(packed);
    let response = invoke(&server, event(&body, true, &[("content-encoding", "gzip")])).await;
    assert_eq!(response["statusCode"], 202);
    assert_eq!(server.events()[0].facts.id.as_str(), "1");
}

#[tokio::test]
async fn a_problem_is_text_and_carries_the_invocations_id() {
    let server = Server::new();
    let response = invoke(&server, event("{", false, &[("x-tenant-id", "acme")])).await;
    assert_eq!(response["statusCode"], 400);
    assert_eq!(response["isBase64Encoded"], false);
    assert_eq!(response["headers"]["content-type"], "application/problem+json");
    let problem: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    assert_eq!(problem["request_id"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
    assert_eq!(response["headers"]["x-request-id"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
}
