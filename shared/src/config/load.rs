//! From a file and the environment to a checked [`Config`].

use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, Recipe};

/// Variables with this prefix override keys.
const PREFIX: &str = "TIDEGATE__";

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration `{path}` cannot be read: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the configuration `{path}` is not TOML: {source}")]
    Syntax { path: PathBuf, source: toml::de::Error },
    #[error("configuration: the variable `{variable}` is not UTF-8")]
    NotText { variable: String },
    /// A key that does not exist, or a value of the wrong type. `from` is ` (from VARIABLE)`, or empty for the file.
    #[error("configuration: `{key}`{from}: {problem}")]
    Shape { key: String, from: String, problem: String },
    #[error("configuration: `{key}` is `{value}`, allowed: {allowed}")]
    Value { key: String, value: String, allowed: String },
}

impl ConfigError {
    pub(super) fn value(key: &str, value: impl Display, allowed: impl Into<String>) -> Self {
        Self::Value { key: key.to_owned(), value: value.to_string(), allowed: allowed.into() }
    }
}

/// Where a configuration comes from. Variables override it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConfigSource {
    /// Every key has its default.
    #[default]
    Defaults,
    File(PathBuf),
    Recipe(Recipe),
}

impl ConfigSource {
    pub fn load(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        match self {
            Self::Defaults => load(None, environment),
            Self::File(file) => load(Some(file), environment),
            Self::Recipe(recipe) => parse(&recipe.file(), recipe.text, environment),
        }
    }

    /// With this process's variables.
    pub fn load_here(&self) -> Result<Config, ConfigError> {
        self.load(variables(std::env::vars_os())?)
    }

    /// The options of `tidegate` that name it, for a child process.
    pub fn options(&self) -> Vec<OsString> {
        match self {
            Self::Defaults => Vec::new(),
            Self::File(file) => vec!["--config".into(), file.into()],
            Self::Recipe(recipe) => vec!["--recipe".into(), recipe.name.into()],
        }
    }
}

/// The configuration of this process: from the file and this process's variables.
pub fn load_here(file: Option<&Path>) -> Result<Config, ConfigError> {
    load(file, variables(std::env::vars_os())?)
}

/// The variables that override keys. One of them that is not UTF-8 is an error. All other variables are ignored.
fn variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let ours = environment.into_iter().filter(|(name, _)| name.to_string_lossy().starts_with(PREFIX));
    let text = |(name, value): (OsString, OsString)| match (name.into_string(), value.into_string()) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        (Ok(variable), Err(_)) => Err(ConfigError::NotText { variable }),
        (Err(name), _) => Err(ConfigError::NotText { variable: name.to_string_lossy().into_owned() }),
    };
    ours.map(text).collect()
}

/// Reads the file, if there is one, lets `environment` override its keys, and checks the result.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let Some(path) = file else { return parse(Path::new("(none)"), "", environment) };
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(path, &text, environment)
}

/// The same as [`load`], from the text of a file. Errors call the file `path`.
pub fn parse(
    path: &Path,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut table: Table =
        text.parse().map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })?;
    let mut overridden = Vec::new();
    // An environment has no order. Sorted, a section's own variable comes before those of its keys.
    let mut environment: Vec<_> = environment.into_iter().collect();
    environment.sort();
    for (variable, value) in environment {
        if let Some(name) = variable.strip_prefix(PREFIX) {
            let key = name.to_lowercase();
            let path: Vec<_> = key.split("__").collect();
            set(&mut table, &path, toml_value(&value))?;
            overridden.push((path.join("."), variable));
        }
    }
    let config: Config = serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
        let key = error.path().to_string();
        let from = overridden
            .iter()
            .find(|(overridden, _)| is_within(overridden, &key) || is_within(&key, overridden));
        let from = from.map_or_else(String::new, |(_, variable)| format!(" (from {variable})"));
        ConfigError::Shape { key, from, problem: error.into_inner().message().to_owned() }
    })?;
    config.check()?;
    Ok(config)
}

/// A variable's value, read as TOML, else as text.
fn toml_value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Sets the key `path` to `value`, and makes the tables that it needs.
fn set(table: &mut Table, path: &[&str], value: Value) -> Result<(), ConfigError> {
    let Some((last, sections)) = path.split_last() else { return Ok(()) };
    let mut section = table;
    for (depth, name) in sections.iter().enumerate() {
        section = match section.entry(*name).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(table) => table,
            other => return Err(ConfigError::value(&path[..=depth].join("."), &*other, "a table")),
        };
    }
    section.insert((*last).to_owned(), value);
    Ok(())
}

