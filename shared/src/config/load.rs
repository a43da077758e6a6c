//! From a file and the environment to a checked [`Config`].

use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::effective::{Effective, shown};
use super::shape::shape;
use super::{Config, Recipe};

/// Variables with this prefix override keys.
pub(crate) const PREFIX: &str = "TIDEGATE__";

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
    /// Two or more of the others, one a line.
    #[error("{}", .0.iter().map(Self::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Self>),
}

impl ConfigError {
    pub(super) fn value(key: &str, value: impl Display, allowed: impl Into<String>) -> Self {
        let value = value.to_string();
        let value = shown(key, &value).unwrap_or(value);
        Self::Value { key: key.to_owned(), value, allowed: allowed.into() }
    }

    pub(super) fn all(errors: Vec<Self>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self::together(errors)) }
    }

    /// `errors` has at least one.
    pub(super) fn together(mut errors: Vec<Self>) -> Self {
        if errors.len() == 1 { errors.remove(0) } else { Self::Several(errors) }
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
    pub fn read(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Effective, ConfigError> {
        match self {
            Self::Defaults => read(Path::new("(none)"), "", environment),
            Self::File(file) => read(file, &text(file)?, environment),
            Self::Recipe(recipe) => read(&recipe.file(), recipe.text, environment),
        }
    }

    /// The same, without where values come from.
    pub fn load(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        Ok(self.read(environment)?.config)
    }

    /// With this process's variables.
    pub fn read_here(&self) -> Result<Effective, ConfigError> {
        self.read(variables(std::env::vars_os())?)
    }

    pub fn load_here(&self) -> Result<Config, ConfigError> {
        Ok(self.read_here()?.config)
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
    file.map_or(ConfigSource::Defaults, |file| ConfigSource::File(file.to_owned())).load(environment)
}

fn text(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable { path: file.to_owned(), source })
}

/// The same as [`load`], from the text of a file. Errors call the file `path`.
pub fn parse(
    path: &Path,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    Ok(read(path, text, environment)?.config)
}

/// The one way to a configuration. What is wrong is all told at once: first keys and types; if these are right, values.
pub(super) fn read(
    path: &Path,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Effective, ConfigError> {
    let mut given: Table =
        text.parse().map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })?;
    let mut overridden = Vec::new();
    // An environment has no order. Sorted, a section's own variable comes before those of its keys.
    let mut environment: Vec<_> = environment.into_iter().collect();
    environment.sort();
    for (variable, value) in environment {
        if let Some(name) = variable.strip_prefix(PREFIX) {
            let path: Vec<_> = name.to_lowercase().split("__").map(str::to_owned).collect();
            set(&mut given, &path, toml_value(&value))?;
            overridden.push((path, variable));
        }
    }
    let config = shape(&given, &overridden)?;
    config.check()?;
    Ok(Effective { config, file: path.display().to_string(), given, overridden })
}

/// A variable's value, read as TOML, else as text.
fn toml_value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Sets the key `path` to `value`, and makes the tables that it needs.
fn set(table: &mut Table, path: &[String], value: Value) -> Result<(), ConfigError> {
    let Some((last, sections)) = path.split_last() else { return Ok(()) };
    let mut section = table;
    for (depth, name) in sections.iter().enumerate() {
        section = match section.entry(name).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(table) => table,
            other => return Err(ConfigError::value(&path[..=depth].join("."), &*other, "a table")),
        };
    }
    section.insert(last.clone(), value);
    Ok(())
}

#[cfg(test)]
mod tests;
