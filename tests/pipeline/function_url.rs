//! `ingest-fn` as a child process, with Function URL events in the documented format (payload format 2.0).

use std::time::Duration;

use bytes::Bytes;
use local::event_source_mapping::ports::Invoker;
use local::runtime_api::FunctionHost;
use serde_json::{Value, json};
use tests::site::eventually;
use tests::stored::StoredData;

/// A request as a Function URL sends it to the function.
pub(crate) fn event(
    method: &str,
    path: &str,
    headers: &Value,
    body: &Value,
    is_base64_encoded: bool,
) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "id",
            "domainName": "id.lambda-url.eu-west-1.on.aws",
            "domainPrefix": "id",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.1", "userAgent": "curl"},
            "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
            "routeKey": "$default",
            "stage": "$default",
            "time": "21/Nov/2026:09:30:00 +0000",
            "timeEpoch": 1_795_253_400_000_u64,
        },
        "body": body,
        "isBase64Encoded": is_base64_encoded,
    })
}

/// A `POST` of acme.
fn post(path: &str, content_type: &str, body: &Value, is_base64_encoded: bool) -> Bytes {
    let headers = json!({"content-type": content_type, "x-customer-tier": "pro", "x-tenant-id": "acme", "host": "id.lambda-url.eu-west-1.on.aws"});
    event("POST", path, &headers, body, is_base64_encoded).to_string().into()
}

async fn invoke(host: &FunctionHost, event: Bytes) -> (u64, Value) {
    let response: Value = serde_json::from_slice(&host.invoke(event).await.unwrap()).unwrap();
    let body = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    (response["statusCode"].as_u64().unwrap(), body)
}

#[tokio::test]
async fn function_url_events_have_the_same_answers_as_requests() {
    let folder = tempfile::tempdir().unwrap();
    let host = crate::function("ingest-fn", folder.path());
    let json_body = json!(r#"{"log_id":"1","text":"by JSON"}"#);
    let answer = invoke(&host, post("/ingest", "application/json", &json_body, false)).await;
    assert_eq!(answer, (202, json!({"status": "success", "event_id": "1"})));

    // "by text" in base64: a Function URL encodes bodies that it does not recognise as text.
    let (status, body) = invoke(&host, post("/ingest", "text/plain", &json!("YnkgdGV4dA=="), true)).await;
    assert_eq!((status, &body["status"]), (202, &json!("success")));

    let webhook = post("/v1/webhooks/beta/events/new", "application/json", &json_body, false);
    let (status, problem) = invoke(&host, webhook).await;
    assert_eq!((status, &problem["code"]), (400, &json!("tenant_conflict")));
    assert!(problem["request_id"].as_str().is_some_and(|id| !id.is_empty()));

    let (status, problem) = invoke(&host, post("/nowhere", "application/json", &json_body, false)).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
    assert_eq!(StoredData::of(folder.path()).records(), 2);
    host.shutdown(Duration::from_secs(2)).await;
}

#[tokio::test]
async fn a_function_killed_between_requests_is_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let host = crate::function("ingest-fn", folder.path());
    let body = json!(r#"{"text":"x"}"#);
    assert_eq!(invoke(&host, post("/ingest", "application/json", &body, false)).await.0, 202);
    let first = host.environments();
    tests::site::signal(first[0], "KILL");
    eventually("the end of the function", || (host.environments() != first).then_some(())).await;
    assert_eq!(invoke(&host, post("/ingest", "application/json", &body, false)).await.0, 202);
    host.shutdown(Duration::from_secs(2)).await;
}
