//! Every state in which events are not stored as they should be: `/health` names it, and is `ok` again afterwards. A minute is
//! short here. The thresholds are tested in virtual time, in `local/src/health.rs`.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};
use shared::noise::noise;

use tests::site::{DEADLINE, LocalRun, Site, answer, signal};

/// A second is a minute.
const SECOND: &[&str] = &["--minute-ms", "1000"];

async fn send(pipeline: &LocalRun, id: &str) -> u16 {
    pipeline.send(&json!({"tenant_id": "acme", "id": id, "text": "x"})).await.0
}

/// Polls `/health` until it is as expected. Returns it.
async fn health_when(pipeline: &LocalRun, what: &str, is_expected: impl Fn(u16, &Value) -> bool) -> Value {
    let end = Instant::now() + DEADLINE;
    loop {
        let (code, health) = pipeline.health().await;
        assert_eq!(code == 503, health["status"] == "failing", "{health}");
        assert_eq!(health["status"] == "ok", health["reasons"] == json!([]), "{health}");
        if is_expected(code, &health) {
            return health;
        }
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}: {health}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Waits until `/health` has the reason, with this status. Returns the answer.
async fn is(pipeline: &LocalRun, status: &str, code: &str) -> Value {
    let has = |reason: &Value| reason["code"] == code && reason["message"] != "";
    let expected = |_, health: &Value| {
        health["status"] == status && health["reasons"].as_array().unwrap().iter().any(has)
    };
    health_when(pipeline, code, expected).await
}

/// The same, for what is over a short minute after it happened: `happen` makes it happen again before each look. On a busy
/// machine, a minute that passes between two looks would be missed.
async fn is_while(pipeline: &LocalRun, status: &str, code: &str, happen: impl AsyncFn()) {
    let end = Instant::now() + DEADLINE;
    loop {
        happen().await;
        let (_, health) = pipeline.health().await;
        let reasons = health["reasons"].as_array().unwrap();
        if health["status"] == status && reasons.iter().any(|reason| reason["code"] == code) {
            return;
        }
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {code}: {health}");
    }
}

async fn is_ok(pipeline: &LocalRun) -> Value {
    health_when(pipeline, "ok", |_, health| health["status"] == "ok").await
}

/// A function that starts now crashes, until the configuration is written again.
fn break_configuration(site: &Site) {
    fs::write(site.configuration_file(), "garbage").unwrap();
}

#[tokio::test]
async fn a_run_without_trouble_is_ok_and_says_what_it_sees() {
    let site = crate::site();
    let pipeline = site.start();
    send(&pipeline, "1").await;
    pipeline.metric_reaches("events_stored", 1).await;
    let health = is_ok(&pipeline).await;
    assert_eq!(health["covers"], "pipeline");
    for gauge in [
        "records_waiting",
        "oldest_record_age_seconds",
        "batch_failures",
        "batches_failed",
        "consumer_restarts",
        "events_quarantined",
        "spill_depth",
        "spill_dead_letters",
    ] {
        health_when(&pipeline, gauge, |_, health| health["gauges"][gauge].as_f64() == Some(0.0)).await;
    }
    assert_eq!(health["gauges"].get("dispatch_depth"), None, "dispatch is off");
    let metrics = pipeline.client.get(format!("{}/metrics", pipeline.url)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in ["tidegate_records_waiting 0", "tidegate_batches_failed_total 0", "tidegate_spill_depth 0"] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }
}

#[tokio::test]
async fn a_consumer_that_crashes_on_a_batch_again_and_again() {
    let site = crate::site();
    let pipeline = site.start();
    site.fault_now("ItemsInsert", Some("die_before"));
    send(&pipeline, "poison").await;
    let health = is(&pipeline, "degraded", "consumer_errors").await;
    let reason = &health["reasons"][0];
    assert_eq!(
        (&reason["limit"], &reason["runbook"]),
        (&json!(2), &json!("docs/runbooks/consumer-errors.md"))
    );
    assert!(
        reason["value"].as_u64() > Some(2) && reason["message"].as_str().unwrap().contains("shardId-0000")
    );
    assert!(health["gauges"]["consumer_restarts"].as_u64() > Some(2), "{health}");
    assert_eq!(health["gauges"]["records_waiting"], 1);
    assert_eq!(health["gauges"]["oldest_record_shard"], "shardId-000000000000");
    let line = pipeline.printed_line("Health: ");
    assert!(
        line.starts_with("Health: degraded: the consumer crashed") && line.contains("consumer-errors.md"),
        "{line}"
    );
    site.fault_now("ItemsInsert", None);
    is_ok(&pipeline).await;
}

#[tokio::test]
async fn a_consumer_that_crashes_at_its_start_again_and_again() {
    let site = crate::site();
    let pipeline = site.start();
    break_configuration(&site);
    send(&pipeline, "1").await;
    let health = is(&pipeline, "degraded", "consumer_errors").await;
    assert!(health["gauges"]["consumer_restarts"].as_u64() > Some(2), "{health}");
    site.configuration_file();
    is_ok(&pipeline).await;
}

#[tokio::test]
async fn a_consumer_that_hangs() {
    let site = crate::site().options(SECOND);
    let pipeline = site.start();
    send(&pipeline, "1").await;
    pipeline.metric_reaches("events_stored", 1).await;
    let consumers = pipeline.processes_of("consumer-fn");
    for consumer in &consumers {
        signal(*consumer, "STOP");
    }
    send(&pipeline, "2").await;
    is(&pipeline, "degraded", "consumer_slow").await;
    let health = is(&pipeline, "degraded", "consumer_lag").await;
    assert!(health["gauges"]["oldest_record_age_seconds"].as_f64() > Some(1.0), "{health}");
    for consumer in consumers {
        signal(consumer, "CONT");
    }
    is_ok(&pipeline).await;
}

#[tokio::test]
async fn a_store_of_the_consumer_that_refuses() {
    for store in ["ItemsInsert", "ArchivePut", "LedgerRead"] {
        let site = crate::site().options(SECOND);
        let pipeline = site.start();
        site.fault_now(store, Some("refuse"));
        send(&pipeline, "1").await;
        is(&pipeline, "degraded", "consumer_lag").await;
        site.fault_now(store, None);
        is_ok(&pipeline).await;
    }
}

#[tokio::test]
async fn a_stream_that_refuses_and_a_spill_queue_that_only_fills() {
    let site = crate::site().options(&["--minute-ms", "200"]);
    let pipeline = site.start();
    site.fault_now("StreamPut", Some("refuse"));
    is_while(&pipeline, "degraded", "spilling", async || assert_eq!(send(&pipeline, "1").await, 202)).await;
    let health = is(&pipeline, "degraded", "spill_stuck").await;
    assert!(health["gauges"]["spill_depth"].as_u64() > Some(0), "{health}");
    assert_eq!(health["gauges"]["records_waiting"], 0);
    site.fault_now("StreamPut", None);
    is_ok(&pipeline).await;
}

/// Nothing is accepted, so it is failing, on the local run.
#[tokio::test]
async fn a_stream_and_a_spill_queue_that_refuse() {
    let site = crate::site().options(SECOND);
    let pipeline = site.start();
    site.fault_now("StreamPut", Some("refuse"));
    site.fault_now("SpillSend", Some("refuse"));
    let refused = async || assert_eq!(send(&pipeline, "1").await, 503);
    is_while(&pipeline, "failing", "ingest_unavailable", refused).await;
    site.fault_now("StreamPut", None);
    assert_eq!(send(&pipeline, "1").await, 202);
    is_ok(&pipeline).await;
}

#[tokio::test]
async fn a_disk_without_room_for_a_body() {
    // On a slow machine the loop sends more bytes than the usual quota allows.
    let site = crate::site().configuration("[quotas]\ndefault = {}\n").options(SECOND);
    let pipeline = site.start_with_small_files(3_000);
    let refused = async || {
        let large = pipeline.post("/ingest").header("Content-Type", "text/plain");
        let large = large.header("X-Tenant-ID", "acme").body(noise(9_500_000, 1));
        assert_eq!(answer(large).await.0, 503);
    };
    is_while(&pipeline, "failing", "ingest_unavailable", refused).await;
    is_ok(&pipeline).await;
}

#[tokio::test]
async fn a_drain_that_does_not_start() {
    let site = crate::site();
    let pipeline = site.start();
    site.fault_now("StreamPut", Some("refuse"));
    break_configuration(&site);
    assert_eq!(send(&pipeline, "1").await, 202);
    is(&pipeline, "degraded", "drain_errors").await;
    site.configuration_file();
    site.fault_now("StreamPut", None);
    health_when(&pipeline, "no errors", |_, health| !health.to_string().contains("drain_errors")).await;
}

#[tokio::test]
async fn spilled_events_that_became_dead_letters_until_they_are_redriven() {
    let site = crate::site().options(&["--minute-ms", "1000", "--receives", "2"]);
    let pipeline = site.start();
    site.fault_now("StreamPut", Some("refuse"));
    assert_eq!(send(&pipeline, "1").await, 202);
    let health = is(&pipeline, "degraded", "spill_dead_letters").await;
    assert_eq!(health["gauges"]["spill_dead_letters"], 1);
    site.fault_now("StreamPut", None);
    health_when(&pipeline, "only them", |_, health| health["reasons"].as_array().unwrap().len() == 1).await;
    site.printed(&["redrive", "--source", "dead-letters", "--apply"]);
    is_ok(&pipeline).await;
}

#[tokio::test]
async fn a_batch_that_failed_for_good() {
    let site = crate::site().crash_on("deadly").options(&["--minute-ms", "5000"]);
    let pipeline = site.start();
    send(&pipeline, "deadly").await;
    is(&pipeline, "degraded", "failed_batches").await;
    // A minute later; the gauge does not forget.
    assert_eq!(is_ok(&pipeline).await["gauges"]["batches_failed"], 1);
}

#[tokio::test]
async fn events_in_quarantine_are_counted_and_are_the_senders_matter() {
    let site = crate::site();
    let pipeline = site.start();
    site.stored().put_foreign("any", b"neither JSON nor anything else");
    health_when(&pipeline, "quarantine", |_, health| health["gauges"]["events_quarantined"] == 1).await;
    is_ok(&pipeline).await;
}
