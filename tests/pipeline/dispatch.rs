//! Dispatch, from the request to a GraphQL target that limits its rate, fails, stalls and goes away.

use std::time::Duration;

use serde_json::json;

use tests::site::{LocalRun, Site, eventually, signal};
use tests::target::GraphqlTarget;

/// A run that dispatches to this target at its rate, with fast retries.
fn site(target: &GraphqlTarget, more: &str) -> Site {
    let rate = target.seen().rate;
    crate::site().options(&["--dispatch-visibility-ms", "2000"]).configuration(&format!(
        "[dispatch]\nenabled = true\nurl = \"{}\"\nrate_per_second = {rate}\nbackoff_ms = 50\ntimeout_ms = 1_000\n{more}",
        target.url()
    ))
}

async fn send(pipeline: &LocalRun, ids: impl Iterator<Item = usize>, body: &str) {
    for id in ids {
        let event = json!({"tenant_id": "acme", "id": id.to_string(), "name": "test event", "body": body, "timestamp": "2026-11-21T09:30:00Z"});
        let (status, answer) = pipeline.send(&event).await;
        assert_eq!(status, 202, "{answer}");
    }
}

/// Waits until so many items are `delivered`.
async fn delivered(site: &Site, count: usize) {
    let data = site.stored();
    let is_delivered =
        || data.dispatches().values().filter(|(status, ..)| status.as_deref() == Some("delivered")).count();
    eventually("all events are delivered", || (is_delivered() == count).then_some(())).await;
}

#[tokio::test]
async fn a_stored_event_reaches_the_target_once_with_brand_key_and_secret() {
    let target = GraphqlTarget::start(50);
    let more = "[dispatch.constants]\nbrand = \"testBrand\"\n[dispatch.headers]\nAuthorization = \"Bearer {secret}\"\n";
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "s3cret\n").unwrap();
    let site = site(&target, &format!("secret_file = \"{}\"\n{more}", secret.path().display()));
    let pipeline = site.start();
    send(&pipeline, 1..=1, "test body").await;
    delivered(&site, 1).await;
    pipeline.metric_reaches("events_dispatched", 1).await;
    let seen = target.seen();
    let (times, event) = &seen.taken["acme/1"];
    assert_eq!((*times, event.id.as_str(), event.body.as_str()), (1, "1", "test body"));
    assert_eq!((event.name.as_deref(), event.brand.as_deref()), (Some("test event"), Some("testBrand")));
    assert_eq!(event.timestamp, "2026-11-21T09:30:00Z");
    assert_eq!(seen.headers["authorization"], "Bearer s3cret");
}

#[tokio::test]
async fn the_rate_holds_and_each_event_is_delivered_although_calls_fail_and_dispatchers_are_killed() {
    let mut target = GraphqlTarget::start(40);
    target.seen().fail_every = 20;
    // A machine under load wakes processes late.
    let site = site(&target, "guard_ms = 400\n");
    let pipeline = site.start();
    send(&pipeline, 0..120, "hello").await;
    eventually("some are taken", || (target.seen().taken.len() > 20).then_some(())).await;
    for process in pipeline.processes_of("dispatch-fn") {
        signal(process, "KILL");
    }
    target.go_away();
    tokio::time::sleep(Duration::from_millis(500)).await;
    target.come_back();
    delivered(&site, 120).await;
    let seen = target.seen();
    assert_eq!(seen.taken.len(), 120);
    assert!(seen.failed > 0);
    assert!(seen.most_in_a_second() <= 40, "{} calls in a second", seen.most_in_a_second());
    assert_eq!(seen.refused, 0);
    assert!(site.stored().messages("dispatch-dead").is_empty());
}

#[tokio::test]
async fn what_the_target_refuses_for_good_is_a_dead_letter_with_its_reason() {
    let target = GraphqlTarget::start(50);
    let site = site(&target, "");
    let pipeline = site.start();
    send(&pipeline, 1..=1, "a permanent error").await;
    send(&pipeline, 2..=2, "hello").await;
    delivered(&site, 1).await;
    eventually("the dead letter", || (site.stored().messages("dispatch-dead").len() == 1).then_some(()))
        .await;
    let reason = "200: BAD_USER_INPUT: the body is not allowed";
    assert!(site.stored().messages("dispatch-dead")[0].contains(reason));
    let failed =
        || site.stored().dispatches().into_values().find(|(status, ..)| status.as_deref() == Some("failed"));
    assert_eq!(eventually("the item", failed).await, (Some("failed".to_owned()), 1, Some(reason.to_owned())));
    let printed = pipeline.stop();
    assert!(printed.contains("1 events could not be dispatched"), "{printed}");
}

