//! Records that failed permanently and that the failure destination lost. They are on the stream only.
//! `tidegate redrive --source stream` redrives them.
//!
//! Lambda drops records that its failure destination does not take. Our event source mapping waits instead, so these
//! tests let it save the records and then delete them.

use serde_json::{Value, json};
use tests::chaos::ClientLog;
use tests::site::{LocalRun, Site, eventually};

const SHOW: [&str; 3] = ["redrive", "--source", "stream"];
const APPLY: [&str; 4] = ["redrive", "--source", "stream", "--apply"];
const NOTHING: &str = "No failed events are left to redrive.\n";

async fn send(log: &mut ClientLog, pipeline: &LocalRun, ids: &[&str]) {
    for id in ids {
        log.send(pipeline, [("acme".to_owned(), (*id).to_owned(), "x".to_owned())]).await;
    }
}

async fn stored(site: &Site, count: usize) {
    eventually("stored events", || (site.stored().archived().len() == count).then_some(())).await;
}

/// Waits until `count` failed batches are saved, each of one record, then stops the pipeline and deletes them.
async fn dropped(site: &Site, pipeline: LocalRun, count: usize) {
    let failed = || (site.stored().objects("aws/lambda").len() == count).then_some(());
    eventually("failed batches", failed).await;
    pipeline.stop();
    std::fs::remove_dir_all(site.data().join("s3/tidegate-local/aws")).unwrap();
}

/// The audit's counts of missing events: `(of ingest, of foreign producers)`.
fn missing(site: &Site) -> (u64, u64) {
    let (code, report) = site.audit();
    let count = |whose: &str| report["total"][whose]["missing"].as_u64().unwrap();
    let missing = (count("ingest"), count("foreign_producers"));
    assert_eq!(code == 0, missing == (0, 0), "{report:#}");
    missing
}

/// Every accepted event is stored once, and nothing is left to redrive.
async fn balance(log: &ClientLog, site: &Site, pipeline: LocalRun) {
    log.balance(site, pipeline).await;
    let events = site.stored().events();
    assert_eq!(site.printed(&APPLY), NOTHING);
    assert_eq!(site.stored().events(), events);
}

#[tokio::test]
async fn records_that_are_only_on_the_stream_are_found_there_and_stored_once() {
    let mut site = crate::site().crash_on("deadly");
    let pipeline = site.start();
    let mut log = ClientLog::default();
    send(&mut log, &pipeline, &["e0", "deadly1", "e2", "deadly3", "e4"]).await;
    stored(&site, 3).await;
    dropped(&site, pipeline, 2).await;
    assert_eq!(missing(&site), (2, 0));
    site.fix_consumer();
    let pipeline = site.start();

    assert_eq!(site.printed(&["redrive"]), NOTHING, "the stream is read only where it is named");
    let events = site.stored().events();
    let shown = site.printed(&SHOW);
    assert!(shown.contains("stream  dropped  acme         2  to be redriven"), "{shown}");
    assert!(
        shown.contains("Nothing was changed. With --apply, 2 events go to the stream again.\n"),
        "{shown}"
    );
    assert_eq!(site.printed(&SHOW), shown, "a dry run changes nothing");
    assert_eq!(site.stored().events(), events);
    for other in [["--tenant", "beta"], ["--reason", "id_reused"], ["--to", "2020-01-01T00:00:00Z"]] {
        assert_eq!(site.printed(&[&APPLY[..], &other].concat()), NOTHING, "{other:?}");
    }

    let done = site.printed(&APPLY);
    assert!(done.contains("2 events are back on the stream.\n"), "{done}");
    assert_eq!(site.printed(&APPLY), NOTHING, "whether they are stored yet or not");
    assert_eq!(site.stored().events(), events + 2);
    balance(&log, &site, pipeline).await;
}

