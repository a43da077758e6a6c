//! Logs of OpenTelemetry: what exporters send, and the answers that they understand.

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::Request;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::json;
use shared::gzip::{self, Level};

use crate::server::{ACME, Answer, Faults, JSON, Server, post_to};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

/// A request with a resource for each tenant, and a line for each of its texts.
fn export(resources: &[(&str, &[&str])]) -> ExportLogsServiceRequest {
    let text = |text: &str| Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) });
    let logs = |(tenant, lines): &(&str, &[&str])| {
        let attributes = vec![KeyValue { key: "tenant.id".to_owned(), value: text(tenant), key_strindex: 0 }];
        let record = |(index, line): (usize, &&str)| LogRecord {
            time_unix_nano: index as u64 + 1,
            body: text(line),
            ..LogRecord::default()
        };
        let log_records = lines.iter().enumerate().map(record).collect();
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        let resource = Some(Resource { attributes, ..Resource::default() });
        ResourceLogs { resource, scope_logs, schema_url: String::new() }
    };
    ExportLogsServiceRequest { resource_logs: resources.iter().map(logs).collect() }
}

fn logs(headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    post_to("/v1/logs", headers, body)
}

/// The message of a `google.rpc.Status`.
fn message(answer: &Answer) -> String {
    #[derive(Clone, PartialEq, Message)]
    struct Status {
        #[prost(string, tag = "2")]
        message: String,
    }
    assert_eq!(answer.headers["content-type"], "application/x-protobuf");
    Status::decode(answer.body.clone()).unwrap().message
}

/// The number of rejected records, and why.
fn partial(answer: &Answer) -> Option<(i64, String)> {
    assert_eq!((answer.status.as_u16(), &*answer.headers["content-type"]), (200, "application/x-protobuf"));
    let partial = ExportLogsServiceResponse::decode(answer.body.clone()).unwrap().partial_success;
    partial.map(|partial| (partial.rejected_log_records, partial.error_message))
}

fn with_attribute(faults: Faults) -> Server {
    Server::with(faults, |config| "tenant.id".clone_into(&mut config.otlp.tenant_attribute))
}

