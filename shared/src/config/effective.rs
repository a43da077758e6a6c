//! The effective configuration as text: every key with its value, and where the value comes from.

use std::fmt;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Config, ConfigError};

/// A configuration, and where its values come from.
#[derive(Clone, Debug)]
pub struct Effective {
    pub config: Config,
    /// What comments call the file.
    pub(super) file: String,
    /// The keys of the file and of the variables.
    pub(super) given: Table,
    /// Which of them a variable set, and which variable. Later ones replace earlier ones.
    pub(super) overridden: Vec<(Vec<String>, String)>,
}

impl Effective {
    /// As the functions on AWS have it. Fails where they would.
    pub fn as_deployed(self) -> Result<Self, ConfigError> {
        Ok(Self { config: self.config.as_deployed()?, ..self })
    }

    /// The variables that override keys.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.overridden.iter().map(|(_, variable)| variable.as_str())
    }

    /// A key that was not given has its default, also within a section that was.
    fn origin(&self, path: &[&str]) -> &str {
        let mut given = Some(&self.given);
        for (depth, name) in path.iter().enumerate() {
            match given.and_then(|table| table.get(*name)) {
                None => return "default",
                Some(value) if depth + 1 < path.len() => given = value.as_table(),
                Some(_) => {}
            }
        }
        let sets =
            |(key, _): &&(Vec<String>, String)| key.len() <= path.len() && key.iter().eq(&path[..key.len()]);
        self.overridden.iter().rev().find(sets).map_or(&self.file, |(_, variable)| variable)
    }

    fn write(&self, path: &[&str], table: &Table, json: &Json, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = |name| [path, &[name]].concat();
        for (name, value) in table.iter().filter(|(_, value)| !value.is_table()) {
            let path = within(name);
            let origin = self.origin(&path);
            let shown = value.as_str().and_then(|text| shown(&path.join("."), text));
            let (value, hidden) = match shown {
                Some(shown) => (Value::String(shown), ", not shown whole"),
                None => (value.clone(), ""),
            };
            writeln!(f, "{} = {}  # {origin}{hidden}", key(name), inline(&value))?;
        }
        let members = json.as_object().into_iter().flatten();
        for (name, _) in members.filter(|(_, value)| value.is_null()) {
            writeln!(f, "# {name} is not set")?;
        }
        for (name, value) in table {
            let (Value::Table(table), path) = (value, within(name)) else { continue };
            let names: Vec<_> = path.iter().map(|name| key(name)).collect();
            writeln!(f, "\n[{}]", names.join("."))?;
            self.write(&path, table, &json[name.as_str()], f)?;
        }
        Ok(())
    }
}

/// TOML, which makes the same configuration again, except for what is hidden.
impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = Table::try_from(&self.config).map_err(|_| fmt::Error)?;
        let json = serde_json::to_value(&self.config).map_err(|_| fmt::Error)?;
        self.write(&[], &table, &json, f)
    }
}

/// What is shown instead of a value that may be a secret. `None`: the value itself.
pub(super) fn shown(key: &str, value: &str) -> Option<String> {
    const HIDDEN: &str = "[hidden]";
    if key.starts_with("dispatch.headers.") {
        // With the placeholder, the secret is elsewhere.
        return (!value.contains(super::Dispatch::SECRET)).then(|| HIDDEN.to_owned());
    }
    if key == "dispatch.url" {
        let (address, query) =
            value.split_once('?').map_or((value, ""), |(address, _)| (address, "?[hidden]"));
        let address =
            address.rsplit_once('@').map_or(address.to_owned(), |(_, host)| format!("{HIDDEN}@{host}"));
        let shown = format!("{address}{query}");
        return (shown != value).then_some(shown);
    }
    None
}

/// Every key that has a default, as `section.key`; also those that are not set by default.
pub fn keys() -> Vec<String> {
    fn add(path: &str, value: &Json, keys: &mut Vec<String>) {
        match value.as_object() {
            Some(members) if !members.is_empty() => {
                for (name, value) in members {
                    add(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, value, keys);
                }
            }
            _ => keys.push(path.to_owned()),
        }
    }
    let mut keys = Vec::new();
    add("", &serde_json::to_value(Config::default()).unwrap_or_default(), &mut keys);
    keys
}

