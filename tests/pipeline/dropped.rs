//! What the event source mapping gave up and could not keep either: it lies on the stream alone, and `tidegate redrive
//! --place stream` brings it back.
//!
//! Lambda goes on then. Ours waits until its destination takes the records; so here it takes them, and loses them.

use serde_json::{Value, json};
use tests::chaos::Log;
use tests::site::{Pipeline, Site, eventually};

const SHOW: [&str; 3] = ["redrive", "--source", "stream"];
const APPLY: [&str; 4] = ["redrive", "--source", "stream", "--apply"];
const NOTHING: &str = "No failed events are left to redrive.\n";

async fn send(log: &mut Log, pipeline: &Pipeline, ids: &[&str]) {
    for id in ids {
        log.send(pipeline, [("acme".to_owned(), (*id).to_owned(), "x".to_owned())]).await;
    }
}

async fn stored(site: &Site, count: usize) {
    eventually("what is stored", || (site.books().archived().len() == count).then_some(())).await;
}

/// Waits until `count` records are given up, each alone; then stops the pipeline and loses them.
async fn dropped(site: &Site, pipeline: Pipeline, count: usize) {
    let given_up = || (site.books().objects("aws/lambda").len() == count).then_some(());
    eventually("what is given up", given_up).await;
    pipeline.stop();
    std::fs::remove_dir_all(site.data().join("s3/tidegate-local/aws")).unwrap();
}

/// What the audit counts: `(missing of ingest, missing of foreign producers)`.
fn missing(site: &Site) -> (u64, u64) {
    let (code, report) = site.audit();
    let count = |whose: &str| report["total"][whose]["missing"].as_u64().unwrap();
    let missing = (count("ingest"), count("foreign_producers"));
    assert_eq!(code == 0, missing == (0, 0), "{report:#}");
    missing
}

/// The books balance by the client's own log, and by what an operator can see; and nothing is left to do.
async fn balance(log: &Log, site: &Site, pipeline: Pipeline) {
    log.balance(site, pipeline).await;
    let events = site.books().events();
    assert_eq!(site.printed(&APPLY), NOTHING);
    assert_eq!(site.books().events(), events);
}

#[tokio::test]
async fn what_lies_on_the_stream_alone_is_found_there_and_stored_once() {
    let mut site = crate::site().crash_on("deadly");
    let pipeline = site.start();
    let mut log = Log::default();
    send(&mut log, &pipeline, &["e0", "deadly1", "e2", "deadly3", "e4"]).await;
    stored(&site, 3).await;
    dropped(&site, pipeline, 2).await;
    assert_eq!(missing(&site), (2, 0));
    site.mend();
    let pipeline = site.start();

    assert_eq!(site.printed(&["redrive"]), NOTHING, "the stream is read only where it is named");
    let events = site.books().events();
    let shown = site.printed(&SHOW);
    assert!(shown.contains("stream  dropped  acme         2  to be redriven"), "{shown}");
    assert!(
        shown.contains("Nothing was changed. With --apply, 2 events go to the stream again.\n"),
        "{shown}"
    );
    assert_eq!(site.printed(&SHOW), shown, "a dry run changes nothing");
    assert_eq!(site.books().events(), events);
    for other in [["--tenant", "beta"], ["--reason", "id_reused"], ["--to", "2020-01-01T00:00:00Z"]] {
        assert_eq!(site.printed(&[&APPLY[..], &other].concat()), NOTHING, "{other:?}");
    }

    let done = site.printed(&APPLY);
    assert!(done.contains("2 events are back on the stream.\n"), "{done}");
    assert_eq!(site.printed(&APPLY), NOTHING, "whether they are stored yet or not");
    assert_eq!(site.books().events(), events + 2);
    balance(&log, &site, pipeline).await;
}