#[tokio::test]
async fn the_same_records_are_the_same_events_in_either_encoding_compressed_or_not() {
    let request = export(&[("acme", &["one", "two"])]);
    let (protobuf, json) = (request.encode_to_vec(), serde_json::to_vec(&request).unwrap());
    let mut stored = Vec::new();
    for (media_type, body) in [(PROTOBUF, protobuf), (JSON, json)] {
        for (headers, body) in [
            (vec![media_type, ACME], body.clone()),
            (vec![media_type, ACME, GZIP], gzip::compress(&body, Level::FAST)),
        ] {
            let server = Server::new();
            let answer = server.send(logs(&headers, body)).await;
            assert_eq!((answer.status.as_u16(), &*answer.headers["content-type"]), (200, media_type.1));
            assert_eq!(answer.text, if media_type == JSON { "{}" } else { "" });
            let events = server.events().into_iter();
            stored.push(events.map(|event| (event.facts.id, event.text, event.fields)).collect::<Vec<_>>());
        }
    }
    assert!(stored.iter().all(|events| *events == stored[0]), "{stored:?}");
    assert_eq!(stored[0].iter().map(|(_, text, _)| &**text).collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test]
async fn an_event_has_the_source_otlp_and_its_own_time() {
    let server = Server::new();
    let trace = ("traceparent", "00-4bf9-00f0-01");
    server
        .send(logs(
            &[PROTOBUF, ACME, trace, ("idempotency-key", "k")],
            export(&[("x", &["one"])]).encode_to_vec(),
        ))
        .await;
    let event = String::from_utf8(server.events()[0].line()).unwrap();
    insta::assert_snapshot!(event, @r#"{"v":1,"id":"691fd3f750499d8714c23bb4a1962352","admission_id":"00000000-0000-0000-0000-000000000003","tenant":"acme","tier":"pro","source":"otlp","received_at":"2026-11-21T09:30:00.123Z","event_time":"1970-01-01T00:00:00.000000001Z","text":"one","fields":{"resource":{"attributes":{"tenant.id":"x"}}},"trace":"00-4bf9-00f0-01"}"#);
}

#[tokio::test]
async fn a_request_without_records_is_a_success() {
    let server = Server::new();
    for body in [Vec::new(), export(&[]).encode_to_vec(), export(&[("acme", &[])]).encode_to_vec()] {
        assert_eq!(partial(&server.send(logs(&[PROTOBUF, ACME], body)).await), None);
    }
    for body in ["", "{}", r#"{"resourceLogs":[{}]}"#] {
        assert_eq!(server.send(logs(&[JSON], body)).await.text, "{}");
    }
    assert!(server.events().is_empty());
}

#[tokio::test]
async fn bad_records_among_good_ones_are_a_partial_success() {
    let server = with_attribute(Faults::default());
    let request = export(&[("a b", &["one", "two"]), ("beta", &["three"])]);
    let (count, why) = partial(&server.send(logs(&[PROTOBUF], request.encode_to_vec())).await).unwrap();
    assert_eq!(count, 2);
    insta::assert_snapshot!(why, @"2 of 3 log records were rejected, the first because tenant_invalid: tenant id `a b` is not allowed: 1 to 64 of the characters A-Z a-z 0-9 . _ -, the first a letter or a digit");
    assert_eq!(server.partition_keys(), ["beta"]);
    let answer = server.send(logs(&[JSON], serde_json::to_vec(&request).unwrap())).await;
    assert_eq!(answer.json, json!({"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": why}}));
}

#[tokio::test]
async fn a_request_of_which_no_record_is_good_is_refused() {
    let server = with_attribute(Faults::default());
    let answer = server.send(logs(&[PROTOBUF], export(&[("a b", &["one"])]).encode_to_vec())).await;
    assert_eq!(answer.status, 400);
    insta::assert_snapshot!(message(&answer), @"tenant_invalid: tenant id `a b` is not allowed: 1 to 64 of the characters A-Z a-z 0-9 . _ -, the first a letter or a digit");
    let answer = server.send(logs(&[JSON], serde_json::to_vec(&export(&[("", &["one"])])).unwrap())).await;
    assert_eq!((answer.status.as_u16(), answer.headers["content-type"].as_str()), (400, "application/json"));
    assert!(answer.json["message"].as_str().unwrap().starts_with("tenant_missing: "), "{answer:?}");
}

/// An exporter sends the whole request again, so the records that were published must not make it give up the others.
#[tokio::test(start_paused = true)]
async fn one_record_that_could_not_be_published_makes_the_answer_503_and_the_others_have_the_same_ids_again()
{
    let faults = Faults { throttled: Some("full"), queue_refuses: true, ..Faults::default() };
    let server = with_attribute(faults);
    let body = export(&[("full", &["one"]), ("beta", &["two"]), ("a b", &["three"])]).encode_to_vec();
    for _ in 0..2 {
        let answer = server.send(logs(&[PROTOBUF], body.clone())).await;
        assert_eq!((answer.status.as_u16(), answer.headers["retry-after"].as_str()), (503, "1"));
        assert!(message(&answer).starts_with("stream_unavailable: "));
    }
    let ids: Vec<_> = server.events().into_iter().map(|event| event.facts.id).collect();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_may_be_sent_again() {
    let begun = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"\n"))]);
    let silent = Body::from_stream(begun.chain(futures::stream::pending()));
    let answer = Server::new().send(logs(&[PROTOBUF, ACME], silent)).await;
    assert_eq!((answer.status.as_u16(), answer.headers["retry-after"].as_str()), (503, "1"));
    assert!(message(&answer).starts_with("body_timeout: "));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_in_its_encoding() {
    let server = Server::with(Faults::default(), |config| config.limits.body_bytes = 1_000);
    let check = async |headers: &[(&str, &str)], body: Vec<u8>, status: u16, code: &str| {
        let answer = server.send(logs(headers, body)).await;
        assert_eq!((answer.status.as_u16(), message(&answer).split(':').next().unwrap()), (status, code));
        assert!(!answer.headers.contains_key("retry-after"));
    };
    check(&[PROTOBUF, ACME], b"{}".to_vec(), 400, "malformed_protobuf").await;
    check(&[PROTOBUF, ACME], vec![0; 1_001], 413, "body_too_large").await;
    check(&[PROTOBUF, ACME, ("content-encoding", "br")], Vec::new(), 415, "content_encoding_unsupported")
        .await;
    check(&[PROTOBUF, ("x-tenant-id", "a b")], Vec::new(), 400, "tenant_invalid").await;
    check(
        &[("content-type", "Application/X-Protobuf; v=1"), ACME, GZIP],
        b"\xff".to_vec(),
        400,
        "body_corrupt",
    )
    .await;

    let json = server.send(logs(&[JSON, ACME], "[]")).await;
    assert_eq!(
        (json.status.as_u16(), &json.json),
        (400, &json!({"message": "not_an_object: it is JSON, but not an object"}))
    );
    let text = server.send(logs(&[("content-type", "text/plain"), ACME], "x")).await;
    assert_eq!((text.status.as_u16(), text.headers["content-type"].as_str()), (415, "application/json"));
    insta::assert_snapshot!(text.json["message"].as_str().unwrap(), @"media_type_unsupported: media type `text/plain` cannot be read here (accepted: application/x-protobuf, application/json)");
    let get = server.send(Request::get("/v1/logs").body(Body::empty()).unwrap()).await;
    assert_eq!(get.shown(), "405 method_not_allowed");
}

#[tokio::test]
async fn a_credential_decides_the_tenant_and_no_resource_overrules_it() {
    let key = |key: &str| shared::digest::sha256(key.as_bytes());
    let document = json!({"tenants": [{"tenant": "acme", "tier": "pro", "api_keys_sha256": [key("k")], "webhook_secrets": []}]});
    let server = Server::with_credentials(&document.to_string(), |config| {
        config.auth.mode = shared::config::AuthMode::ApiKey;
        "tenant.id".clone_into(&mut config.otlp.tenant_attribute);
    })
    .await;
    let body = export(&[("acme", &["one"]), ("beta", &["two"])]).encode_to_vec();
    let answer = server.send(logs(&[PROTOBUF], body.clone())).await;
    assert_eq!((answer.status.as_u16(), answer.headers.contains_key("www-authenticate")), (401, true));
    assert!(message(&answer).starts_with("credential_missing: "));
    let (count, why) = partial(&server.send(logs(&[PROTOBUF, ("x-api-key", "k")], body)).await).unwrap();
    assert!(count == 1 && why.contains("credential_mismatch: "), "{why}");
    assert_eq!(server.partition_keys(), ["acme"]);
}
