//! `tidegate accept`: the acceptance of each recipe's document, with a short load. What it prints is the test.

use std::process::{Command, Output};

use crate::program;

/// Runs the acceptance. Debug builds and shared machines are slow, so time limits are longer.
fn accept(arguments: &[&str], variables: &[(&str, &str)]) -> (Output, String) {
    let mut command = Command::new(program());
    command.arg("accept").args(arguments).args(["--seconds", "3", "--patience", "12"]);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, printed)
}

/// No line fails, and `passed` lines pass: a line that is skipped here has a reason that no local run can lift.
fn check(recipe: &str, passed: usize, variables: &[(&str, &str)]) {
    let (output, printed) = accept(&[recipe], variables);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{errors}");
    assert_eq!(printed.lines().filter(|line| line.starts_with("PASS  ")).count(), passed, "{printed}");
    let lines: Vec<_> = printed.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[0].starts_with("SKIP  ")) {
        let reasons = ["needs AWS: ", "not a request: ", "needs `reads`", "needs `[dispatch]`"];
        assert!(reasons.iter().any(|reason| pair[1].trim().starts_with(reason)), "{pair:?}");
    }
}

#[test]
fn event_receiver_is_accepted() {
    check("event-receiver", 14, &[]);
}

#[test]
fn robust_data_processor_is_accepted() {
    let variables =
        [("TIDEGATE__TRANSFORM__SIMULATE_WORK", "0.003"), ("TIDEGATE__CONSUMER__TIMEOUT_SECONDS", "60")];
    check("robust-data-processor", 15, &variables);
}

#[test]
fn event_streaming_is_accepted() {
    check("event-streaming", 7, &[]);
}

#[test]
fn http_ingestion_is_accepted() {
    check("http-ingestion", 7, &[]);
}

#[test]
fn event_bridge_is_accepted() {
    check("event-bridge", 6, &[]);
}

#[test]
fn a_running_deployment_is_accepted_by_its_url_and_its_data() {
    let site = crate::site().configuration(include_str!("../../recipes/http-ingestion.toml"));
    let pipeline = site.start();
    let data = site.data();
    let arguments = ["http-ingestion", "--url", &pipeline.url, "--data", data.to_str().unwrap()];
    for _ in 0..2 {
        let (output, printed) = accept(&arguments, &[]);
        assert!(output.status.success(), "{printed}");
        assert!(printed.contains("http-ingestion: 7 PASS, 0 FAIL"), "{printed}");
    }
    let (output, printed) = accept(&arguments[..3], &[]);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("needs the stored data: name it with --data DIR"), "{printed}");
}

#[test]
fn a_deployment_of_another_configuration_is_not_accepted_and_the_line_names_the_key() {
    let site = crate::site();
    let pipeline = site.start();
    let (output, printed) = accept(&["http-ingestion", "--url", &pipeline.url], &[]);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    let line = "FAIL  External system sends an HTTP POST /events request\n      POST /events: 202 was expected, not 403 ";
    assert!(printed.contains(line) && printed.contains("set `tiers.default`"), "{printed}");
}
