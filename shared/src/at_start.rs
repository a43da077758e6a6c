//! For tests of the functions' binaries: an error that stops them before they call AWS must be found by filtering the log for
//! errors.

#![expect(clippy::unwrap_used, reason = "this is test code, though not in a test target")]

use std::process::Command;

use serde_json::Value;

/// What every function refuses, also where only another one uses it: a variable with its value, and what the error names.
pub const WRONG: [(&str, &str, &str); 5] = [
    ("TIDEGATE__TRANSFORM__REDACT__PATTERNS", "[\"(\"]", "transform.redact.patterns[0]"),
    ("TIDEGATE__TELEMETRY__LOG_LEVEL", "loud", "telemetry.log_level"),
    ("TIDEGATE__DISPATCH__URL", "https://target:99999/", "dispatch.url"),
    ("TIDEGATE__READS__ENABLED", "true", "reads.public"),
    ("TIDEGATE__LIMITS__BATCH_BYTES", "2000000000", "limits.batch_bytes"),
];

/// The binary, with only these variables, ends with one line of JSON that names `named`.
pub fn refuses(binary: &str, variables: &[(&str, &str)], named: &str) {
    let ended = Command::new(binary).env_clear().envs(variables.iter().copied()).output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{binary}");
    // The whole of what it says: a second line would make it no JSON.
    let line: Value = serde_json::from_slice(&ended.stderr).unwrap();
    assert_eq!(line["level"], "ERROR", "{binary}");
    assert!(line["error"].as_str().unwrap().contains(named), "{binary}: {line}");
    assert!(line["message"].as_str().unwrap().contains(named), "{binary}: {line}");
}
