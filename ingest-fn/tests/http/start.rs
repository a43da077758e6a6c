//! The binaries at start: an error that stops them before they call AWS must be found by filtering the log for errors.

use std::process::Command;

use shared::at_start::{WRONG, refuses};

const BINARIES: [&str; 3] =
    [env!("CARGO_BIN_EXE_ingest-fn"), env!("CARGO_BIN_EXE_ingest-server"), env!("CARGO_BIN_EXE_spill-drain")];

fn check(variables: &[(&str, &str)], named: &str) {
    for binary in BINARIES {
        refuses(binary, variables, named);
    }
}

#[test]
fn a_configuration_that_is_refused_is_one_line_of_json_that_names_the_key() {
    check(&[("TIDEGATE__LIMITS__BODY_BYTES", "many")], "limits.body_bytes");
    check(&[("TIDEGATE_CONFIG", "no/such.toml")], "no/such.toml");
}

#[test]
fn what_only_another_function_uses_is_found_before_the_first_request() {
    for (name, value, named) in WRONG {
        check(&[(name, value)], named);
    }
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
    let file = ("TIDEGATE__AUTH__CREDENTIALS_FILE", "no/such.json");
    for binary in [ingest, server] {
        refuses(binary, &resources, "TIDEGATE_CREDENTIALS_SECRET");
        refuses(binary, &[&resources[..], &[file]].concat(), "no/such.json");
    }
}
