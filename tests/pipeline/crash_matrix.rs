//! Every step of the consumer, with every fault that makes a difference there; then faults at random. After each run,
//! every event that was answered 202 is archived once and has one item, and nothing else is stored.

use std::collections::BTreeMap;
use std::fmt::Write;

use futures::StreamExt;
use tests::chaos::{ClientLog, SMALL_OBJECTS, STEPS, run, too_large};

/// Has the fault at the first and the third call of a step.
async fn run_with(step: &'static str, fault: &'static str) -> (&'static str, &'static str, String) {
    let site = crate::site().configuration(SMALL_OBJECTS).faults(&[(step, 1, 1, fault), (step, 3, 3, fault)]);
    let pipeline = site.start();
    let mut log = ClientLog::default();
    for round in 0..4 {
        site.stored().put_foreign("t0", b"\x00poison");
        let text = if step == "text_put" { too_large(round) } else { "large ".repeat(30_000) };
        let large = (format!("t{round}"), format!("large{round}"), text);
        let small = (0..8).map(|n| (format!("t{}", n % 3), format!("r{round}-{n}"), "x".to_owned()));
        log.send(&pipeline, small.chain([large])).await;
        log.strand(&site, "t1", &format!("stranded{round}"));
        let archived = || (site.stored().archived().len() == log.accepted.len()).then_some(());
        tests::site::eventually("the round's events", archived).await;
    }
    log.balance(&site, pipeline).await;
    let calls = site.calls(step);
    assert!(calls >= 3, "{step} was called {calls} times: the fault did not happen twice");
    let result = format!("{0} accepted, {0} stored once", log.accepted.len());
    (step, fault, result)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn with_any_fault_at_any_step_every_accepted_event_is_stored_once() {
    let all = STEPS.iter().flat_map(|(step, faults)| faults.iter().map(move |fault| (*step, *fault)));
    let runs = all.map(|(step, fault)| tokio::spawn(run_with(step, fault)));
    let results: Vec<_> = futures::stream::iter(runs).buffered(6).collect().await;
    let mut rows: BTreeMap<usize, String> = BTreeMap::new();
    for (index, result) in results.into_iter().enumerate() {
        let (step, fault, result) = result.unwrap();
        rows.insert(index, format!("| `{step}` | `{fault}` | {result} |"));
    }
    let mut table = String::from("| step | fault | outcome |\n|---|---|---|\n");
    for row in rows.values() {
        writeln!(table, "{row}").unwrap();
    }
    println!("{table}");
    if let Ok(file) = std::env::var("TIDEGATE_WRITE_MATRIX") {
        std::fs::write(file, table).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_random_faults_kills_and_restarts_every_accepted_event_is_stored_once() {
    let seeds = (1..=8_u64).map(|seed| {
        tokio::spawn(async move {
            println!("seed {seed}");
            run(crate::program().as_ref(), seed).await
        })
    });
    let runs: Vec<_> = futures::stream::iter(seeds).buffered(4).collect().await;
    for run in runs {
        println!("{:?}", run.unwrap());
    }
}

#[tokio::test]
async fn a_record_that_crashes_the_consumer_is_saved_alone_and_other_events_are_stored_once() {
    let site = crate::site().crash_on("deadly");
    let pipeline = site.start();
    let mut log = ClientLog::default();
    let event = |id: String| ("acme".to_owned(), id, "x".to_owned());
    // Each request is a record of its own, so that the batch can be halved.
    for n in 0..20 {
        let id = if n == 7 { "deadly".to_owned() } else { format!("e{n}") };
        log.send(&pipeline, [event(id)]).await;
    }
    log.accepted.remove(&("acme".to_owned(), "deadly".to_owned()));
    assert_eq!(log.balance(&site, pipeline).await.failed, 1);

    let failed = site.stored().objects("aws/lambda");
    let failed: Vec<serde_json::Value> =
        failed.values().map(|object| serde_json::from_slice(object).unwrap()).collect();
    let [only] = &failed[..] else { panic!("not one failed batch: {failed:?}") };
    assert_eq!(only["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(only["requestContext"]["approximateInvokeCount"], 3, "the first attempt and two retries");
    let payload: serde_json::Value = serde_json::from_str(only["payload"].as_str().unwrap()).unwrap();
    assert_eq!(payload["Records"].as_array().unwrap().len(), 1, "the payload is that record alone");
}
