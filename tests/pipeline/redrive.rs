//! What failed, brought back by `tidegate redrive`: stored once, however often it is run and wherever it dies.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use shared::format::claim_check::Part;
use shared::format::event_line::Event;

use tests::chaos::Log;
use tests::site::{Pipeline, Site, eventually};

/// The books balance by the client's own log, and by what an operator can see.
async fn balance(log: &Log, site: &Site, pipeline: Pipeline) {
    log.balance(site, pipeline).await;
    let output = site.command(&["audit"], &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Sends events of these ids, one a request, so that each is a record of its own.
async fn send(log: &mut Log, pipeline: &Pipeline, ids: impl IntoIterator<Item = String>) {
    for id in ids {
        log.send(pipeline, [("acme".to_owned(), id, "x".to_owned())]).await;
    }
}

/// A pipeline that has given up `count` events, each alone, and has stored their neighbours; stopped.
async fn with_failures(count: usize) -> (Site, Log) {
    let site = crate::site().crash_on("deadly");
    let pipeline = site.start();
    let mut log = Log::default();
    let ids = (0..3 * count).map(|n| if n % 3 == 2 { format!("deadly{n}") } else { format!("e{n}") });
    send(&mut log, &pipeline, ids).await;
    let kept = || (site.books().objects("aws/lambda").len() == count).then_some(());
    eventually("the failures", kept).await;
    let stored = || (site.books().archived().len() == 2 * count).then_some(());
    eventually("their neighbours", stored).await;
    pipeline.stop();
    (site, log)
}

#[tokio::test]
async fn what_crashed_the_consumer_is_stored_once_when_it_is_redriven_after_the_fix() {
    let (mut site, log) = with_failures(1).await;
    site.mend();
    let pipeline = site.start();

    let shown = site.printed(&["redrive"]);
    assert!(shown.contains("on-failure  RetryAttemptsExhausted  acme         1  to be redriven"), "{shown}");
    assert!(shown.contains("Nothing was changed. With --apply, 1 events go back to the stream."), "{shown}");
    let records = site.books().records();
    assert_eq!(site.printed(&["redrive"]), shown, "a dry run changes nothing");
    assert_eq!(site.books().records(), records);

    let done = site.printed(&["redrive", "--apply"]);
    assert!(done.contains("1 events are back on the stream."), "{done}");
    let all = || (site.books().archived().len() == log.accepted.len()).then_some(());
    eventually("the redriven event", all).await;

    let records = site.books().records();
    for arguments in [&["redrive", "--apply"][..], &["redrive"]] {
        assert_eq!(site.printed(arguments), "Nothing that failed is left to bring back.\n");
    }
    assert_eq!(site.books().records(), records, "nothing is put a second time");
    assert_eq!(site.books().objects("aws/lambda").len(), 1, "what failed stays where it lies");
    balance(&log, &site, pipeline).await;
}

#[tokio::test]
async fn a_redrive_that_is_killed_and_run_again_stores_everything_once() {
    let (mut site, log) = with_failures(3).await;
    // At each of its effects: closing the shard, putting, noting what was put. The last record of the shard failed, so
    // that nobody has closed it behind that one yet.
    for step in ["ledger_read", "ledger_settle", "stream_put", "quarantine_put"] {
        for fault in ["die_before", "die_after"] {
            let output = site.command(&["redrive", "--apply"], &[(step, 1, 1, fault)]);
            assert!(!output.status.success(), "{step} {fault}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
    assert!(site.books().records() > 9 + 2, "some are on the stream more than once");
    site.mend();
    let pipeline = site.start();
    site.printed(&["redrive", "--apply"]);
    assert_eq!(site.printed(&["redrive"]), "Nothing that failed is left to bring back.\n");
    balance(&log, &site, pipeline).await;
}

#[tokio::test]
async fn an_event_that_fails_again_is_redriven_again() {
    let (mut site, log) = with_failures(1).await;
    // Not mended yet.
    let pipeline = site.start();
    site.printed(&["redrive", "--apply"]);
    eventually("the second failure", || (site.books().objects("aws/lambda").len() == 2).then_some(())).await;
    pipeline.stop();
    site.mend();
    let pipeline = site.start();
    site.printed(&["redrive", "--apply"]);
    balance(&log, &site, pipeline).await;
    let line = site.books().lines().into_iter().find(|line| line["id"] == "deadly2").unwrap();
    let record = site.books().data_at(line["sequence_number"].as_str().unwrap());
    let event: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(event["redrive_of"].as_array().unwrap().len(), 2, "it names both places where it was");
}

/// The head of a line that is not stored, and the part that would be.
fn lost(id: &str) -> (Vec<u8>, Part) {
    let line = json!({
        "v": 1, "id": id, "admission_id": "019aa553-4a00-7000-8000-00000000000a", "tenant": "acme", "tier": "pro",
        "source": "webhook", "received_at": "2026-11-21T09:30:00.123Z", "text": "found again",
    });
    let mut event: Event = serde_json::from_value(line).unwrap();
    let mut parts = event.check_in(&event.line());
    (event.line(), parts.remove(0))
}

#[tokio::test]
async fn quarantine_goes_back_when_its_cause_is_gone_and_what_cannot_be_read_is_named_and_left() {
    let site = crate::site();
    let pipeline = site.start();
    let mut log = Log::default();
    let (line, (key, part)) = lost("lost");
    site.books().put_foreign("acme", &line);
    site.books().put_foreign("acme", b"\x00poison");
    send(&mut log, &pipeline, ["reused".to_owned()]).await;
    let other = json!({"tenant_id": "acme", "id": "reused", "text": "another"});
    assert_eq!(pipeline.send(&other).await.0, 202);
    eventually("quarantine", || (site.books().quarantined().len() == 3).then_some(())).await;
    let is_settled = || (!site.printed(&["redrive"]).contains("not done yet")).then_some(());
    eventually("the ledger", is_settled).await;

    let shown = site.printed(&["redrive"]);
    assert!(shown.contains("claim_missing  acme         1  to be redriven"), "{shown}");
    assert!(shown.contains("unrecognised   -            1  left: it cannot be read"), "{shown}");
    assert!(shown.contains("id_reused      acme         1  left: it would be quarantined again"), "{shown}");
    assert!(shown.contains(": unrecognised\n"), "{shown}");
    assert!(!site.printed(&["redrive", "--tenant", "beta"]).contains("to be redriven"));
    assert!(!site.printed(&["redrive", "--place", "on-failure"]).contains("to be redriven"));

    let gone = site.printed(&["redrive", "--apply"]);
    assert!(gone.contains("claim_missing  acme         1  left: its claim check does not exist"), "{gone}");
    let object = site.data().join("s3/tidegate-local").join(&key);
    std::fs::create_dir_all(object.parent().unwrap()).unwrap();
    std::fs::write(&object, &part).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
    std::fs::File::open(&object).unwrap().set_modified(long_ago).unwrap();
    let done = site.printed(&["redrive", "--apply"]);
    assert!(done.contains("1 events are back on the stream."), "{done}");
    let written = std::fs::metadata(object).unwrap().modified().unwrap();
    assert!(written > long_ago, "a claim check is stored anew: its lifetime counts from then");
    let lost = ("acme".to_owned(), "lost".to_owned());
    log.sent.insert(lost.clone());
    log.accepted.insert(lost);
    let stored = || (site.books().archived().len() == 2).then_some(());
    eventually("the redriven event", stored).await;
    assert!(!site.printed(&["redrive", "--apply"]).contains("redriven"), "it is done with");

    // Who asks for it gets it tried: it is another event still.
    site.printed(&["redrive", "--apply", "--reason", "id_reused"]);
    eventually("quarantine again", || (site.books().quarantined().len() == 4).then_some(())).await;
    balance(&log, &site, pipeline).await;
}

#[tokio::test]
async fn dead_letters_go_to_the_stream_and_are_kept_aside() {
    let site = crate::site().options(&["--receives", "1"]);
    site.fault_now("StreamPut", Some("refuse"));
    let pipeline = site.start();
    site.books().send_message("garbage");
    let mut log = Log::default();
    send(&mut log, &pipeline, (0..4).map(|n| format!("e{n}"))).await;
    eventually("dead letters", || (site.books().messages("spill-dead").len() == 5).then_some(())).await;

    let refused = site.command(
        &["redrive", "--apply", "--place", "dead-letters"],
        &[("stream_put", 1, 1_000_000, "refuse")],
    );
    assert!(!refused.status.success());
    assert_eq!(site.books().messages("spill-dead").len(), 5, "what the stream does not take stays");

    site.fault_now("StreamPut", None);
    let killed = site.command(&["redrive", "--apply"], &[("stream_put", 2, 2, "die_after")]);
    assert!(!killed.status.success());
    let done = site.printed(&["redrive", "--apply"]);
    assert!(done.contains("dead-letters  dead_letter  acme         3  redriven"), "{done}");
    assert!(done.contains(": the body is not a spilled message"), "{done}");
    assert_eq!(site.books().messages("spill-dead"), ["garbage"]);
    assert_eq!(site.books().objects("redriven/dead-letters").len(), 4);
    balance(&log, &site, pipeline).await;
}
