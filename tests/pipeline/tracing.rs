//! The spans of the pipeline, as a collector gets them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};
use tests::site::{answer, eventually};
use tokio::net::TcpListener;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// The configuration with a collector that takes spans, and the spans so far. It never answers if it `hangs`.
async fn collector(hangs: bool) -> (String, Arc<Mutex<Vec<Value>>>) {
    let spans = Arc::<Mutex<Vec<Value>>>::default();
    let taken = Arc::clone(&spans);
    let take = move |body: axum::body::Bytes| async move {
        if hangs {
            std::future::pending::<()>().await;
        }
        let body: Value = serde_json::from_slice(&body).unwrap();
        for of_resource in body["resourceSpans"].as_array().unwrap() {
            let service = &of_resource["resource"]["attributes"][1]["value"]["stringValue"];
            for span in of_resource["scopeSpans"][0]["spans"].as_array().unwrap() {
                let mut span = span.clone();
                span["service"] = service.clone();
                taken.lock().unwrap().push(span);
            }
        }
        "{}"
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(take))).await });
    (format!("[telemetry]\ntraces_url = \"{url}\"\n"), spans)
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().unwrap();
    attributes.iter().find(|attribute| attribute["key"] == key).map_or(&Value::Null, |found| &found["value"])
}

/// A span as a link names it.
fn link(span: &Value) -> Value {
    json!({"traceId": span["traceId"], "spanId": span["spanId"]})
}

#[tokio::test]
async fn spans_lead_from_the_request_by_record_and_batch_to_item_and_object() {
    let (configuration, spans) = collector(false).await;
    let site = crate::site().configuration(&configuration);
    let pipeline = site.start();
    let request = pipeline.post("/ingest").header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    assert_eq!(answer(request.json(&json!({"tenant_id": "acme", "id": "1", "text": "x"}))).await.0, 202);

    let by_name = eventually("all spans", || {
        let spans = spans.lock().unwrap();
        let by_name: BTreeMap<_, _> =
            spans.iter().map(|span| (span["name"].as_str().unwrap().to_owned(), span.clone())).collect();
        (by_name.len() == 6).then_some(by_name)
    })
    .await;
    let [accept, put, batch, items, object, event] =
        ["accept", "put record", "store batch", "insert items", "put object", "store event"]
            .map(|name| &by_name[name]);
    let place =
        |span: &Value| [&span["service"], &span["traceId"], &span["parentSpanId"]].map(Value::to_string);
    assert_eq!(place(accept), [json!("ingest"), json!(TRACE), json!(CALLER)].map(|value| value.to_string()));
    assert_eq!(place(put), [&json!("ingest"), &json!(TRACE), &accept["spanId"]].map(Value::to_string));
    assert_eq!(batch["links"], json!([link(put)]), "to the record's span");
    for child in [items, object] {
        assert_eq!(
            place(child),
            [&json!("consumer"), &batch["traceId"], &batch["spanId"]].map(Value::to_string)
        );
    }
    assert_eq!(place(event), [&json!("consumer"), &json!(TRACE), &accept["spanId"]].map(Value::to_string));
    assert_eq!(event["links"], json!([link(put), link(batch)]));
    let key = site.stored().objects("events").into_keys().next().unwrap();
    for span in [object, event] {
        assert_eq!(attribute(span, "tidegate.object"), &json!({"stringValue": key}));
    }
    assert_eq!(attribute(event, "tidegate.outcome"), &json!({"stringValue": "stored"}));
    // The event carries our span on, and is still found by the header that its sender knows.
    let line = site.stored().lines().pop().unwrap();
    assert_eq!(line["trace"], format!("00-{TRACE}-{}-01", accept["spanId"].as_str().unwrap()));
    let found = site.printed(&["trace", &format!("00-{TRACE}-{CALLER}-01")]);
    assert!(found.contains("acme"), "{found}");
}

#[tokio::test]
async fn a_request_that_its_sender_does_not_record_has_no_spans_and_keeps_its_header() {
    let (configuration, spans) = collector(false).await;
    let site = crate::site().configuration(&configuration);
    let pipeline = site.start();
    let header = format!("00-{TRACE}-{CALLER}-00");
    let request = pipeline.post("/ingest").header("traceparent", &header);
    assert_eq!(answer(request.json(&json!({"tenant_id": "acme", "text": "x"}))).await.0, 202);
    let line = eventually("the line", || site.stored().lines().pop()).await;
    assert_eq!(line["trace"], header);
    pipeline.stop();
    assert_eq!(*spans.lock().unwrap(), [] as [Value; 0]);
}

#[tokio::test]
async fn a_collector_that_never_answers_delays_no_answer_and_no_batch() {
    let (configuration, _) = collector(true).await;
    let site = crate::site().configuration(&configuration);
    let pipeline = site.start();
    let begun = Instant::now();
    for n in 0..5 {
        assert_eq!(
            pipeline.send(&json!({"tenant_id": "acme", "id": n.to_string(), "text": "x"})).await.0,
            202
        );
    }
    // The first call alone would take two seconds.
    assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
    pipeline.metric_reaches("events_stored", 5).await;
    pipeline.metric_reaches("spans_dropped", 1).await;
}
