//! Keys and types of a configuration. A problem is told with its key, its variable, and the name that was probably meant.

use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::nearest::nearest_expected;
use super::{Config, ConfigError};

/// The most problems of shape that are told at once. Each is found by reading everything again.
const SHAPES: usize = 20;

/// All problems: after each problem, the rest is read without that key, to find the others.
pub(super) fn shape(given: &Table, overridden: &[(Vec<String>, String)]) -> Result<Config, ConfigError> {
    let mut rest = given.clone();
    let mut problems = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize(Value::Table(rest.clone())) {
            Ok(config) => return ConfigError::all(problems).map(|()| config),
            Err(error) => error,
        };
        let is_removed = remove(&mut rest, error.path());
        problems.push(misshapen(error, overridden));
        if !is_removed || problems.len() == SHAPES {
            return Err(ConfigError::together(problems));
        }
    }
}

fn misshapen(
    error: serde_path_to_error::Error<toml::de::Error>,
    overridden: &[(Vec<String>, String)],
) -> ConfigError {
    let key = error.path().to_string();
    let from = overridden.iter().find(|(overridden, _)| {
        let overridden = overridden.join(".");
        is_within(&overridden, &key) || is_within(&key, &overridden)
    });
    let from = from.map_or_else(String::new, |(_, variable)| format!(" (from {variable})"));
    let mut problem = error.into_inner().message().to_owned();
    if key.starts_with("dispatch.headers")
        && let Some((_, expected)) = problem.rsplit_once(", expected ")
    {
        // The value may be a secret.
        problem = format!("invalid type, expected {expected}");
    }
    if let Some((found, expected)) = problem.rsplit_once(", expected ") {
        let plain = match expected {
            "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
            "f64" => "a number",
            other => other,
        };
        problem = format!("{found}, expected {plain}");
    }
    if let Some(meant) = nearest_expected(&problem) {
        problem = format!("{problem}; did you mean `{meant}`?");
    }
    ConfigError::Shape { key, from, problem }
}

/// Removes the key at which reading stopped, or the one that holds it.
fn remove(table: &mut Table, path: &serde_path_to_error::Path) -> bool {
    let names: Vec<_> = path
        .iter()
        .map_while(|segment| match segment {
            Segment::Map { key } => Some(key.as_str()),
            _ => None,
        })
        .collect();
    let Some((last, sections)) = names.split_last() else { return false };
    let mut section = table;
    for name in sections {
        match section.get_mut(*name) {
            Some(Value::Table(table)) => section = table,
            _ => return false,
        }
    }
    section.remove(*last).is_some()
}

/// Whether `key` is `outer`, or a key or element of it.
fn is_within(key: &str, outer: &str) -> bool {
    key.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
