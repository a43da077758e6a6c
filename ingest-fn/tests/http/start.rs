//! The binaries at start: an error that stops them before they call AWS must be found by filtering the log for errors.

use std::process::Command;

use serde_json::Value;

const BINARIES: [&str; 3] =
    [env!("CARGO_BIN_EXE_ingest-fn"), env!("CARGO_BIN_EXE_ingest-server"), env!("CARGO_BIN_EXE_spill-drain")];

fn check(variables: &[(&str, &str)], named: &str) {
    check_of(&BINARIES, variables, named);
}

fn check_of(binaries: &[&str], variables: &[(&str, &str)], named: &str) {
    for binary in binaries {
        let ended = Command::new(binary).env_clear().envs(variables.iter().copied()).output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{binary}");
        // The whole of what it says: a second line would make it no JSON.
        let line: Value = serde_json::from_slice(&ended.stderr).unwrap();
        assert_eq!(line["level"], "ERROR", "{binary}");
        assert!(line["error"].as_str().unwrap().contains(named), "{binary}: {line}");
        assert!(line["message"].as_str().unwrap().contains(named), "{binary}: {line}");
    }
}

#[test]
fn a_configuration_that_is_refused_is_one_line_of_json_that_names_the_key() {
    check(&[("TIDEGATE__LIMITS__BODY_BYTES", "many")], "limits.body_bytes");
    check(&[("TIDEGATE_CONFIG", "no/such.toml")], "no/such.toml");
}

#[test]
fn a_variable_that_is_missing_is_one_line_of_json_that_names_it() {
    check(&[], "TIDEGATE_STREAM");
}

#[test]
fn without_the_credentials_that_the_configuration_asks_for_ingest_does_not_start() {
    let [ingest, server, _drain] = BINARIES;
    let resources = [
        ("TIDEGATE_STREAM", "events"),
        ("TIDEGATE_BUCKET", "data"),
        ("TIDEGATE_SPILL_QUEUE", "https://sqs.eu-central-1.amazonaws.com/123456789012/spill"),
        ("AWS_REGION", "eu-central-1"),
        ("TIDEGATE__AUTH__MODE", "api_key"),
    ];
    check_of(&[ingest, server], &resources, "TIDEGATE_CREDENTIALS_SECRET");
    let file = ("TIDEGATE__AUTH__CREDENTIALS_FILE", "no/such.json");
    check_of(&[ingest, server], &[&resources[..], &[file]].concat(), "no/such.json");
}
