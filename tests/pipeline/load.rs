//! `tidegate load` against a local run: what it sends is stored as it was sent, and it notices if not.

use std::process::{Command, Output};

use rusqlite::Connection;
use serde_json::Value;
use tests::site::{LocalRun, Site};

/// Sends for a second, and checks. A name and a seed send the same again.
fn load(site: &Site, pipeline: &LocalRun, more: &[&str]) -> (Output, Value) {
    let json = site.data().join("load.json");
    let mut load = site.to_run(&["load", &pipeline.url, "--duration", "1", "--verify", "--run", "first"]);
    let output = load.arg("--json").arg(&json).args(more).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let report = std::fs::read(json).unwrap_or_else(|_| panic!("no report: {errors}"));
    (output, serde_json::from_slice(&report).unwrap())
}

#[test]
fn what_it_sends_is_stored_as_it_was_sent_and_it_notices_if_not() {
    // However busy the machine is, no event is refused for being slow.
    let patient = "[publish]\nbudget_ms = 30000\nattempt_ms = 30000";
    let site = crate::site().configuration(patient);
    let pipeline = site.start();
    let plot = site.data().join("load.svg");
    let (output, report) = load(&site, &pipeline, &["--rate", "200", "--plot", plot.to_str().unwrap()]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("Verified: each of "), "{printed}");
    assert_eq!(report["requests"], 200);
    assert_eq!(report["unexpected"], serde_json::json!({}));
    let expected = report["expected"].as_object().unwrap();
    assert!(["202", "403 tier_not_allowed"].iter().all(|name| expected.contains_key(*name)), "{expected:?}");
    assert!(report["verified"]["accepted"].as_u64().unwrap() > 150, "{report}");
    assert!(std::fs::read_to_string(plot).unwrap().starts_with("<svg"));
    assert_eq!(site.audit().0, 0, "balanced");

    // The item of an event is lost. So the consumer does not know the event when it is sent again, and stores it twice.
    let database = Connection::open(site.data().join("tidegate.sqlite")).unwrap();
    let first =
        "DELETE FROM items WHERE sk = (SELECT min(sk) FROM items WHERE sk LIKE 'processed_logs/first-%')";
    assert_eq!(database.execute(first, []).unwrap(), 1);
    let (output, report) = load(&site, &pipeline, &["--connections", "1"]);
    let told = &report["verified"]["told"];
    assert_eq!(
        (output.status.code(), &told[0]["kind"], &told[1]),
        (Some(1), &"doubled".into(), &Value::Null),
        "{report}"
    );
    pipeline.stop();
}

#[test]
fn the_demonstration_shows_each_fault_and_ends_with_a_balance() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Command::new(crate::program());
    // In a folder without a configuration file.
    let output = demo.args(["demo", "--fast", "--seconds", "2"]).current_dir(&folder).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let balanced = told.matches("balanced. ").count() - told.matches("NOT balanced").count();
    assert_eq!(balanced, 2, "before and after the redrive: {told}");
    assert!(
        told.contains("Verified: each of ") && told.contains("1 events are back on the stream"),
        "{told}"
    );
    let spilled = told.split("The stream is back. ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(spilled.parse::<u32>().unwrap() > 0, "the stream was away: {told}");
}
