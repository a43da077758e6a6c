//! The binary at start: an error that stops it before it calls AWS must be found by filtering the log for errors.

#![cfg(feature = "aws")]
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::process::Command;

use serde_json::Value;

fn check(variables: &[(&str, &str)], named: &str) {
    let mut consumer = Command::new(env!("CARGO_BIN_EXE_consumer-fn"));
    let ended = consumer.env_clear().envs(variables.iter().copied()).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    // The whole of what it says: a second line would make it no JSON.
    let line: Value = serde_json::from_slice(&ended.stderr).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(line["error"].as_str().unwrap().contains(named), "{line}");
    assert!(line["message"].as_str().unwrap().contains(named), "{line}");
}

#[test]
fn a_configuration_that_is_refused_is_one_line_of_json_that_names_the_key() {
    check(&[("TIDEGATE__LIMITS__BATCH_BYTES", "many")], "limits.batch_bytes");
    check(&[("TIDEGATE__TRANSFORM__STEPS", "[\"nonsense\"]")], "transform.steps");
}

#[test]
fn what_is_wrong_is_found_before_the_first_batch() {
    check(&[("TIDEGATE__TRANSFORM__REDACT__PATTERNS", "[\"(\"]")], "transform.redact.patterns[0]");
    check(&[("TIDEGATE__TELEMETRY__LOG_LEVEL", "loud")], "telemetry.log_level");
    check(&[("TIDEGATE__DISPATCH__URL", "https://target:99999/")], "dispatch.url");
    check(&[("TIDEGATE__READS__ENABLED", "true")], "reads.public");
    check(&[("TIDEGATE__LIMITS__BATCH_BYTES", "2000000000")], "limits.batch_bytes");
}

#[test]
fn a_variable_that_is_missing_is_one_line_of_json_that_names_it() {
    check(&[], "TIDEGATE_ITEMS_TABLE");
}
