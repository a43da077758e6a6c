//! Configurations: each one either works, or is refused by an error that names the key.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use shared::config::{self, Config, ConfigError};
use shared::objects::memory::MemoryObjects;
use shared::time::{Clock, Timestamp};
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

use nowhere::Nowhere;

mod nowhere;

/// Pieces of configurations.
pub const WORDS: &[&str] = &[
    "[",
    "]",
    "=",
    "\"",
    "'",
    ".",
    ",",
    "{",
    "}",
    "\n",
    "\n---\n",
    "TIDEGATE__",
    "__",
    "TIDEGATE__TIERS__DEFAULT=",
    "TIDEGATE__TRANSFORM__STEPS=",
    "TIDEGATE__TRANSFORM={steps=[]}",
    "TIDEGATE__TENANTS__SPREAD__ACME=",
    "[tiers]\n",
    "[tenants]\n",
    "[tenants.spread]\n",
    "[limits]\n",
    "[server]\n",
    "[publish]\n",
    "[transform]\n",
    "[consumer]\n",
    "[transform.redact]\n",
    "[transform.enrich]\n",
    "[archive]\n",
    "[items.days_to_live]\n",
    "[telemetry]\n",
    "allowed=",
    "default=",
    "steps=",
    "\"redact\"",
    "\"uppercase\"",
    "simulate_work=",
    "timeout_seconds=",
    "\"enrich\"",
    "kinds=",
    "patterns=",
    "\"(\"",
    "replacement=",
    "content=",
    "\"both\"",
    "object_bytes=",
    "compression_level=",
    "window_seconds=",
    "log_level=",
    "\"loud\"",
    "\"info,a=debug\"",
    "[dispatch]\n",
    "[dispatch.headers]\n",
    "url=",
    "\"https://a:1/\"",
    "((a{99}){99}){99}",
    "\\\\w{99}",
    "body_bytes=",
    "batch_events=",
    "inflate_ratio=",
    "bodies_in_memory_bytes=",
    "body_timeout_ms=",
    "batch_bytes=",
    "connections=",
    "head_timeout_ms=",
    "idle_timeout_ms=",
    "claim_check_bytes=",
    "budget_ms=",
    "attempt_ms=",
    "spill_ms=",
    "claim_check_ms=",
    "free=",
    "acme=",
    "1979-05-27T07:32:00Z",
    "07:32:00",
    "nan",
    "inf",
    "-1",
    "0",
    "1e9",
    "true",
    "9223372036854775807",
    "0x7fffffffffffffff",
    "10_485_760",
    "\"\"\"",
    "\\u0000",
    "#",
];

/// `input` is the text of a file. After a line `---` come environment variables, one `NAME=value` a line.
pub fn check(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let (text, lines) = input.split_once("\n---\n").unwrap_or((input, ""));
    let variables = variables(lines);
    let backwards: Vec<_> = variables.iter().rev().cloned().collect();
    match (load(text, variables.clone()), load(text, backwards)) {
        (Ok(config), Ok(backwards)) => {
            assert_eq!(
                config.fingerprint(),
                backwards.fingerprint(),
                "the order of variables must not matter"
            );
            let table = overridden(text, &variables);
            let in_file = load(&table.to_string(), Vec::new()).unwrap();
            assert_eq!(
                config.fingerprint(),
                in_file.fingerprint(),
                "a variable must mean the same as the key in the file"
            );
            let written = toml::to_string(&config).unwrap();
            assert_eq!(config.fingerprint(), load(&written, Vec::new()).unwrap().fingerprint(), "{written}");
            check_constants(&config, &table);
            check_usable(config);
        }
        (Err(error), Err(_)) => check_error(&error, text, &variables),
        (one, other) => panic!("the order of variables must not matter: {:?} {:?}", one.err(), other.err()),
    }
}

type Variables = Vec<(String, String)>;

fn load(text: &str, variables: Variables) -> Result<Config, ConfigError> {
    config::parse(Path::new("fuzz.toml"), text, variables)
}