#[tokio::test]
async fn each_goes_where_it_would_have_gone() {
    let site = crate::site().options(&["--retries", "2"]);
    let pipeline = site.start();
    send(&mut Log::default(), &pipeline, &["same", "reused"]).await;
    stored(&site, 2).await;
    // What the consumer writes first are items; it dies of the next thing that it does.
    for operation in ["LedgerRead", "QuarantinePut"] {
        site.fault_now(operation, Some("die_before"));
    }
    for (id, text) in [("new", "x"), ("same", "x"), ("reused", "another")] {
        let event = json!({"tenant_id": "acme", "id": id, "text": text});
        assert_eq!(pipeline.send(&event).await.0, 202);
    }
    site.books().put_foreign("beta", br#"{"tenant_id":"beta","id":"foreign","payload":"x"}"#);
    site.books().put_foreign("beta", b"\x00poison");
    dropped(&site, pipeline, 5).await;
    for operation in ["LedgerRead", "QuarantinePut"] {
        site.fault_now(operation, None);
    }
    assert_eq!(site.books().items().len(), 4, "they have items: the new one and the foreign one");
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
    let records = site.books().records();
    assert_eq!(site.printed(&APPLY), NOTHING);
    assert_eq!(site.books().records(), records);

    let pipeline = site.start();
    stored(&site, 4).await;
    eventually("quarantine", || (site.books().quarantined().len() == 2).then_some(())).await;
    pipeline.stop();
    assert!(site.books().archived().values().all(|count| *count == 1), "{:?}", site.books().archived());
    let (code, report) = site.audit();
    assert_eq!(code, 0, "{report:#}");
    let counts =
        |of: &Value| ["stored", "deduplicated", "quarantined"].map(|name| of[name].as_u64().unwrap());
    assert_eq!(counts(&report["total"]["ingest"]), [3, 1, 1], "{report:#}");
    assert_eq!(counts(&report["total"]["foreign_producers"]), [1, 0, 1], "{report:#}");
    let reasons: Vec<_> = site.books().quarantined().iter().map(|line| line["reason"].clone()).collect();
    assert!(reasons.contains(&json!("unrecognised")) && reasons.contains(&json!("id_reused")), "{reasons:?}");
}

#[tokio::test]
async fn a_redrive_from_the_stream_that_is_killed_and_run_again_stores_everything_once() {
    let site = crate::site().options(&["--retries", "2"]);
    let pipeline = site.start();
    let mut log = Log::default();
    send(&mut log, &pipeline, &["e0", "e1"]).await;
    stored(&site, 2).await;
    site.fault_now("ArchivePut", Some("die_before"));
    send(&mut log, &pipeline, &["e2", "e3", "e4"]).await;
    dropped(&site, pipeline, 3).await;
    site.fault_now("ArchivePut", None);

    // At each of its effects: the ledger read, the key that an attempt left behind sealed, the shard closed, events put,
    // and noted.
    for step in ["ledger_read", "archive_put", "ledger_settle", "stream_put", "quarantine_put"] {
        for fault in ["die_before", "die_after"] {
            let output = site.command(&APPLY, &[(step, 1, 1, fault)]);
            assert!(!output.status.success(), "{step} {fault}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
    assert!(site.books().events() > 5 + 3, "some are on the stream more than once");
    let pipeline = site.start();
    site.printed(&APPLY);
    balance(&log, &site, pipeline).await;
}

#[tokio::test]
async fn what_an_attempt_archived_before_it_died_is_found_behind_the_fence_and_left() {
    let site = crate::site().options(&["--retries", "2"]);
    let pipeline = site.start();
    let mut log = Log::default();
    site.fault_now("ArchivePut", Some("die_after"));
    send(&mut log, &pipeline, &["e0"]).await;
    dropped(&site, pipeline, 1).await;
    site.fault_now("ArchivePut", None);
    assert_eq!((site.books().archived().len(), site.books().manifest().len()), (1, 0));

    let shown = site.printed(&SHOW);
    assert!(shown.contains("to be redriven"), "nothing tells yet that the object is there: {shown}");
    let done = site.printed(&APPLY);
    assert!(done.contains("stream  dropped  acme         1  already in the archive"), "{done}");
    assert_eq!(site.books().events(), 1);
    let pipeline = site.start();
    balance(&log, &site, pipeline).await;
}

#[tokio::test]
async fn what_is_dropped_again_is_brought_back_again() {
    let mut site = crate::site().crash_on("deadly");
    let pipeline = site.start();
    let mut log = Log::default();
    send(&mut log, &pipeline, &["deadly0"]).await;
    dropped(&site, pipeline, 1).await;
    // Not mended yet.
    let pipeline = site.start();
    site.printed(&APPLY);
    dropped(&site, pipeline, 1).await;
    assert_eq!(missing(&site), (1, 0));
    site.mend();
    let pipeline = site.start();
    let done = site.printed(&APPLY);
    assert!(done.contains("1 events are back on the stream.\n"), "{done}");
    log.balance(&site, pipeline).await;
    let line = &site.books().lines()[0];
    let record = site.books().data_at(line["sequence_number"].as_str().unwrap());
    let event: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(event["redrive_of"].as_array().unwrap().len(), 2, "it names both places where it was");
}
