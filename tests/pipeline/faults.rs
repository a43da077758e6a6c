//! Throttling, partial refusals, poison records, a killed consumer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use tests::site::{LocalRun, Site, answer, eventually, signal};

/// Sends `count` events, one in each request. Returns the ids that were answered 202.
async fn send(pipeline: &LocalRun, prefix: &str, count: usize) -> Vec<String> {
    let mut accepted = Vec::new();
    for n in 0..count {
        let id = format!("{prefix}{n}");
        let (status, body) =
            pipeline.send(&json!({"tenant_id": format!("t{}", n % 4), "id": id, "text": "x"})).await;
        if status == 202 {
            accepted.push(id);
        } else {
            assert_eq!((status, &body["code"]), (503, &"stream_unavailable".into()));
        }
    }
    accepted
}

/// Waits until every id is archived, and checks that it is archived once and has an item.
async fn stored_once(site: &Site, ids: &[String]) {
    let archived = || {
        site.stored().archived().into_iter().map(|((_, id), count)| (id, count)).collect::<BTreeMap<_, _>>()
    };
    eventually("all in the archive", || {
        let archived = archived();
        ids.iter().all(|id| archived.contains_key(id)).then_some(())
    })
    .await;
    let archived = archived();
    assert!(archived.values().all(|count| *count == 1), "{archived:?}");
    let items = site.stored().items();
    for id in ids {
        assert!(items.keys().any(|(_, sk)| *sk == format!("processed_logs/{id}")), "{id} has no item");
    }
}

#[tokio::test]
async fn puts_to_a_throttled_stream_are_retried_within_the_budget() {
    let site = crate::site().faults(&[("stream_put", 1, 1, "refuse"), ("stream_put", 3, 3, "fail_after")]);
    let pipeline = site.start();
    let ids = send(&pipeline, "e", 5).await;
    assert_eq!(ids.len(), 5);
    stored_once(&site, &ids).await;
    // The third call took effect and failed. So its record is on the stream twice, but the event is stored once.
    assert!(site.stored().records() > 5);
}

#[tokio::test]
async fn only_the_refused_records_of_a_batch_are_retried() {
    let site = crate::site().faults(&[("stream_put", 1, 1, "refuse_some")]);
    let pipeline = site.start();
    let batch: Vec<Value> =
        (0..8).map(|n| json!({"tenant_id": format!("t{n}"), "id": format!("b{n}"), "text": "x"})).collect();
    let (status, body) = answer(pipeline.post("/ingest").json(&batch)).await;
    assert_eq!((status, &body["accepted"]), (202, &8.into()));
    let ids: Vec<_> = (0..8).map(|n| format!("b{n}")).collect();
    stored_once(&site, &ids).await;
    assert_eq!(site.stored().records(), 8);
}

#[tokio::test]
async fn a_poison_record_is_quarantined_and_other_events_are_stored() {
    let site = crate::site();
    let pipeline = site.start();
    let mut ids = send(&pipeline, "before", 3).await;
    site.stored().put_foreign("t0", b"\x00poison");
    ids.extend(send(&pipeline, "after", 3).await);
    stored_once(&site, &ids).await;
    let quarantined = eventually("the quarantine", || site.stored().quarantined().pop()).await;
    assert_eq!(quarantined["reason"], "unrecognised");
    assert_eq!(quarantined["bytes"], "AHBvaXNvbg==");
}

#[tokio::test]
async fn a_consumer_killed_before_its_items_are_written_loses_and_doubles_nothing() {
    let site =
        crate::site().faults(&[("items_insert", 1, 2, "die_before"), ("items_insert", 4, 4, "die_before")]);
    let pipeline = site.start();
    let ids = send(&pipeline, "e", 40).await;
    stored_once(&site, &ids).await;
}

#[tokio::test]
async fn items_written_before_the_consumer_was_killed_are_archived_at_the_next_attempt() {
    let site =
        crate::site().faults(&[("items_insert", 1, 1, "die_after"), ("archive_put", 1, 1, "die_before")]);
    let pipeline = site.start();
    let ids = send(&pipeline, "e", 40).await;
    stored_once(&site, &ids).await;
}

#[tokio::test]
async fn a_consumer_killed_from_outside_at_any_moment_loses_and_doubles_nothing() {
    let site = crate::site();
    let pipeline = site.start();
    let mut ids = Vec::new();
    for round in 0..5 {
        ids.extend(send(&pipeline, &format!("r{round}-"), 20).await);
        for consumer in pipeline.consumers() {
            signal(consumer, "KILL");
        }
    }
    ids.extend(send(&pipeline, "last-", 5).await);
    eventually("every item", || (site.stored().items().len() == ids.len()).then_some(())).await;
    let archived = || site.stored().archived();
    eventually("all in the archive", || (archived().len() == ids.len()).then_some(())).await;
    assert!(archived().values().all(|count| *count == 1), "{:?}", archived());
}

#[tokio::test]
async fn writes_to_stores_that_throttle_or_refuse_in_part_are_retried() {
    let site = crate::site().faults(&[
        ("items_insert", 1, 3, "refuse_some"),
        ("items_insert", 5, 5, "fail_after"),
        ("archive_put", 1, 1, "refuse"),
        ("archive_put", 2, 2, "fail_after"),
    ]);
    let pipeline = site.start();
    let ids = send(&pipeline, "e", 30).await;
    stored_once(&site, &ids).await;
}
