//! Simulated work: texts that are too long for it, and a consumer that is killed while it works. The flood at 0.05 s a
//! character is part of the acceptance run.

use std::collections::BTreeSet;

use serde_json::json;
use shared::format::event_line::Event;
use shared::noise::noise;
use tests::chaos::ClientLog;
use tests::site::{Site, answer, eventually, signal};

/// Half of the time-out is for simulated work: 15,000 characters fit.
const CONFIGURATION: &str = "[transform]\nsimulate_work = 0.001\n[consumer]\ntimeout_seconds = 30\n";
const LONGEST: usize = 15_000;

/// Puts the head of an event on the stream, and its claim check into the bucket.
fn put_head(site: &Site, id: &str, text: &str) -> (String, String) {
    let line = json!({
        "v": 1, "id": id, "admission_id": "019aa553-4a00-7000-8000-00000000000a", "tenant": "acme", "tier": "pro",
        "source": "webhook", "received_at": "2026-11-21T09:30:00.123Z", "text": text,
    });
    let mut event: Event = serde_json::from_value(line).unwrap();
    for (key, part) in event.check_in(&event.line()) {
        let object = site.data().join("s3/tidegate-local").join(key);
        std::fs::create_dir_all(object.parent().unwrap()).unwrap();
        std::fs::write(object, part).unwrap();
    }
    site.stored().put_foreign("acme", &event.line());
    ("acme".to_owned(), id.to_owned())
}

fn site() -> Site {
    crate::site().configuration(CONFIGURATION)
}

#[tokio::test]
async fn a_text_of_one_character_too_many_is_refused_and_names_the_number_that_the_start_printed() {
    let site = site();
    let pipeline = site.start();
    let text = |length: usize| {
        let request = pipeline.post("/ingest").header("Content-Type", "text/plain");
        answer(request.header("X-Tenant-ID", "acme").body("é".repeat(length)))
    };
    let (status, problem) = text(LONGEST + 1).await;
    assert_eq!(
        (status, &problem["code"], &problem["limit"]),
        (413, &json!("work_too_long"), &json!(LONGEST)),
        "{problem}"
    );
    assert_eq!(text(500).await.0, 202);
    eventually("the other text", || (site.stored().items().len() == 1).then_some(())).await;
    let log = pipeline.stop_and_read_log();
    let of_the_consumer = format!("work is simulated on texts of at most {LONGEST} characters");
    assert!(log.contains(&of_the_consumer), "{log}");
    assert_eq!(site.stored().records(), 1);
    let printed = site.start().stop();
    assert!(printed.contains(&format!("at most {LONGEST} characters")), "{printed}");

    // The longest is accepted. It is not waited for.
    let pipeline = site.start();
    let event = json!({"tenant_id": "acme", "id": "longest", "text": "é".repeat(LONGEST)});
    assert_eq!(pipeline.send(&event).await.0, 202);
}

#[tokio::test]
async fn a_foreign_text_that_is_too_long_is_quarantined_and_stored_after_the_configuration_is_changed() {
    let site = site();
    let pipeline = site.start();
    let mut log = ClientLog::default();
    let short = |id: &str| [("acme".to_owned(), id.to_owned(), "x".to_owned())];
    log.send(&pipeline, short("before")).await;
    let foreign = json!({"tenant_id": "acme", "id": "long", "text": "x".repeat(LONGEST + 1)});
    site.stored().put_foreign("acme", foreign.to_string().as_bytes());
    log.send(&pipeline, short("after")).await;
    let quarantined = eventually("the quarantine", || site.stored().quarantined().pop()).await;
    assert_eq!((&quarantined["reason"], &quarantined["id"]), (&json!("work_too_long"), &json!("long")));
    let detail = quarantined["detail"].as_str().unwrap();
    assert!(detail.contains("15001 characters") && detail.contains("at most 15000"), "{detail}");
    let head = put_head(&site, "head", &"x".repeat(LONGEST + 2));
    let quarantined = |count| move |site: &Site| (site.stored().quarantined().len() == count).then_some(());
    eventually("the quarantine of the head", || quarantined(2)(&site)).await;
    log.balance(&site, pipeline).await;

    // Nothing was changed, so both are left, also the one whose text is in its claim check.
    let pipeline = site.start();
    let records = site.stored().records();
    let left = site.printed(&["redrive", "--apply"]);
    assert!(left.contains("work_too_long  acme         2  left: it would be quarantined again"), "{left}");
    let why = "2 events with the reason work_too_long would be quarantined again. The longest: the text has 15002 characters, allowed with simulated work: at most 15000; shorten it, lower `transform.simulate_work`";
    assert!(left.contains(why), "{left}");
    assert_eq!(site.stored().records(), records);
    let tried = site.printed(&["redrive", "--apply", "--reason", "work_too_long"]);
    assert!(tried.contains("2 events are back on the stream.") && tried.contains(why), "{tried}");
    eventually("the quarantine again", || quarantined(4)(&site)).await;
    let is_committed = || (!site.printed(&["redrive"]).contains("not done yet")).then_some(());
    eventually("the ledger", is_committed).await;
    pipeline.stop();

    let site = site.configuration("");
    let pipeline = site.start();
    let done = site.printed(&["redrive", "--apply"]);
    assert!(done.contains("2 events are back on the stream.") && !done.contains("The longest"), "{done}");
    log.sent.extend([("acme".to_owned(), "long".to_owned()), head]);
    let archived = || (site.stored().archived().len() == 4).then_some(());
    eventually("the long texts in the archive", archived).await;
    pipeline.stop();
    assert_eq!(site.stored().archived().keys().cloned().collect::<BTreeSet<_>>(), log.sent);
    assert_eq!(site.audit().0, 0);
}

