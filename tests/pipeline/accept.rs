//! `tidegate accept`: the acceptance of each recipe's document, with a short load. What it prints is the test.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use shared::config::Recipe;

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
        let reasons = ["needs AWS: ", "not a request: "];
        assert!(reasons.iter().any(|reason| pair[1].trim().starts_with(reason)), "{pair:?}");
    }
}

#[test]
fn event_receiver_is_accepted() {
    check("event-receiver", 15, &[]);
}

#[test]
fn robust_data_processor_is_accepted() {
    let variables =
        [("TIDEGATE__TRANSFORM__SIMULATE_WORK", "0.003"), ("TIDEGATE__CONSUMER__TIMEOUT_SECONDS", "60")];
    check("robust-data-processor", 18, &variables);
}

#[test]
fn event_streaming_is_accepted() {
    check("event-streaming", 9, &[]);
}

#[test]
fn http_ingestion_is_accepted() {
    check("http-ingestion", 11, &[]);
}

#[test]
fn event_bridge_is_accepted() {
    // A machine under load wakes processes late.
    check("event-bridge", 14, &[("TIDEGATE__DISPATCH__GUARD_MS", "400")]);
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
        assert!(printed.contains("http-ingestion: 10 PASS, 0 FAIL"), "{printed}");
    }
    let (output, printed) = accept(&arguments[..3], &[]);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("needs --data DIR or --stack NAME"), "{printed}");
}

#[test]
fn a_deployment_that_dispatches_to_this_command_is_accepted_at_a_lower_rate() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let dispatch = "rate_per_second = 25\nguard_ms = 400\nmax_attempts = 4\nbackoff_ms = 250";
    let recipe = include_str!("../../recipes/event-bridge.toml")
        .replace("https://target.invalid/graphql", &format!("http://{target}/graphql"))
        .replace("rate_per_second = 25", dispatch);
    let site = crate::site().configuration(&recipe);
    let pipeline = site.start();
    let data = site.data();
    let data = ["--data", data.to_str().unwrap()];
    let arguments = ["event-bridge", "--url", &pipeline.url, "--target", &target, "--rate", "40"];
    let variables = [("TIDEGATE__DISPATCH__MAX_ATTEMPTS", "4")];
    let (output, printed) = accept(&[&arguments[..], &data[..]].concat(), &variables);
    assert!(output.status.success() && printed.contains("event-bridge: 13 PASS, 0 FAIL"), "{printed}");
    let (_, rate) = printed.split_once("the source sent ").unwrap();
    let rate: f64 = rate.split_once(' ').unwrap().0.parse().unwrap();
    assert!((30.0..45.0).contains(&rate), "not about 40 a second: {printed}");
    // Without a target, what it would see is not tried.
    let (_, printed) = accept(&[&arguments[..3], &data[..]].concat(), &variables);
    assert_eq!(printed.matches("needs the target").count(), 6, "{printed}");
}

#[test]
fn a_deployment_of_another_configuration_is_not_accepted_and_the_line_names_the_key() {
    let site = crate::site();
    let pipeline = site.start();
    let (output, printed) = accept(&["http-ingestion", "--url", &pipeline.url], &[]);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    // Long lines are wrapped.
    let printed = printed.split_whitespace().collect::<Vec<_>>().join(" ");
    let line =
        "FAIL External system sends an HTTP POST /events request POST /events: 202 was expected, not 403 ";
    assert!(printed.contains(line) && printed.contains("set `tiers.default`"), "{printed}");
}

#[test]
fn nothing_is_accepted_of_a_url_that_refuses_everything() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let headers = BufReader::new(&connection).lines().map_while(Result::ok);
                let _ended = headers.take_while(|line| !line.is_empty()).last();
                let answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _hung_up = (&connection).write_all(answer.as_bytes());
            });
        }
    });
    for recipe in Recipe::ALL {
        let (output, printed) = accept(&[recipe.name, "--url", &url], &[]);
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert!(printed.contains("FAIL  ") && !printed.contains("PASS  "), "{printed}");
    }
}

#[test]
fn a_worker_that_sleeps_for_less_than_the_document_asks_is_not_accepted() {
    let site = crate::site().configuration("[tiers]\ndefault = \"pro\"\n[transform]\nsimulate_work = 0.001");
    let pipeline = site.start();
    let data = site.data();
    let arguments = ["robust-data-processor", "--url", &pipeline.url, "--data", data.to_str().unwrap()];
    // 2 s, which is less than the window before the work.
    let (_, printed) = accept(&arguments, &[("TIDEGATE__TRANSFORM__SIMULATE_WORK", "0.02")]);
    assert!(printed.contains("FAIL  Sleep for 0.05s per character of text"), "{printed}");
    assert!(printed.contains("after the worker began, not 2s"), "{printed}");
}

#[test]
fn a_data_folder_may_be_used_for_a_second_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for _ in 0..2 {
        let (output, printed) = accept(&["http-ingestion", "--data", data.to_str().unwrap()], &[]);
        assert!(output.status.success(), "{printed}");
    }
}