/// Whether `key` is `outer`, or a key or element of it.
fn is_within(key: &str, outer: &str) -> bool {
    key.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        parse(Path::new("tidegate.toml"), text, pairs)
    }

    fn error(text: &str, environment: &[(&str, &str)]) -> String {
        from(text, environment).unwrap_err().to_string()
    }

    #[test]
    fn nothing_given_is_the_default() {
        let config = load(None, []).unwrap();
        assert_eq!(config.tiers.listed(), "free, pro, enterprise");
        assert_eq!(config.publish.budget_ms, 250);
    }

    #[test]
    fn the_sample_configuration_is_the_default_written_out() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tidegate.toml");
        assert_eq!(load(Some(&sample), []).unwrap().fingerprint(), load(None, []).unwrap().fingerprint());
    }

    #[test]
    fn an_unknown_key_is_named_with_what_is_allowed() {
        insta::assert_snapshot!(error("[tiers]\nalowed = []", &[]), @"configuration: `tiers.alowed`: unknown field `alowed`, expected `allowed` or `default`");
        insta::assert_snapshot!(error("[tears]", &[]), @"configuration: `tears`: unknown field `tears`, expected one of `tiers`, `tenants`, `ids`, `auth`, `quotas`, `cors`, `otlp`, `limits`, `server`, `publish`, `transform`, `consumer`, `archive`, `items`, `reads`, `dispatch`, `telemetry`");
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_allowed() {
        insta::assert_snapshot!(error("[limits]\nbody_bytes = 10485761", &[]), @"configuration: `limits.body_bytes` is `10485761`, allowed: 1 to 10485760");
        insta::assert_snapshot!(error("[server]\nconnections = 0", &[]), @"configuration: `server.connections` is `0`, allowed: 1 to 1000000");
        insta::assert_snapshot!(error("[server]\nhead_timeout_ms = 10", &[]), @"configuration: `server.head_timeout_ms` is `10`, allowed: 100 to 900000");
        insta::assert_snapshot!(error("[tiers]\ndefault = \"gold\"", &[]), @"configuration: `tiers.default` is `gold`, allowed: one of tiers.allowed: free, pro, enterprise");
        insta::assert_snapshot!(error("[tenants.spread]\nacme = 1", &[]), @"configuration: `tenants.spread.acme` is `1`, allowed: 2 to 1000");
        insta::assert_snapshot!(error("[transform]\nsteps = [\"shout\"]", &[]), @"configuration: `transform.steps[0]`: unknown variant `shout`, expected one of `redact`, `uppercase`, `enrich`");
        insta::assert_snapshot!(error("[transform]\nsimulate_work = nan", &[]), @"configuration: `transform.simulate_work` is `NaN`, allowed: 0 to 30, with `consumer.timeout_seconds` at 60");
        insta::assert_snapshot!(error("[transform]\nsimulate_work = -1", &[]), @"configuration: `transform.simulate_work` is `-1`, allowed: 0 to 30, with `consumer.timeout_seconds` at 60");
        insta::assert_snapshot!(error("[transform]\nsimulate_work = 31\n[consumer]\ntimeout_seconds = 60", &[]), @"configuration: `transform.simulate_work` is `31`, allowed: 0 to 30, with `consumer.timeout_seconds` at 60");
        insta::assert_snapshot!(error("[consumer]\ntimeout_seconds = 901", &[]), @"configuration: `consumer.timeout_seconds` is `901`, allowed: 30 to 900");
        insta::assert_snapshot!(error("[telemetry]\nlog_level = \"loud=very\"", &[]), @"configuration: `telemetry.log_level` is `loud=very`, allowed: a level (off, error, warn, info, debug, trace), or a filter such as info,ingest_fn=debug");
        insta::assert_snapshot!(error("[dispatch]\nenabled = true", &[]), @"configuration: `dispatch.url` is ``, allowed: a URL such as `https://target.example.com/graphql`");
        insta::assert_snapshot!(error("[dispatch]\nurl = \"ftp://x/graphql\"", &[]), @"configuration: `dispatch.url` is `ftp://x/graphql`, allowed: a URL such as `https://target.example.com/graphql`");
        insta::assert_snapshot!(error("[dispatch.variables]\nevent = { body = [\"{txt}\"] }", &[]), @"configuration: `dispatch.variables.event` is `{txt}`, allowed: {event}, {key}, {id}, {tenant}, {tier}, {text}, {time}, {received_at}, {fields} or {fields.NAME}");
        insta::assert_snapshot!(error("[ids]\nheaders = [\"x y\"]", &[]), @"configuration: `ids.headers` is `x y`, allowed: names of headers, but not Authorization, X-Api-Key, Cookie, webhook-signature");
        insta::assert_snapshot!(error("[ids]\nheaders = [\"authorization\"]", &[]), @"configuration: `ids.headers` is `authorization`, allowed: names of headers, but not Authorization, X-Api-Key, Cookie, webhook-signature");
        insta::assert_snapshot!(error("[ids]\nheaders = [\"X-A\", \"x-a\"]", &[]), @"configuration: `ids.headers` is `x-a`, allowed: each header once");
        insta::assert_snapshot!(error("[ids]\nmembers = [\"id\", \"text\"]", &[]), @"configuration: `ids.members` is `text`, allowed: names of members that are not tenant, text or time (docs/http-api.md#members-of-an-object)");
        insta::assert_snapshot!(error("[dispatch.headers]\nHost = \"a\"", &[]), @"configuration: `dispatch.headers` is `Host`, allowed: names of headers, but not Host, Content-Type, Content-Length, Accept, Idempotency-Key, Connection");
        insta::assert_snapshot!(error("[dispatch]\nrate_per_second = 0", &[]), @"configuration: `dispatch.rate_per_second` is `0`, allowed: 0.001 to 500");
        insta::assert_snapshot!(error("[publish]\nbudget_ms = \"soon\"", &[]), @r#"configuration: `publish.budget_ms`: invalid type: string "soon", expected u64"#);
    }

    #[test]
    fn reads_are_on_by_default_on_this_machine_only_and_public_ones_are_named() {
        let config = |text: &str| from(text, &[]).unwrap();
        assert!(config("").reads.on_this_machine());
        assert!(!config("[reads]\nenabled = false").reads.on_this_machine());
        assert!(!config("").reads_when_deployed().unwrap());
        assert!(config("[reads]\nenabled = true\npublic = true").reads_when_deployed().unwrap());
        assert!(config("[reads]\nenabled = true\n[auth]\nmode = \"api_key\"").reads_when_deployed().unwrap());
        let refused = config("[reads]\nenabled = true").reads_when_deployed().unwrap_err();
        insta::assert_snapshot!(refused, @"configuration: `reads.public` is `false`, allowed: true where `reads.enabled` is true on AWS and `auth.mode` is `none`, because callers are not identified: anyone who has the address can read the events of every tenant");
    }

    #[test]
    fn a_quota_must_leave_room_for_the_largest_body() {
        insta::assert_snapshot!(error("[quotas.tiers]\nfree = { bytes_per_second = 1000, bytes_burst = 10485759 }", &[]), @"configuration: `quotas.tiers.free.bytes_burst` is `10485759`, allowed: 10485760 to 100000000");
        insta::assert_snapshot!(error("[quotas.tenants]\nacme = { requests_per_second = 0 }", &[]), @"configuration: `quotas.tenants.acme.requests_per_second` is `0`, allowed: 1 to 100000000");
        insta::assert_snapshot!(error("[quotas.tenants]\nacme = { requests_burst = 5 }", &[]), @"configuration: `quotas.tenants.acme.requests_burst` is `5`, allowed: only with quotas.tenants.acme.requests_per_second");
        insta::assert_snapshot!(error("[quotas.tiers]\ngold = {}", &[]), @"configuration: `quotas.tiers` is `gold`, allowed: one of tiers.allowed: free, pro, enterprise");
        let small = "[limits]\nbody_bytes = 1000\n[quotas.tiers]\nfree = { bytes_per_second = 10, bytes_burst = 1000 }";
        assert_eq!(from(small, &[]).unwrap().quotas.tiers.values().next().unwrap().bytes_burst, Some(1000));
    }

    #[test]
    fn an_auth_section_names_a_mode_and_a_header() {
        insta::assert_snapshot!(error("[auth]\nmode = \"password\"", &[]), @"configuration: `auth.mode`: unknown variant `password`, expected one of `none`, `api_key`, `signature`");
        insta::assert_snapshot!(error("[auth]\norigin_header = \"X Origin\"", &[]), @"configuration: `auth.origin_header` is `X Origin`, allowed: the name of a header");
        insta::assert_snapshot!(error("[auth]\ntolerance_seconds = 0", &[]), @"configuration: `auth.tolerance_seconds` is `0`, allowed: 1 to 86400");
    }

    #[test]
    fn a_variable_overrides_the_file_and_is_named_in_errors() {
        let config = from(
            "[tiers]\ndefault = \"pro\"",
            &[
                ("TIDEGATE__TIERS__DEFAULT", "free"),
                ("TIDEGATE__TRANSFORM__STEPS", "[\"uppercase\"]"),
                ("OTHER", "x"),
            ],
        )
        .unwrap();
        assert_eq!(config.tiers.default.unwrap().as_str(), "free");
        assert_eq!(config.transform.steps.len(), 1);
        insta::assert_snapshot!(error("", &[("TIDEGATE__PUBLISH__BUDGET_MS", "soon")]), @r#"configuration: `publish.budget_ms` (from TIDEGATE__PUBLISH__BUDGET_MS): invalid type: string "soon", expected u64"#);
        insta::assert_snapshot!(error("tiers = 1", &[("TIDEGATE__TIERS__DEFAULT", "free")]), @"configuration: `tiers` is `1`, allowed: a table");
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_text_is_named_if_it_is_ours_and_ignored_if_not() {
        use std::os::unix::ffi::OsStringExt;
        let given = |pairs: &[(&str, &[u8])]| {
            let pair = |(name, value): &(&str, &[u8])| ((*name).into(), OsString::from_vec(value.to_vec()));
            variables(pairs.iter().map(pair))
        };
        let tier = ("TIDEGATE__TIERS__DEFAULT", &b"pro"[..]);
        let ours = given(&[("LESS_TERMCAP", b"\xff"), tier, ("TIDEGATE_LISTEN", b"\xff")]).unwrap();
        assert_eq!(ours, [("TIDEGATE__TIERS__DEFAULT".to_owned(), "pro".to_owned())]);
        insta::assert_snapshot!(given(&[tier, ("TIDEGATE__TIERS", b"\xff")]).unwrap_err(), @"configuration: the variable `TIDEGATE__TIERS` is not UTF-8");
        let name = OsString::from_vec(b"TIDEGATE__\xff".to_vec());
        insta::assert_snapshot!(variables([(name, "x".into())]).unwrap_err(), @"configuration: the variable `TIDEGATE__�` is not UTF-8");
    }

    #[test]
    fn a_variable_is_named_when_an_element_of_its_value_is_wrong() {
        insta::assert_snapshot!(error("", &[("TIDEGATE__TRANSFORM__STEPS", "[\"shout\"]")]), @"configuration: `transform.steps[0]` (from TIDEGATE__TRANSFORM__STEPS): unknown variant `shout`, expected one of `redact`, `uppercase`, `enrich`");
    }

    #[test]
    fn a_dot_in_a_variables_name_belongs_to_the_name() {
        let config = from("", &[("TIDEGATE__TENANTS__SPREAD__ACME.EU", "4")]).unwrap();
        assert_eq!(
            config.tenants.spread.iter().map(|(tenant, keys)| (tenant.as_str(), *keys)).collect::<Vec<_>>(),
            [("acme.eu", 4)]
        );
    }

    #[test]
    fn a_section_of_a_variable_that_is_no_table_is_named_in_full() {
        insta::assert_snapshot!(error("", &[("TIDEGATE__TIERS", "{ allowed = [\"a\"] }"), ("TIDEGATE__TIERS__ALLOWED__X", "1")]), @r#"configuration: `tiers.allowed` is `["a"]`, allowed: a table"#);
    }

    #[test]
    fn the_variable_of_a_section_is_read_before_those_of_its_keys() {
        let section = ("TIDEGATE__TIERS", "{ allowed = [\"a\", \"b\"] }");
        let key = ("TIDEGATE__TIERS__DEFAULT", "b");
        for environment in [[section, key], [key, section]] {
            assert_eq!(from("", &environment).unwrap().tiers.default.unwrap().as_str(), "b");
        }
    }

    #[test]
    fn enrichment_takes_any_value_that_json_has_and_times_as_text() {
        let config =
            from("[transform.enrich]\nbrand = \"testBrand\"\nlevel = 3\nsince = 2024-01-11T01:42:50Z", &[])
                .unwrap();
        let enrich: Vec<_> = config.transform.enrich.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(enrich, ["brand=\"testBrand\"", "level=3", "since=\"2024-01-11T01:42:50Z\""]);
        insta::assert_snapshot!(error("[transform.enrich]\nlevel = [1.0, -inf]", &[]), @"configuration: `transform.enrich.level`: -inf is no number in JSON");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Some(Path::new("no/such.toml")), []).unwrap_err().to_string();
        assert!(error.starts_with("the configuration `no/such.toml` cannot be read"), "{error}");
    }
}
