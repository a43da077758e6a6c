//! An unavailable stream: it refuses, hangs, or fails after it took the records. Requests are still answered 202, and
//! spilled events are stored once when the stream is available again.

use serde_json::{Value, json};

use tests::site::{LocalRun, Site, eventually};

/// Sends `count` events at once, one in each request, of four tenants. Each must be answered 202.
async fn send(pipeline: &LocalRun, prefix: &str, count: usize) {
    let requests = (0..count).map(async |n| {
        let event = json!({"tenant_id": format!("t{}", n % 4), "id": format!("{prefix}{n}"), "text": "x"});
        let (status, body) = pipeline.send(&event).await;
        assert_eq!(status, 202, "{body}");
    });
    futures::future::join_all(requests).await;
}

/// Waits until `count` events are stored, each once, and the queue is empty.
async fn stored_once(site: &Site, count: usize) {
    let data = site.stored();
    eventually("all in the archive", || (data.archived().len() == count).then_some(())).await;
    eventually("an empty queue", || data.messages("spill").is_empty().then_some(())).await;
    assert!(data.archived().values().all(|times| *times == 1), "{:?}", data.archived());
    assert_eq!(data.items().len(), count);
    assert!(data.messages("spill-dead").is_empty());
}

async fn requests_spill_and_are_stored_once(fault: &str) {
    let site = crate::site();
    let pipeline = site.start();
    send(&pipeline, "before", 4).await;
    site.fault_now("StreamPut", Some(fault));
    send(&pipeline, "during", 40).await;
    assert_eq!(pipeline.metric("events_spilled").await, 40);
    assert_eq!(pipeline.metric("events_accepted").await, 44);
    site.fault_now("StreamPut", None);
    send(&pipeline, "after", 4).await;
    stored_once(&site, 48).await;
}

#[tokio::test]
async fn while_the_stream_refuses_every_request_is_answered_202_and_stored_once_later() {
    requests_spill_and_are_stored_once("refuse").await;
}

#[tokio::test]
async fn while_the_stream_hangs_every_request_is_answered_202_and_stored_once_later() {
    requests_spill_and_are_stored_once("hang").await;
}

#[tokio::test]
async fn events_that_were_both_put_and_spilled_are_stored_once_and_counted_as_redelivered() {
    let site = crate::site();
    let pipeline = site.start();
    site.fault_now("StreamPut", Some("fail_after"));
    send(&pipeline, "e", 10).await;
    assert_eq!(pipeline.metric("events_spilled").await, 10);
    site.fault_now("StreamPut", None);
    stored_once(&site, 10).await;
    pipeline.metric_reaches("events_redelivered", 10).await;
    assert!(site.stored().quarantined().is_empty());
}

#[tokio::test]
async fn without_stream_and_spill_queue_a_request_is_answered_503() {
    let site = crate::site();
    site.fault_now("StreamPut", Some("refuse"));
    site.fault_now("SpillSend", Some("refuse"));
    let pipeline = site.start();
    let request = pipeline.post("/ingest").json(&json!({"tenant_id": "acme", "text": "x"}));
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(response.json::<Value>().await.unwrap()["code"], "stream_unavailable");
}

#[tokio::test]
async fn events_that_spilled_before_kill_9_are_stored_once_after_a_restart() {
    let site = crate::site();
    site.fault_now("StreamPut", Some("refuse"));
    let pipeline = site.start();
    send(&pipeline, "e", 20).await;
    pipeline.kill();
    assert_eq!(site.stored().records(), 0);
    site.fault_now("StreamPut", None);
    let _pipeline = site.start();
    stored_once(&site, 20).await;
}

#[tokio::test]
async fn a_stop_first_brings_spilled_events_to_the_stream() {
    let site = crate::site();
    let pipeline = site.start();
    site.fault_now("StreamPut", Some("refuse"));
    send(&pipeline, "e", 20).await;
    site.fault_now("StreamPut", None);
    let printed = pipeline.stop();
    assert!(!printed.contains("queue"), "{printed}");
    assert_eq!((site.stored().items().len(), site.stored().archived().len()), (20, 20));
}

#[tokio::test]
async fn an_unreadable_message_becomes_a_dead_letter_and_other_events_are_stored() {
    let site = crate::site().options(&["--receives", "3"]);
    site.fault_now("StreamPut", Some("refuse"));
    let pipeline = site.start();
    site.stored().send_message("garbage");
    send(&pipeline, "e", 5).await;
    site.fault_now("StreamPut", None);
    eventually("all in the archive", || (site.stored().archived().len() == 5).then_some(())).await;
    eventually("the dead letter", || (site.stored().messages("spill-dead") == ["garbage"]).then_some(()))
        .await;
    let printed = pipeline.stop();
    assert!(printed.contains("1 messages never reached the stream"), "{printed}");
}
