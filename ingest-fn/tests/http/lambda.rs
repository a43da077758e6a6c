//! The edge to Lambda: Function URL events, as Lambda writes them.

use lambda_http::http::StatusCode;
use lambda_http::{Context, LambdaEvent};
use serde_json::{Value, json};

use crate::reader::MemoryReader;
use crate::reads::{archived, large};
use crate::server::Server;

/// A request event of a Function URL (payload format 2.0).
pub(crate) fn event(body: &str, is_base64: bool, headers: &[(&str, &str)]) -> Value {
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
pub(crate) async fn invoke(server: &Server, event: Value) -> Value {
    let request = serde_json::from_value(event).unwrap();
    let mut context = Context::default();
    "8476a536-e9f4-11e8-9739-2dfe598c3fcd".clone_into(&mut context.request_id);
    let response = server.invocations.answer(LambdaEvent::new(request, context)).await;
    let response = response.unwrap_or_else(|_| panic!("always answers"));
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

/// Lambda passes on what is no text in base64, in both directions.
#[tokio::test]
async fn protobuf_comes_and_goes_in_base64() {
    let server = Server::new();
    let headers = [("content-type", "application/x-protobuf"), ("x-tenant-id", "acme")];
    let logs = |body: &[u8]| {
        let mut event = event(&base64_simd::STANDARD.encode_to_string(body), true, &headers);
        event["rawPath"] = "/v1/logs".into();
        event
    };
    // One record with the body `x`.
    let response = invoke(&server, logs(b"\x0a\x09\x12\x07\x12\x05\x2a\x03\x0a\x01x")).await;
    assert_eq!((&response["statusCode"], &server.events()[0].text[..]), (&json!(200), "x"), "{response}");
    let response = invoke(&server, logs(b"{}")).await;
    assert_eq!((&response["statusCode"], &response["isBase64Encoded"]), (&json!(400), &json!(true)));
    let body = base64_simd::STANDARD.decode_to_vec(response["body"].as_str().unwrap()).unwrap();
    assert!(String::from_utf8_lossy(&body).contains("malformed_protobuf: "));
}

#[tokio::test]
async fn escapes_in_the_event_do_not_matter_and_other_members_do_not_either() {
    let server = Server::new();
    let mut event = event("{\"text\":\"\u{1f600}\\n\"}", false, &[("x-tenant-id", "acm\u{65}")]);
    event["cookies"] = json!(["a=b", "c=d"]);
    event["queryStringParameters"] = json!({ "a": "b,c" });
    event["rawQueryString"] = "a=b&a=c".into();
    event["requestContext"]["authorizer"] = json!({ "iam": { "userArn": "arn" } });
    event["requestContext"]["authentication"] = Value::Null;
    let response = invoke(&server, event).await;
    assert_eq!(response["statusCode"], 202, "{response}");
    assert_eq!(server.events()[0].text, "\u{1f600}\n");
    let mut event = crate::lambda::event("", false, &[("x-tenant-id", "acme")]);
    event.as_object_mut().unwrap().remove("body");
    let response = invoke(&server, event).await;
    assert!(response["body"].as_str().unwrap().contains("body_empty"), "{response}");
}

#[tokio::test]
async fn every_sample_of_a_function_urls_event_is_a_request() {
    let server = Server::new();
    let samples = std::fs::read_dir("../tests/fixtures/function-url").unwrap();
    let mut codes = Vec::new();
    for sample in samples {
        let sample = std::fs::read(sample.unwrap().path()).unwrap();
        let response = invoke(&server, serde_json::from_slice(&sample).unwrap()).await;
        assert!(!response["body"].as_str().unwrap().contains("request_malformed"), "{response}");
        codes.push(response["statusCode"].as_u64().unwrap());
    }
    assert!(codes.len() >= 15 && codes.iter().all(|code| *code < 500) && codes.contains(&202), "{codes:?}");
}

#[tokio::test]
async fn an_event_that_cannot_be_a_request_is_refused() {
    let server = Server::new();
    let good = || event(r#"{"tenant_id":"acme","text":"x"}"#, false, &[]);
    let with = |member: &str, value: Value| {
        let mut event = good();
        event[member] = value;
        event
    };
    let mut wrapped = good();
    wrapped["body"] = "eyJ0ZW5hbnRfaWQi\nOiJhY21lIn0=".into();
    wrapped["isBase64Encoded"] = true.into();
    let with_header = |name: &str, value: &str| {
        let mut event = good();
        event["headers"][name] = value.into();
        event
    };
    let mut without_method = good();
    without_method["requestContext"] = json!({ "http": {} });
    for event in [
        with("rawQueryString", r#"a="b""#.into()),
        with("rawQueryString", "a=b c".into()),
        with("rawPath", "ingest".into()),
        with_header("no name", "x"),
        with_header("x-name", "a\nb"),
        without_method,
        wrapped,
    ] {
        let response = invoke(&server, event.clone()).await;
        assert_eq!(response["statusCode"], 400, "{event}");
        let problem: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
        assert_eq!(problem["code"], "request_malformed");
        assert_eq!(response["headers"]["x-request-id"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
    }
    assert_eq!(invoke(&server, good()).await["statusCode"], 202, "the function still answers");
    assert_eq!(server.events().len(), 1);
}

/// A `GET` of one event of acme, as a Function URL sends it.
fn get(path: &str, headers: &[(&str, &str)]) -> Value {
    let mut event = event("", false, headers);
    event["headers"]["x-tenant-id"] = "acme".into();
    event["rawPath"] = path.into();
    event["requestContext"]["http"]["method"] = "GET".into();
    event["requestContext"]["http"]["path"] = path.into();
    event
}

#[tokio::test]
async fn the_openapi_document_is_answered_as_text() {
    let response = invoke(&Server::new(), get("/openapi.json", &[])).await;
    assert_eq!((&response["statusCode"], &response["isBase64Encoded"]), (&json!(200), &json!(false)));
    let document: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
}

#[tokio::test]
async fn an_event_is_read_by_its_percent_encoded_id() {
    let reader = MemoryReader::default();
    let server = Server::reading(reader.clone(), |_| {});
    reader.add(crate::reader::event("acme", "a/b", 0, "tenants/acme"));
    let response = invoke(&server, get("/events/a%2Fb", &[])).await;
    assert_eq!((&response["statusCode"], &response["isBase64Encoded"]), (&json!(200), &json!(false)));
    let body: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["event_id"], "a/b");
}

#[tokio::test]
async fn an_answer_that_lambda_could_not_return_has_the_part_that_the_item_holds() {
    let compressible = "0123456789".repeat(1_000_000);
    let noise = shared::noise::noise(7_000_000, 1);
    for (text, accepts, is_whole) in
        [(&compressible, "gzip", true), (&compressible, "identity", false), (&noise, "gzip", false)]
    {
        let reader = MemoryReader::default();
        let server = Server::reading(reader.clone(), |_| {});
        let line = large(&reader, text);
        archived(&reader, &server, &line);
        let response = invoke(&server, get("/events/1", &[("accept-encoding", accepts)])).await;
        assert_eq!(response["statusCode"], 200);
        assert!(response.to_string().len() <= shared::limits::LAMBDA_PAYLOAD_BYTES);
        assert_eq!(response["isBase64Encoded"], is_whole);
        let body = response["body"].as_str().unwrap();
        let body = if is_whole {
            let compressed = base64_simd::STANDARD.decode_to_vec(body).unwrap();
            let cap = shared::gzip::Cap { bytes: 20_000_000, ratio: u32::MAX };
            String::from_utf8(shared::gzip::inflate(&compressed, cap).unwrap()).unwrap()
        } else {
            body.to_owned()
        };
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["truncated"], !is_whole);
        assert_eq!(body["text"].as_str().unwrap().len(), if is_whole { text.len() } else { 10 });
    }
}

/// The router answers all paths; Lambda's way leaves it out where it can.
#[tokio::test]
async fn the_short_way_and_the_router_answer_the_same() {
    let gzipped = shared::gzip::compress(br#"{"tenant_id":"a","id":"1"}"#, shared::gzip::Level::FAST);
    let large = vec![b'x'; 20_000];
    let bodies: [&[u8]; 6] = [
        br#"{"tenant_id":"a","id":"1","text":"x"}"#,
        br#"[{"tenant_id":"a","id":"1"},{"id":"2"}]"#,
        b"{",
        b"",
        &gzipped,
        &large,
    ];
    let headers: [&[(&str, &str)]; 6] = [
        &[],
        &[("content-type", "text/plain"), ("x-tenant-id", "a")],
        &[("x-customer-tier", "gold")],
        &[("content-encoding", "gzip")],
        &[("content-length", "99999999")],
        &[("content-type", "application/x-protobuf"), ("idempotency-key", "k")],
    ];
    for cors in [false, true] {
        for (method, path) in [
            ("POST", "/ingest"),
            ("POST", "/events"),
            ("POST", "/v1/logs"),
            ("POST", "/v1/webhooks/a/events/new"),
            ("POST", "//ingest"),
            ("POST", "/ingest/"),
            ("POST", "/events/1"),
            ("GET", "/events"),
            ("PUT", "/ingest"),
            ("OPTIONS", "/ingest"),
            ("POST", "/health"),
        ] {
            for (body, given) in bodies.iter().flat_map(|body| headers.map(|headers| (body, headers))) {
                let change = |config: &mut shared::config::Config| {
                    if cors {
                        config.cors.origins = vec!["https://a.example".to_owned()];
                    }
                };
                let given = [given, &[("origin", "https://a.example")]].concat();
                let mut event = event(&base64_simd::STANDARD.encode_to_string(body), true, &given);
                (event["rawPath"], event["requestContext"]["http"]["method"]) = (path.into(), method.into());
                let short = Server::with(crate::server::Faults::default(), change);
                let response = invoke(&short, event.clone()).await;

                let mut request = http::Request::builder().method(method).uri(path);
                for (name, value) in event["headers"].as_object().unwrap() {
                    request = request.header(name, value.as_str().unwrap());
                }
                let long = Server::with(crate::server::Faults::default(), change);
                let answer = long.send(request.body(axum::body::Body::from(body.to_vec())).unwrap()).await;
                let what = format!("{method} {path} {given:?} {response}");
                assert_eq!(response["statusCode"], answer.status.as_u16(), "{what}");
                let text = response["body"].as_str().unwrap();
                let text = if response["isBase64Encoded"] == true {
                    base64_simd::STANDARD.decode_to_vec(text).unwrap()
                } else {
                    text.as_bytes().to_vec()
                };
                let id = answer.headers["x-request-id"].as_str();
                let expected = answer.text.replace(id, "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
                // The router's request has the first id.
                let [first, second] = ["1", "2"].map(|n| format!("00000000-0000-0000-0000-00000000000{n}"));
                let expected = expected.replace(&second, &first);
                assert_eq!(String::from_utf8_lossy(&text), expected, "{what}");
                // Lambda measures the answer itself.
                let mut headers = answer.headers.clone();
                headers.remove("content-length");
                headers.insert("x-request-id".to_owned(), "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned());
                let mut given = response["headers"].clone();
                given.as_object_mut().unwrap().remove("content-length");
                assert_eq!(given, json!(headers), "{what}");
                assert_eq!(short.partition_keys(), long.partition_keys(), "{what}");
            }
        }
    }
}
