//! An event of each kind, from the request to item and archive line.

use serde_json::{Value, json};

use tests::site::{answer, eventually};

fn item_key(tenant: &str, id: &str) -> (String, String) {
    (format!("tenants/{tenant}"), format!("processed_logs/{id}"))
}

#[tokio::test]
async fn a_json_event_becomes_an_item_and_an_archive_line() {
    let site = crate::site();
    let pipeline = site.start();
    let event =
        json!({"tenant_id": "acme", "log_id": "123", "text": "User 555-0199 accessed /reports", "level": 3});
    assert_eq!(pipeline.send(&event).await, (202, json!({"status": "success", "event_id": "123"})));

    let line = eventually("the line in the archive", || site.stored().lines().pop()).await;
    assert_eq!(line["text"], "User [REDACTED] accessed /reports");
    assert_eq!(line["fields"], json!({"level": 3}));
    assert_eq!((&line["tenant"], &line["id"], &line["tier"]), (&"acme".into(), &"123".into(), &"pro".into()));

    let items = site.stored().items();
    let item = &items[&item_key("acme", "123")];
    assert_eq!(item.original_text, "User 555-0199 accessed /reports");
    assert_eq!(item.modified_data, "User [REDACTED] accessed /reports");
    assert_eq!((item.source.as_str(), item.tier.as_str()), ("json_upload", "pro"));

    let objects = site.stored().objects("events");
    let key = objects.keys().next().unwrap();
    let parts: Vec<_> = key.split('/').collect();
    assert!(parts[1].starts_with("dt=20") && parts[2].starts_with("hr="), "{key}");
    assert!(parts[3].starts_with("shardId-000000000000-49") && parts[3].ends_with("-0.ndjson.gz"), "{key}");
}