#[tokio::test]
async fn a_consumer_that_is_killed_while_it_works_loses_and_doubles_nothing() {
    // The work on the large text takes 3 s. Its claim check is read just before. The fault is never reached: it counts.
    let configuration = "[publish]\nrecord_bytes = 65_536\n[transform]\nsimulate_work = 0.00003\n[consumer]\ntimeout_seconds = 30\n";
    let site = crate::site().configuration(configuration).faults(&[("claim_get", 1_000, 1_000, "refuse")]);
    let pipeline = site.start();
    let mut log = ClientLog::default();
    let large = ("acme".to_owned(), "large".to_owned(), noise(100_000, 1));
    let small = (0..20).map(|n| (format!("t{}", n % 3), format!("e{n}"), "x".to_owned()));
    log.send(&pipeline, std::iter::once(large).chain(small)).await;
    let mut kills = 0;
    for attempt in 1..=3 {
        eventually("an invocation at work", || (site.calls("claim_get") >= attempt).then_some(())).await;
        for consumer in pipeline.consumers() {
            signal(consumer, "KILL");
            kills += 1;
        }
        let large = ("tenants/acme".to_owned(), "processed_logs/large".to_owned());
        assert!(!site.stored().items().contains_key(&large), "the consumer was killed too late");
    }
    assert!(kills >= 3, "{kills}");
    log.balance(&site, pipeline).await;
    assert!(site.calls("claim_get") > 3);
}

/// The work of this event takes longer than the test may.
#[tokio::test]
async fn a_second_ctrl_c_stops_a_run_that_waits_for_simulated_work_and_loses_nothing() {
    let configuration = "[transform]\nsimulate_work = 10.0\n[consumer]\ntimeout_seconds = 900\n";
    let site = crate::site().configuration(configuration);
    let pipeline = site.start();
    let mut log = ClientLog::default();
    log.send(&pipeline, [("acme".to_owned(), "slow".to_owned(), "x".repeat(60))]).await;
    eventually("an invocation", || (!pipeline.processes_of("consumer-fn").is_empty()).then_some(())).await;
    let consumers = pipeline.processes_of("consumer-fn");
    pipeline.interrupt();
    let waits = pipeline.printed_line("It waits for");
    assert_eq!(
        waits,
        "It waits for the records on the stream (1 in progress), whose simulated work takes up to 840 s a batch; at most 1900 s in all."
    );
    pipeline.printed_line("Press Ctrl-C again");
    let printed = pipeline.stop();
    assert!(printed.contains("Stopped at once."), "{printed}");
    let are_gone = || consumers.iter().all(|id| !std::path::Path::new(&format!("/proc/{id}")).exists());
    eventually("the end of the functions", || are_gone().then_some(())).await;
    assert!(site.stored().items().is_empty());

    let site = site.configuration("");
    let pipeline = site.start();
    log.balance(&site, pipeline).await;
    assert_eq!(site.stored().archived().len(), 1);
}
