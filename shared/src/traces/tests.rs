//! Spans against collectors that take them, refuse them, or do not answer.

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(30);

/// A collector that answers each call with `answer`, and the calls. Without one it does not answer.
async fn collector(answer: Option<&'static str>) -> (Traces, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (called, calls) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let called = called.clone();
            tokio::spawn(async move {
                let (mut call, mut bytes) = (Vec::new(), [0; 4_096]);
                while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                    call.extend_from_slice(&bytes[..length]);
                    let text = String::from_utf8_lossy(&call).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                    if body.len() < length.parse().unwrap() {
                        continue;
                    }
                    call.clear();
                    called.send(text).unwrap();
                    let Some(answer) = answer else { continue };
                    stream
                        .write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 2\r\n\r\n{{}}").as_bytes())
                        .await
                        .unwrap();
                }
            });
        }
    });
    (traces(&url), calls)
}

fn traces(url: &str) -> Traces {
    let config = Telemetry { traces_url: url.to_owned(), ..Telemetry::default() };
    Traces::of(&config, "ingest").unwrap()
}

fn span() -> Span {
    let context = SpanContext { trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, span: SpanId(1) };
    let span = Span::ended(context, "accept", Kind::Server, 1_795_253_400_000_000_000);
    let span = span.with("tidegate.tenant", "acme").with("tidegate.events.accepted", 3_usize);
    let other = SpanContext { span: SpanId(2), ..context };
    Span { parent: Some(SpanId(0xb7ad)), ended: 1_795_253_400_000_000_001, ..span.linked(vec![other]) }
}

#[test]
fn nothing_is_traced_without_a_collector() {
    assert!(Traces::of(&Telemetry::default(), "ingest").is_none());
}

#[tokio::test]
async fn a_collector_gets_the_json_of_otlp() {
    let (traces, mut calls) = collector(Some("200 OK")).await;
    traces.record(span());
    traces.send(LONG).await;
    let call = calls.recv().await.unwrap();
    let (head, body) = call.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /v1/traces HTTP/1.1\r\n") && head.contains("content-type: application/json"),
        "{head}"
    );
    let body: Json = serde_json::from_str(body).unwrap();
    let of_resource = &body["resourceSpans"][0];
    assert_eq!(
        of_resource["resource"]["attributes"][1],
        json!({"key": "service.name", "value": {"stringValue": "ingest"}})
    );
    let trace = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(
        of_resource["scopeSpans"][0]["spans"],
        json!([{
            "traceId": trace, "spanId": "0000000000000001", "parentSpanId": "000000000000b7ad",
            "name": "accept", "kind": 2,
            "startTimeUnixNano": "1795253400000000000", "endTimeUnixNano": "1795253400000000001",
            "attributes": [
                {"key": "tidegate.tenant", "value": {"stringValue": "acme"}},
                {"key": "tidegate.events.accepted", "value": {"intValue": "3"}},
            ],
            "links": [{"traceId": trace, "spanId": "0000000000000002"}],
        }])
    );
}

#[tokio::test]
async fn what_waits_is_sent_without_waiting_in_as_many_calls_as_it_needs() {
    let (traces, mut calls) = collector(Some("200 OK")).await;
    (0..=CALL_SPANS).for_each(|_| traces.record(span()));
    traces.send_soon();
    traces.send_soon();
    let sent = async |call: String| call.matches("\"spanId\":\"0000000000000001\"").count();
    assert_eq!(sent(calls.recv().await.unwrap()).await, CALL_SPANS);
    assert_eq!(sent(calls.recv().await.unwrap()).await, 1);
    // A later one wakes the task again.
    traces.record(span());
    traces.send_soon();
    assert_eq!(sent(calls.recv().await.unwrap()).await, 1);
}

#[tokio::test]
async fn a_collector_that_does_not_answer_costs_the_time_limit_once() {
    let (traces, mut calls) = collector(None).await;
    traces.record(span());
    let limit = Duration::from_millis(50);
    let begun = Instant::now();
    traces.send(limit).await;
    assert!(begun.elapsed() >= limit && begun.elapsed() < LONG);
    calls.recv().await.unwrap();
    traces.record(span());
    // No call is made, so this returns, though it would have the time.
    traces.send(LONG).await;
    assert!(calls.try_recv().is_err());
}

#[tokio::test]
async fn a_collector_that_refuses_or_is_away_is_left_alone_for_a_while() {
    let (refusing, mut calls) = collector(Some("503 Service Unavailable")).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for traces in [refusing, traces(&format!("http://{closed}/v1/traces"))] {
        for _ in 0..3 {
            traces.record(span());
            traces.send(LONG).await;
        }
        let waiting = traces.0.waiting();
        assert!(waiting.is_paused());
        assert_eq!(waiting.spans.len(), 2, "the first was dropped, the others wait for the end of the pause");
    }
    calls.recv().await.unwrap();
    assert!(calls.try_recv().is_err(), "one call");
}

#[tokio::test]
async fn what_does_not_fit_the_queue_is_dropped() {
    let traces = traces("http://127.0.0.1:9/v1/traces");
    (0..WAITING + 7).for_each(|_| traces.record(span()));
    assert_eq!(traces.0.waiting().spans.len(), WAITING);
}
