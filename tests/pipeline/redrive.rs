//! Failed events are stored once after `tidegate redrive`, even if the command is repeated or killed.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use shared::format::claim_check::Part;
use shared::format::event_line::Event;

use tests::chaos::ClientLog;
use tests::site::{LocalRun, Site, eventually};

/// Every accepted event is stored once, and `tidegate audit` agrees.
async fn balance(log: &ClientLog, site: &Site, pipeline: LocalRun) {
    log.balance(site, pipeline).await;
    let output = site.command(&["audit"], &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Sends events with these ids, one in each request, so that each is a record of its own.
async fn send(log: &mut ClientLog, pipeline: &LocalRun, ids: impl IntoIterator<Item = String>) {
    for id in ids {
        log.send(pipeline, [("acme".to_owned(), id, "x".to_owned())]).await;
    }
}

/// A stopped site with `count` failed batches of one event each, and twice as many stored events.
async fn with_failures(count: usize) -> (Site, ClientLog) {
    let site = crate::site().crash_on("deadly");
    let pipeline = site.start();
    let mut log = ClientLog::default();
    let ids = (0..3 * count).map(|n| if n % 3 == 2 { format!("deadly{n}") } else { format!("e{n}") });
    send(&mut log, &pipeline, ids).await;
    let failed = || (site.stored().objects("aws/lambda").len() == count).then_some(());
    eventually("failed batches", failed).await;
    let stored = || (site.stored().archived().len() == 2 * count).then_some(());
    eventually("the other events", stored).await;
    pipeline.stop();
    (site, log)
}

/// Makes the payload of one failed batch an object, and of another one an object over several lines: Lambda may write them so.
fn as_objects(site: &Site) {
    for (index, (key, object)) in site.stored().objects("aws/lambda").iter().enumerate().skip(1) {
        let mut object: Value = serde_json::from_slice(object).unwrap();
        object["payload"] = serde_json::from_str(object["payload"].as_str().unwrap()).unwrap();
        let written = if index == 1 { object.to_string() } else { format!("{object:#}") };
        std::fs::write(site.data().join("s3/tidegate-local").join(key), written).unwrap();
    }
}

#[tokio::test]
async fn an_event_that_crashed_the_consumer_is_stored_once_when_it_is_redriven_after_the_fix() {
    let (mut site, log) = with_failures(1).await;
    site.fix_consumer();
    let pipeline = site.start();

    let shown = site.printed(&["redrive"]);
    assert!(
        shown.contains("failure-destination  RetryAttemptsExhausted  acme         1  to be redriven"),
        "{shown}"
    );
    assert!(shown.contains("Nothing was changed. With --apply, 1 events go to the stream again."), "{shown}");
    let records = site.stored().records();
    assert_eq!(site.printed(&["redrive"]), shown, "a dry run changes nothing");
    assert_eq!(site.stored().records(), records);

    let done = site.printed(&["redrive", "--apply"]);
    assert!(done.contains("1 events are back on the stream."), "{done}");
    let all = || (site.stored().archived().len() == log.accepted.len()).then_some(());
    eventually("the redriven event", all).await;

    let records = site.stored().records();
    for arguments in [&["redrive", "--apply"][..], &["redrive"]] {
        assert_eq!(site.printed(arguments), "No failed events are left to redrive.\n");
    }
    assert_eq!(site.stored().records(), records, "nothing is put a second time");
    assert_eq!(site.stored().objects("aws/lambda").len(), 1, "the failed batch stays");
    balance(&log, &site, pipeline).await;
}

#[tokio::test]
async fn a_killed_redrive_stores_everything_once_when_it_is_repeated() {
    let (mut site, log) = with_failures(3).await;
    as_objects(&site);
    // Killed at each of its steps: it fences the shard, puts events, and writes down what it put. The last record of
    // the shard failed, so the shard is not fenced after it yet.
    for step in ["ledger_read", "ledger_commit", "stream_put", "quarantine_put"] {
        for fault in ["die_before", "die_after"] {
            let output = site.command(&["redrive", "--apply"], &[(step, 1, 1, fault)]);
            assert!(!output.status.success(), "{step} {fault}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
    assert!(site.stored().records() > 9 + 2, "some are on the stream more than once");
    site.fix_consumer();
    let pipeline = site.start();
    site.printed(&["redrive", "--apply"]);
    assert_eq!(site.printed(&["redrive"]), "No failed events are left to redrive.\n");
    balance(&log, &site, pipeline).await;
}

#[tokio::test]
async fn an_event_that_fails_again_is_redriven_again() {
    let (mut site, log) = with_failures(1).await;
    // The consumer still crashes on it.
    let pipeline = site.start();
    site.printed(&["redrive", "--apply"]);
    eventually("the second failure", || (site.stored().objects("aws/lambda").len() == 2).then_some(())).await;
    pipeline.stop();
    site.fix_consumer();
    let pipeline = site.start();
    site.printed(&["redrive", "--apply"]);
    balance(&log, &site, pipeline).await;
    let line = site.stored().lines().into_iter().find(|line| line["id"] == "deadly2").unwrap();
    let record = site.stored().data_at(line["sequence_number"].as_str().unwrap());
    let event: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(event["redrive_of"].as_array().unwrap().len(), 2, "it names both former origins");
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
async fn quarantined_events_are_redriven_once_the_cause_is_fixed_and_unreadable_ones_are_left() {
    let site = crate::site();
    let pipeline = site.start();
    let mut log = ClientLog::default();
    let (line, (key, part)) = lost("lost");
    site.stored().put_foreign("acme", &line);
    site.stored().put_foreign("acme", b"\x00poison");
    send(&mut log, &pipeline, ["reused".to_owned()]).await;
    let other = json!({"tenant_id": "acme", "id": "reused", "text": "another"});
    assert_eq!(pipeline.send(&other).await.0, 202);
    eventually("quarantine", || (site.stored().quarantined().len() == 3).then_some(())).await;
    let is_committed = || (!site.printed(&["redrive"]).contains("not done yet")).then_some(());
    eventually("the ledger", is_committed).await;

    let shown = site.printed(&["redrive"]);
    assert!(shown.contains("claim_missing  acme         1  to be redriven"), "{shown}");
    assert!(shown.contains("unrecognised   -            1  left: it cannot be read"), "{shown}");
    assert!(shown.contains("id_reused      acme         1  left: it would be quarantined again"), "{shown}");
    assert!(shown.contains(": unrecognised\n"), "{shown}");
    assert!(!site.printed(&["redrive", "--tenant", "beta"]).contains("to be redriven"));
    assert!(!site.printed(&["redrive", "--source", "failure-destination"]).contains("to be redriven"));

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
    let stored = || (site.stored().archived().len() == 2).then_some(());
    eventually("the redriven event", stored).await;
    assert!(!site.printed(&["redrive", "--apply"]).contains("redriven"), "nothing is left");

    // It can be redriven by its reason, but it is still another event with the same id.
    site.printed(&["redrive", "--apply", "--reason", "id_reused"]);
    eventually("quarantine again", || (site.stored().quarantined().len() == 4).then_some(())).await;
    balance(&log, &site, pipeline).await;
}

#[tokio::test]
async fn dead_letters_go_to_the_stream_and_a_copy_is_saved() {
    let site = crate::site().options(&["--receives", "1"]);
    site.fault_now("StreamPut", Some("refuse"));
    let pipeline = site.start();
    site.stored().send_message("garbage");
    let mut log = ClientLog::default();
    send(&mut log, &pipeline, (0..4).map(|n| format!("e{n}"))).await;
    eventually("dead letters", || (site.stored().messages("spill-dead").len() == 5).then_some(())).await;

    let refused = site.command(
        &["redrive", "--apply", "--source", "dead-letters"],
        &[("stream_put", 1, 1_000_000, "refuse")],
    );
    assert!(!refused.status.success());
    assert_eq!(site.stored().messages("spill-dead").len(), 5, "what the stream does not take stays");

    site.fault_now("StreamPut", None);
    let killed = site.command(&["redrive", "--apply"], &[("stream_put", 2, 2, "die_after")]);
    assert!(!killed.status.success());
    let done = site.printed(&["redrive", "--apply"]);
    assert!(done.contains("dead-letters  dead_letter  acme         3  redriven"), "{done}");
    assert!(done.contains(": the body is not a spilled message"), "{done}");
    assert_eq!(site.stored().messages("spill-dead"), ["garbage"]);
    assert_eq!(site.stored().objects("redriven/dead-letters").len(), 4);
    // An audit finds it.
    let database = rusqlite::Connection::open(site.data().join("tidegate.sqlite")).unwrap();
    database.busy_timeout(tests::site::DEADLINE).unwrap();
    database.execute("DELETE FROM messages WHERE body = 'garbage'", []).unwrap();
    balance(&log, &site, pipeline).await;
}