#[tokio::test]
async fn a_redriven_event_is_stored_deduplicated_or_quarantined_as_before() {
    let site = crate::site().options(&["--retries", "2"]);
    let pipeline = site.start();
    send(&mut ClientLog::default(), &pipeline, &["same", "reused"]).await;
    stored(&site, 2).await;
    // The consumer first writes items. It dies when they are written, or before it writes a line that cannot be read.
    for (operation, death) in [("ItemsInsert", "die_after"), ("QuarantinePut", "die_before")] {
        site.fault_now(operation, Some(death));
    }
    for (id, text) in [("new", "x"), ("same", "x"), ("reused", "another")] {
        let event = json!({"tenant_id": "acme", "id": id, "text": text});
        assert_eq!(pipeline.send(&event).await.0, 202);
    }
    site.stored().put_foreign("beta", br#"{"tenant_id":"beta","id":"foreign","payload":"x"}"#);
    site.stored().put_foreign("beta", b"\x00poison");
    dropped(&site, pipeline, 5).await;
    for operation in ["ItemsInsert", "QuarantinePut"] {
        site.fault_now(operation, None);
    }
    assert_eq!(site.stored().items().len(), 4, "the new and the foreign event have items");
    assert_eq!(missing(&site), (2, 2), "all but the duplicate");

    let shown = site.printed(&SHOW);
    let line = |line: &str| assert!(shown.lines().any(|shown| shown == line), "{shown}");
    line("stream  dropped  -            1  to be quarantined: it cannot be read");
    line("stream  dropped  acme         2  to be redriven");
    line("stream  dropped  beta         1  to be redriven");
    line(
        "Nothing was changed. With --apply, 3 events go to the stream again. 1 lines that cannot be read go to quarantine.",
    );
    let done = site.printed(&APPLY);
    let end = "3 events are back on the stream. 1 lines that cannot be read are in quarantine.\n";
    assert!(done.ends_with(end), "{done}");
    let records = site.stored().records();
    assert_eq!(site.printed(&APPLY), NOTHING);
    assert_eq!(site.stored().records(), records);

    let pipeline = site.start();
    stored(&site, 4).await;
    eventually("quarantine", || (site.stored().quarantined().len() == 2).then_some(())).await;
    pipeline.stop();
    assert!(site.stored().archived().values().all(|count| *count == 1), "{:?}", site.stored().archived());
    let (code, report) = site.audit();
    assert_eq!(code, 0, "{report:#}");
    let counts =
        |of: &Value| ["stored", "deduplicated", "quarantined"].map(|name| of[name].as_u64().unwrap());
    assert_eq!(counts(&report["total"]["ingest"]), [3, 1, 1], "{report:#}");
    assert_eq!(counts(&report["total"]["foreign_producers"]), [1, 0, 1], "{report:#}");
    let reasons: Vec<_> = site.stored().quarantined().iter().map(|line| line["reason"].clone()).collect();
    assert!(reasons.contains(&json!("unrecognised")) && reasons.contains(&json!("id_reused")), "{reasons:?}");
}

#[tokio::test]
async fn a_killed_redrive_from_the_stream_stores_everything_once_when_it_is_repeated() {
    let site = crate::site().options(&["--retries", "2"]);
    let pipeline = site.start();
    let mut log = ClientLog::default();
    send(&mut log, &pipeline, &["e0", "e1"]).await;
    stored(&site, 2).await;
    site.fault_now("ArchivePut", Some("die_before"));
    send(&mut log, &pipeline, &["e2", "e3", "e4"]).await;
    dropped(&site, pipeline, 3).await;
    site.fault_now("ArchivePut", None);

    // Killed at each of its steps: it reads the ledger, fences the key of an earlier attempt, fences the shard, puts
    // events, and writes down what it put.
    for step in ["ledger_read", "archive_put", "ledger_commit", "stream_put", "quarantine_put"] {
        for fault in ["die_before", "die_after"] {
            let output = site.command(&APPLY, &[(step, 1, 1, fault)]);
            assert!(!output.status.success(), "{step} {fault}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
    assert!(site.stored().events() > 5 + 3, "some are on the stream more than once");
    let pipeline = site.start();
    site.printed(&APPLY);
    balance(&log, &site, pipeline).await;
}

#[tokio::test]
async fn an_object_that_was_archived_before_the_crash_is_found_by_the_fence_and_not_redriven() {
    let site = crate::site().options(&["--retries", "2"]);
    let pipeline = site.start();
    let mut log = ClientLog::default();
    site.fault_now("ArchivePut", Some("die_after"));
    send(&mut log, &pipeline, &["e0"]).await;
    dropped(&site, pipeline, 1).await;
    site.fault_now("ArchivePut", None);
    assert_eq!((site.stored().archived().len(), site.stored().manifest().len()), (1, 0));

    let shown = site.printed(&SHOW);
    assert!(shown.contains("to be redriven"), "the object is not known yet: {shown}");
    let done = site.printed(&APPLY);
    assert!(done.contains("stream  dropped  acme         1  already in the archive"), "{done}");
    assert_eq!(site.stored().events(), 1);
    let pipeline = site.start();
    balance(&log, &site, pipeline).await;
}

#[tokio::test]
async fn an_event_that_is_dropped_again_is_brought_back_again() {
    let mut site = crate::site().crash_on("deadly");
    let pipeline = site.start();
    let mut log = ClientLog::default();
    send(&mut log, &pipeline, &["deadly0"]).await;
    dropped(&site, pipeline, 1).await;
    // The consumer still crashes on it.
    let pipeline = site.start();
    site.printed(&APPLY);
    dropped(&site, pipeline, 1).await;
    assert_eq!(missing(&site), (1, 0));
    site.fix_consumer();
    let pipeline = site.start();
    let done = site.printed(&APPLY);
    assert!(done.contains("1 events are back on the stream.\n"), "{done}");
    log.balance(&site, pipeline).await;
    let line = &site.stored().lines()[0];
    let record = site.stored().data_at(line["sequence_number"].as_str().unwrap());
    let event: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(event["redrive_of"].as_array().unwrap().len(), 2, "it names both former origins");
}