/// A key as TOML spells it.
fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { quoted(name) }
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(values) => {
            format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Table(table) => {
            let member = |(name, value): (&String, &Value)| format!("{} = {}", key(name), inline(value));
            format!("{{ {} }}", table.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// JSON quotes text as TOML does, except for one character.
fn quoted(text: &str) -> String {
    Json::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::load::read;
    use super::super::{load, parse};
    use super::*;

    fn effective(text: &str, environment: &[(&str, &str)]) -> Effective {
        let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        read(Path::new("my.toml"), text, pairs).unwrap()
    }

    #[track_caller]
    fn check(text: &str, environment: &[(&str, &str)], lines: &[&str]) {
        let shown = effective(text, environment).to_string();
        for line in lines {
            assert!(shown.lines().any(|shown| shown == *line), "{line} is not in:\n{shown}");
        }
    }

    #[test]
    fn each_value_is_shown_with_where_it_comes_from() {
        check(
            "[tiers]\nallowed = [\"gold\"]\n[publish]\nbudget_ms = 300\n[items.days_to_live]\ngold = 30\n",
            &[("TIDEGATE__PUBLISH__SPILL_MS", "200"), ("TIDEGATE__SERVER", "{ connections = 7 }")],
            &[
                "allowed = [\"gold\"]  # my.toml",
                "# default is not set",
                "budget_ms = 300  # my.toml",
                "spill_ms = 200  # TIDEGATE__PUBLISH__SPILL_MS",
                "connections = 7  # TIDEGATE__SERVER",
                "head_timeout_ms = 10000  # default",
                "[items.days_to_live]",
                "gold = 30  # my.toml",
                "log_level = \"info\"  # default",
            ],
        );
        let key_after_section =
            [("TIDEGATE__SERVER", "{ connections = 7 }"), ("TIDEGATE__SERVER__CONNECTIONS", "8")];
        check("", &key_after_section, &["connections = 8  # TIDEGATE__SERVER__CONNECTIONS"]);
    }

    #[test]
    fn the_sections_are_in_the_order_of_the_sample() {
        let sections = |text: &str| {
            text.lines().filter(|line| line.starts_with('[')).map(str::to_owned).collect::<Vec<_>>()
        };
        let sample =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../tidegate.toml")).unwrap();
        let mut shown = sections(&effective("", &[]).to_string());
        // They have no keys of their own.
        shown.retain(|section| section != "[quotas]");
        assert_eq!(shown, sections(&sample));
    }

    #[test]
    fn no_secret_is_shown() {
        let text = r#"
            [dispatch]
            url = "https://target.example.com/graphql?token=hush"
            [dispatch.headers]
            Authorization = "Bearer {secret}"
            X-Key = "hush"
        "#;
        let shown = effective(text, &[]).to_string();
        assert!(!shown.contains("hush"), "{shown}");
        check(
            text,
            &[],
            &[
                r#"url = "https://target.example.com/graphql?[hidden]"  # my.toml, not shown whole"#,
                r#"Authorization = "Bearer {secret}"  # my.toml"#,
                r#"X-Key = "[hidden]"  # my.toml, not shown whole"#,
            ],
        );
    }

    #[test]
    fn what_is_shown_makes_the_same_configuration() {
        let text = r#"
            tenants.spread = { "acme.eu" = 4 }
            quotas.tenants.acme = { requests_per_second = 5 }
            [transform.enrich]
            "a b\n" = "x\u007f\ny"
            list = [{ a = 1, "b c" = [1.5, true] }]
            table = { when = 2024-01-11T01:42:50Z }
        "#;
        for text in ["", text] {
            let shown = effective(text, &[]);
            let again = parse(Path::new("again.toml"), &shown.to_string(), []).unwrap();
            assert_eq!(again.fingerprint(), shown.config.fingerprint(), "{shown}");
        }
    }

    #[test]
    fn every_key_has_its_name() {
        let keys = keys();
        for key in ["tiers.default", "transform.redact.patterns", "telemetry.log_level", "cors.origins"] {
            assert!(keys.iter().any(|known| known == key), "{keys:?}");
        }
        assert_eq!(load(None, []).unwrap().fingerprint(), Config::default().fingerprint());
    }
}
