//! Configurations that cannot work: every function refuses them before it answers anything, with the same message.

use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::program;

/// A file, and what every function says of it.
const WRONG: [(&str, &str); 7] = [
    (
        "[transform]\nsteps = []\n[transform.redact]\npatterns = [\"(\"]",
        "configuration: `transform.redact.patterns[0]` is `(`, allowed: a regular expression (unclosed group)",
    ),
    ("[telemetry]\nlog_level = \"loud\"", "configuration: `telemetry.log_level` is `loud`, allowed: a level"),
    (
        "[transform.redact]\npatterns = ['((a{99}){99}){99}']",
        "configuration: `transform.redact.patterns[0]` is `((a{99}){99}){99}`, allowed: a regular expression that is compiled to at most 10485760 bytes",
    ),
    (
        "[transform.redact]\npatterns = ['[ab]*a[ab]{999}c']",
        "configuration: `transform.redact.patterns[0]` is `[ab]*a[ab]{999}c`, allowed: a regular expression of at most 300 characters, where `x{3}` counts as three",
    ),
    (
        "[transform.redact]\npatterns = ['EMP-1', 'a.*b|a']",
        "configuration: `transform.redact.patterns[1]` is `a.*b|a`, allowed: a regular expression of which the search for all matches reads each byte of a text at most 50 times (it does more often in a text that repeats `a`)",
    ),
    (
        "[dispatch]\nurl = \"https://target:99999/\"",
        "configuration: `dispatch.url` is `https://target:99999/`",
    ),
    ("[publish]\nbudget = 250", "configuration: `publish.budget`: unknown field `budget`"),
];

/// Nothing waits: what starts and should not is ended.
fn run(folder: &TempDir, toml: &str, command: &[&str], variables: &[(&str, &str)]) -> Output {
    let file = folder.path().join("tidegate.toml");
    std::fs::write(&file, toml).unwrap();
    let mut ran = Command::new("timeout");
    ran.arg("60").arg(program()).args(command).arg("--config").arg(file);
    if command[0] != "config" {
        ran.arg("--data").arg(folder.path().join("data"));
    }
    ran.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ran.envs(variables.iter().copied());
    let mut child = ran.spawn().unwrap();
    // A function ends when its parent closes it.
    let _parent = child.stdin.take();
    child.wait_with_output().unwrap()
}

const EVERYWHERE: [&[&str]; 6] = [
    &["function", "ingest-fn"],
    &["function", "spill-drain"],
    &["function", "consumer-fn"],
    &["function", "dispatch-fn"],
    &["local", "--listen", "127.0.0.1:0"],
    &["config", "--check"],
];

#[test]
fn what_cannot_work_is_refused_by_every_function_with_the_same_message() {
    let folder = TempDir::new().unwrap();
    for (toml, message) in WRONG {
        for command in EVERYWHERE {
            let ended = run(&folder, toml, command, &[]);
            let told = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(1), "{command:?}: {told}");
            assert!(told.contains(message), "{command:?}: {told}");
            assert!(ended.stdout.is_empty(), "{command:?}");
        }
        assert!(!folder.path().join("data").exists(), "nothing was made for {toml}");
    }
}

#[test]
fn what_a_variable_sets_is_refused_with_its_name_by_every_function() {
    let folder = TempDir::new().unwrap();
    for command in EVERYWHERE {
        let ended = run(&folder, "", command, &[("TIDEGATE__PUBLISH__BUDGET_MS", "soon")]);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(
            told.contains("`publish.budget_ms` (from TIDEGATE__PUBLISH__BUDGET_MS)"),
            "{command:?}: {told}"
        );
    }
}

#[test]
fn a_secret_that_is_missing_is_found_before_the_run_starts() {
    let folder = TempDir::new().unwrap();
    let credentials = "[auth]\nmode = \"api_key\"\ncredentials_file = \"no/such.json\"";
    let target =
        "[dispatch]\nenabled = true\nurl = \"http://127.0.0.1:1/\"\n[dispatch.headers]\nA = \"{secret}\"";
    for (toml, message) in [(credentials, "`no/such.json`"), (target, "no secret is given")] {
        for command in &EVERYWHERE[4..] {
            let ended = run(&folder, toml, command, &[]);
            let told = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(1), "{command:?}: {told}");
            assert!(told.contains("configuration: ") && told.contains(message), "{command:?}: {told}");
        }
    }
    // The functions on AWS have it from Secrets Manager.
    let deployed = run(&folder, target, &["config", "--check", "--deployed"], &[]);
    assert!(deployed.status.success(), "{deployed:?}");
}

#[test]
fn a_check_tells_all_that_is_wrong_and_of_variables_that_have_no_effect() {
    let folder = TempDir::new().unwrap();
    let toml = "[tiers]\ndefault = \"gold\"\n[limits]\nbatch_events = 0";
    let ended = run(&folder, toml, &["config", "--check"], &[]);
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(told.matches("configuration: ").count(), 2, "{told}");

    let ended = run(&folder, "", &["config", "--check"], &[("TIDEGATE_STRAEM", "events")]);
    assert!(ended.status.success() && ended.stdout.ends_with(b"is a valid configuration\n"), "{ended:?}");
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(
        told.contains("`TIDEGATE_STRAEM` is not known and has no effect; did you mean `TIDEGATE_STREAM`?"),
        "{told}"
    );
}

#[test]
fn what_is_printed_is_a_configuration_that_means_the_same() {
    let folder = TempDir::new().unwrap();
    let variables = [("TIDEGATE__TIERS__DEFAULT", "free")];
    let printed = run(&folder, "[publish]\nbudget_ms = 300", &["config"], &variables);
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(text.contains("budget_ms = 300  # ") && text.contains("/tidegate.toml\n"), "{text}");
    assert!(text.contains("default = \"free\"  # TIDEGATE__TIERS__DEFAULT\n"), "{text}");
    assert!(text.contains("attempt_ms = 120  # default\n"), "{text}");
    let given = shared::config::parse("a".as_ref(), "publish.budget_ms = 300\ntiers.default = \"free\"", []);
    let again = shared::config::parse("b".as_ref(), &text, []).unwrap();
    assert_eq!(again.fingerprint(), given.unwrap().fingerprint());
}

#[test]
fn the_lines_of_help_fit_a_terminal() {
    let help = Command::new(program()).args(["config", "--help"]).output().unwrap();
    for line in String::from_utf8(help.stdout).unwrap().lines() {
        assert!(line.len() <= 80, "{line}");
    }
}