/// A name occurs once in an environment.
fn variables(lines: &str) -> Variables {
    let mut names = BTreeSet::new();
    let pairs = lines.lines().filter_map(|line| line.split_once('='));
    let pairs = pairs.filter(|(name, _)| names.insert(*name));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The file with the variables as keys. The variable of a section comes before those of its keys.
fn overridden(text: &str, variables: &Variables) -> Table {
    let mut table: Table = text.parse().unwrap();
    let mut variables = variables.clone();
    variables.sort();
    for (name, text) in variables {
        let Some(key) = name.strip_prefix("TIDEGATE__") else { continue };
        let key = key.to_lowercase();
        let value = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
        let mut sections: Vec<_> = key.split("__").collect();
        let last = sections.pop().unwrap();
        let mut section = &mut table;
        for name in sections {
            section =
                section.entry(name).or_insert_with(|| Value::Table(Table::new())).as_table_mut().unwrap();
        }
        section.insert(last.to_owned(), value.unwrap_or(Value::String(text)));
    }
    table
}

/// The constants for enrichment are those of the file. A time is a string, because JSON has no times.
fn check_constants(config: &Config, table: &Table) {
    let constants = table.get("transform").and_then(|transform| transform.get("enrich"));
    let constants = constants.and_then(Value::as_table).cloned().unwrap_or_default();
    let found: Vec<_> =
        config.transform.enrich.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut expected: Vec<_> = constants.into_iter().map(|(name, value)| (name, as_json(value))).collect();
    expected.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(found, expected);
}

fn as_json(value: Value) -> serde_json::Value {
    match value {
        Value::String(text) => json!(text),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Boolean(truth) => json!(truth),
        Value::Datetime(time) => json!(time.to_string()),
        Value::Array(values) => values.into_iter().map(as_json).collect(),
        Value::Table(table) => table.into_iter().map(|(name, value)| (name, as_json(value))).collect(),
    }
}

/// Nothing that is built from it can fail.
fn check_usable(config: Config) {
    EnvFilter::try_new(config.telemetry.log_level.to_lowercase()).unwrap();
    assert!(config.tiers.allowed.contains(config.tiers.of_foreign()));
    config.archive.level();
    let config = Arc::new(config);
    let clock = Clock::fixed(Timestamp::from_unix_ms(0));
    consumer_fn::Consumer::new(config, Nowhere, MemoryObjects::default(), Nowhere, clock).unwrap();
}

/// An error names a key that the file or a variable has, or one that exists.
fn check_error(error: &ConfigError, text: &str, variables: &Variables) {
    if let ConfigError::Several(errors) = error {
        assert!(errors.len() > 1);
        return errors.iter().for_each(|error| check_error(error, text, variables));
    }
    let message = error.to_string();
    // It quotes the wrong value and its line. Anything else in it is short.
    let given = text.len() + variables.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    assert!(message.len() < 1_000 + 4 * given, "{} bytes", message.len());
    match error {
        ConfigError::Syntax { .. } => {
            assert!(text.parse::<Table>().is_err() && message.contains("fuzz.toml"), "{message}");
        }
        ConfigError::Shape { key, problem, .. } => {
            assert!(is_known(key, text, variables), "{message}");
            assert!(!problem.is_empty());
        }
        ConfigError::Value { key, allowed, .. } => {
            assert!(is_known(key, text, variables), "{message}");
            assert!(!allowed.is_empty());
        }
        ConfigError::Unreadable { .. } => panic!("nothing was read: {message}"),
        ConfigError::Several(_) => panic!("errors are told in one list: {message}"),
        ConfigError::NotText { .. } => panic!("every variable was text: {message}"),
    }
}

/// Whether `key` begins with a section, or with a top-level key that was given.
fn is_known(key: &str, text: &str, variables: &Variables) -> bool {
    let sections = Table::try_from(Config::default()).unwrap();
    let given = text.parse::<Table>().unwrap_or_default();
    let by_variable = variables.iter().filter_map(|(name, _)| name.strip_prefix("TIDEGATE__")).map(|key| {
        let key = key.to_lowercase();
        key.split("__").next().unwrap_or_default().to_owned()
    });
    let mut known = sections.into_iter().chain(given).map(|(name, _)| name).chain(by_variable);
    known.any(|name| {
        key.strip_prefix(&*name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}