#[tokio::test]
async fn a_redrive_sends_dead_letters_again_with_all_attempts() {
    let mut target = GraphqlTarget::start(50);
    target.go_away();
    let site = site(&target, "max_attempts = 2\n");
    let pipeline = site.start();
    send(&pipeline, 0..3, "hello").await;
    eventually("three dead letters", || (site.stored().messages("dispatch-dead").len() == 3).then_some(()))
        .await;
    let redrive = ["redrive", "--source", "dispatch", "--tenant", "acme"];
    let planned = site.printed(&redrive);
    assert!(
        planned.contains("to be dispatched") && planned.contains("3 events go to the dispatch queue again"),
        "{planned}"
    );
    assert_eq!(site.stored().messages("dispatch-dead").len(), 3);
    target.come_back();
    let applied = site.printed(&[&redrive[..], &["--apply"]].concat());
    assert!(applied.contains("3 events are in the dispatch queue again"), "{applied}");
    delivered(&site, 3).await;
    assert!(site.stored().messages("dispatch-dead").is_empty());
    let attempts = site.stored().dispatches().into_values().map(|(_, attempts, _)| attempts);
    assert_eq!(attempts.collect::<Vec<_>>(), [3, 3, 3]);
}

#[tokio::test]
async fn a_note_that_is_lost_with_its_dispatcher_repeats_the_call_with_the_same_key() {
    let target = GraphqlTarget::start(50);
    let site = site(&target, "").faults(&[("dispatch_note", 1, 1, "die_before")]);
    let pipeline = site.start();
    send(&pipeline, 1..=1, "hello").await;
    delivered(&site, 1).await;
    assert_eq!(target.seen().taken["acme/1"].0, 2, "exactly once, as the target counts keys");
}

#[tokio::test]
async fn a_consumer_that_dies_around_the_queue_sends_again_and_the_event_is_delivered_once() {
    for fault in ["die_before", "die_after", "refuse", "refuse_some", "fail_after"] {
        let target = GraphqlTarget::start(50);
        let site = site(&target, "").faults(&[("dispatch_send", 1, 2, fault)]);
        let pipeline = site.start();
        send(&pipeline, 0..6, "hello").await;
        delivered(&site, 6).await;
        eventually("the queue is empty", || site.stored().messages("dispatch").is_empty().then_some(()))
            .await;
        // Two dispatchers may have a copy each at the same moment: then the key is the same.
        assert_eq!((target.seen().taken.len(), site.stored().archived().len()), (6, 6), "{fault}");
    }
}

#[tokio::test]
async fn events_that_wait_for_the_target_are_sent_after_kill_9_and_a_restart() {
    let mut target = GraphqlTarget::start(50);
    target.go_away();
    let site = site(&target, "");
    let pipeline = site.start();
    send(&pipeline, 0..10, "hello").await;
    eventually("all are stored", || (site.stored().archived().len() == 10).then_some(())).await;
    pipeline.kill();
    target.come_back();
    let _pipeline = site.start();
    delivered(&site, 10).await;
    assert_eq!(target.seen().taken.len(), 10);
}

#[tokio::test]
async fn without_dispatch_nothing_is_queued_and_a_duplicate_is_never_sent() {
    let target = GraphqlTarget::start(50);
    let off = crate::site();
    let pipeline = off.start();
    send(&pipeline, 0..3, "hello").await;
    eventually("all are stored", || (off.stored().archived().len() == 3).then_some(())).await;
    assert!(off.stored().messages("dispatch").is_empty());

    let site = site(&target, "");
    let pipeline = site.start();
    send(&pipeline, 1..=1, "hello").await;
    delivered(&site, 1).await;
    send(&pipeline, 1..=1, "hello").await;
    send(&pipeline, 1..=1, "another content").await;
    pipeline.metric_reaches("events_deduplicated", 1).await;
    eventually("quarantine", || (site.stored().quarantined().len() == 1).then_some(())).await;
    send(&pipeline, 2..=2, "hello").await;
    delivered(&site, 2).await;
    assert_eq!(target.seen().arrivals.len(), 2);
}
