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
fn what_only_another_function_uses_is_found_before_the_first_request() {
    check(&[("TIDEGATE__TRANSFORM__REDACT__PATTERNS", "[\"(\"]")], "transform.redact.patterns[0]");
    check(&[("TIDEGATE__TELEMETRY__LOG_LEVEL", "loud")], "telemetry.log_level");
    check(&[("TIDEGATE__DISPATCH__URL", "https://target:99999/")], "dispatch.url");
    check(&[("TIDEGATE__READS__ENABLED", "true")], "reads.public");
    check(&[("TIDEGATE__LIMITS__BATCH_BYTES", "2000000000")], "limits.batch_bytes");
}

#[test]
fn a_function_says_whether_it_would_start_with_a_configuration() {
    for binary in BINARIES {
        let asked = |variables: &[(&str, &str)]| {
            let variables = variables.iter().copied();
            Command::new(binary).arg("--check-config").env_clear().envs(variables).output().unwrap()
        };
        let good = asked(&[("TIDEGATE__TIERS__DEFAULT", "free")]);
        assert_eq!((good.status.code(), &good.stderr[..]), (Some(0), &b""[..]), "{binary}");
        let bad = asked(&[("TIDEGATE__TIERS__DEFAULT", "gold"), ("TIDEGATE__TELEMETRY__LOG_LEVEL", "loud")]);
        assert_eq!(bad.status.code(), Some(1), "{binary}");
        let told = String::from_utf8(bad.stderr).unwrap();
        assert!(told.starts_with("configuration: `tiers.default` is `gold`"), "{told}");
        assert!(told.contains("\nconfiguration: `telemetry.log_level` is `loud`"), "{told}");
    }
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