#[tokio::test]
async fn the_callers_trace_reaches_the_item_the_archive_line_and_the_log() {
    let site = crate::site();
    let pipeline = site.start();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let send = async |body: &'static str| {
        let request = pipeline.post("/ingest").header("Content-Type", "application/json").body(body);
        assert_eq!(answer(request.header("traceparent", trace)).await.0, 202);
    };
    send(r#"{"tenant_id":"acme","id":"1","text":"x"}"#).await;
    let line = eventually("the line in the archive", || site.stored().lines().pop()).await;
    assert_eq!(line["trace"], trace);
    assert_eq!(site.stored().items()[&item_key("acme", "1")].trace.as_deref(), Some(trace));

    send(r#"{"tenant_id":"acme","id":"1","text":"another content"}"#).await;
    let quarantined = eventually("the quarantine", || site.stored().quarantined().pop()).await;
    assert_eq!((&quarantined["reason"], &quarantined["trace"]), (&"id_reused".into(), &trace.into()));

    let log = pipeline.stop_and_read_log();
    for message in ["archive object written", "lines went to quarantine"] {
        let line = log.lines().find(|line| line.contains(message));
        assert!(line.is_some_and(|line| line.contains(trace)), "{log}");
    }
}

#[tokio::test]
async fn a_text_event_becomes_an_item_and_an_archive_line() {
    let site = crate::site();
    let pipeline = site.start();
    let request = pipeline
        .post("/ingest")
        .header("Content-Type", "text/plain")
        .header("X-Tenant-ID", "beta_inc")
        .body("call 555-0199\nor write to a@example.com");
    let (status, body) = answer(request).await;
    assert_eq!((status, &body["status"]), (202, &"success".into()));

    let line = eventually("the line in the archive", || site.stored().lines().pop()).await;
    assert_eq!(line["text"], "call [REDACTED]\nor write to [REDACTED]");
    assert_eq!((&line["tenant"], &line["source"]), (&"beta_inc".into(), &"text_upload".into()));
    assert_eq!(line["id"], body["event_id"]);
    let items = site.stored().items();
    assert!(items.contains_key(&item_key("beta_inc", body["event_id"].as_str().unwrap())));
}

#[tokio::test]
async fn a_batch_and_a_webhook_are_transformed_as_configured() {
    let site = crate::site().configuration(
        "[transform]\nsteps = [\"redact\", \"uppercase\", \"enrich\"]\n[transform.enrich]\nbrand = \"testBrand\"\n",
    );
    let pipeline = site.start();
    let batch =
        json!([{"tenant_id": "a", "id": 1, "text": "one"}, {"tenant_id": "b", "id": 1, "text": "two"}]);
    let (status, body) = answer(pipeline.post("/events").json(&batch)).await;
    assert_eq!((status, &body["accepted"]), (202, &2.into()));
    let webhook = json!({"event_timestamp": "2024-01-11T01:42:50.234200+00:00", "body": "what is the capital of India?"});
    let (status, _) = answer(pipeline.post("/v1/webhooks/c/events/new").json(&webhook)).await;
    assert_eq!(status, 202);

    eventually("three lines", || (site.stored().lines().len() == 3).then_some(())).await;
    let mut lines = site.stored().lines();
    lines.sort_by_key(|line| line["tenant"].to_string());
    let texts: Vec<_> = lines.iter().map(|line| line["text"].clone()).collect();
    assert_eq!(texts, ["ONE", "TWO", "WHAT IS THE CAPITAL OF INDIA?"]);
    assert!(lines.iter().all(|line| line["fields"]["brand"] == "testBrand"));
    assert_eq!(
        (&lines[2]["source"], &lines[2]["event_time"]),
        (&"webhook".into(), &"2024-01-11T01:42:50.234200Z".into())
    );
}

#[tokio::test]
async fn the_same_event_twice_is_stored_once_and_other_content_is_quarantined() {
    let site = crate::site();
    let pipeline = site.start();
    let send =
        async |text: &str| pipeline.send(&json!({"tenant_id": "acme", "id": "7", "text": text})).await.0;
    assert_eq!(send("first").await, 202);
    eventually("the first", || (site.stored().lines().len() == 1).then_some(())).await;
    assert_eq!((send("first").await, send("second").await), (202, 202));

    let quarantined = eventually("the quarantine", || site.stored().quarantined().pop()).await;
    assert_eq!((&quarantined["reason"], &quarantined["tenant"]), (&"id_reused".into(), &"acme".into()));
    assert_eq!(site.stored().items().len(), 1);
    assert_eq!(site.stored().lines().len(), 1);
}

#[tokio::test]
async fn health_and_metrics_show_what_happened() {
    let site = crate::site();
    let pipeline = site.start();
    let (status, health) = answer(pipeline.client.get(format!("{}/health", pipeline.url))).await;
    assert_eq!(status, 200);
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(health["config"].as_str().unwrap().len(), 12);

    pipeline.send(&json!({"tenant_id": "acme", "text": "x"})).await;
    pipeline.metric_reaches("events_stored", 1).await;
    let response = pipeline.client.get(format!("{}/metrics", pipeline.url)).send().await.unwrap();
    let text = response.text().await.unwrap();
    for line in [
        "tidegate_events_stored_total 1",
        "tidegate_requests_received_total 1",
        "tidegate_events_accepted_total 1",
        "tidegate_objects_written_total 1",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    assert!(text.contains("tidegate_freshness_milliseconds{quantile=\"0.99\"}"), "{text}");
}

#[tokio::test]
async fn a_foreign_producers_object_is_stored_under_its_tenant() {
    let site = crate::site();
    let _pipeline = site.start();
    site.stored().put_foreign("any", br#"{"tenant_id":"acme","id":"f1","payload":"from elsewhere"}"#);
    let line = eventually("the line", || site.stored().lines().pop()).await;
    let expected: Value = json!(["acme", "f1", "from elsewhere", "free"]);
    assert_eq!(json!([line["tenant"], line["id"], line["text"], line["tier"]]), expected);
}
