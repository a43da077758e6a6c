//! Options that several commands have.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use operate::archive::Span;
use shared::config::{Config, ConfigSource, Recipe};
use shared::environment::CONFIG;
use shared::time::{Clock, Timestamp};

/// The configuration.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigOption {
    #[command(flatten)]
    given: GivenConfig,
}

/// The configuration that is named, and no other.
#[derive(Args, Clone, Debug)]
pub(crate) struct GivenConfig {
    /// Configuration file [default: `TIDEGATE_CONFIG`, else ./tidegate.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Built-in configuration instead of a file, such as event-receiver
    ///
    /// One of event-bridge, event-receiver, event-streaming, http-ingestion,
    /// robust-data-processor.
    #[arg(long, value_name = "NAME", value_parser = Recipe::named, conflicts_with = "config", verbatim_doc_comment)]
    recipe: Option<Recipe>,
}

impl GivenConfig {
    pub(crate) fn source(&self) -> ConfigSource {
        let file = || self.config.clone().map(ConfigSource::File);
        self.recipe.map(ConfigSource::Recipe).or_else(file).unwrap_or_default()
    }
}

impl ConfigOption {
    /// Without an option, the functions' variable counts, as it does for them.
    pub(crate) fn source(&self) -> ConfigSource {
        let named = std::env::var_os(CONFIG).filter(|name| !name.is_empty()).map(PathBuf::from);
        let here = || Some(PathBuf::from("tidegate.toml")).filter(|file| file.exists());
        match self.given.source() {
            ConfigSource::Defaults => named.or_else(here).map(ConfigSource::File).unwrap_or_default(),
            given => given,
        }
    }

    /// With the environment's overrides.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        Ok(self.source().load_here()?)
    }
}

/// A span of time.
#[derive(Args, Clone, Debug)]
pub(crate) struct SpanOptions {
    /// Only events from this time on: RFC 3339, or `1h` for an hour ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Option<Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) to: Option<Timestamp>,
}

impl SpanOptions {
    /// A span without a moment is a mistake: every command would find nothing, and an audit would balance.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from >= to => bail!("--from {from} is not before --to {to}"),
            _ => Ok(()),
        }
    }

    pub(crate) fn span(&self) -> Span {
        Span::new(self.from, self.to)
    }
}

/// A time, or how long ago it was.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    time_at(text, Clock::system().now())
}

fn time_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Some(ago) = ago(text) {
        return Ok(Timestamp::from_unix_ms(now.unix_ms().saturating_sub(ago)));
    }
    let error = |_| {
        format!(
            "`{text}` is neither an RFC 3339 time, such as 2026-11-21T09:30:00Z, nor a time ago, such as 90s, 15m, 1h or 2d"
        )
    };
    serde_json::from_value(text.into()).map_err(error)
}

/// In milliseconds.
fn ago(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(seconds * 1_000)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Arguments {
        #[command(flatten)]
        config: GivenConfig,
    }

    fn given(arguments: &[&str]) -> Result<GivenConfig, clap::Error> {
        Arguments::try_parse_from(["test"].iter().chain(arguments)).map(|arguments| arguments.config)
    }

    #[test]
    fn a_child_gets_the_configuration_that_its_parent_has() {
        for arguments in [&[][..], &["--config", "a.toml"], &["--recipe", "event-bridge"]] {
            let source = given(arguments).unwrap().source();
            assert_eq!(source.options(), arguments);
        }
    }

    #[test]
    fn a_time_is_told_by_the_calendar_or_by_how_long_ago_it_was() {
        let now = time("2026-11-21T12:00:00Z").unwrap();
        let check = |text: &str| time_at(text, now).map(|time| time.to_string());
        for (text, at) in [
            ("90s", "2026-11-21T11:58:30.000Z"),
            ("15m", "2026-11-21T11:45:00.000Z"),
            ("1h", "2026-11-21T11:00:00.000Z"),
            ("2d", "2026-11-19T12:00:00.000Z"),
            ("0s", "2026-11-21T12:00:00.000Z"),
            ("9999999d", "1970-01-01T00:00:00.000Z"),
            ("2026-11-20T12:00:00Z", "2026-11-20T12:00:00.000Z"),
        ] {
            assert_eq!(check(text), Ok(at.to_owned()), "{text}");
        }
        for text in [
            "",
            "1",
            "h",
            "1 h",
            "-1h",
            "1w",
            "1.5h",
            "99999999999999999999d",
            "9999999999999999d",
            "yesterday",
        ] {
            let told = check(text).unwrap_err();
            assert!(told.contains(&format!("`{text}`")) && told.contains("1h or 2d"), "{told}");
        }
    }

    #[test]
    fn a_span_that_ends_before_it_begins_is_refused_with_both_ends() {
        let [noon, later] = ["2026-11-21T12:00:00Z", "2026-11-21T12:00:00.001Z"].map(|at| time(at).unwrap());
        let check = |from, to| SpanOptions { from, to }.check().map_err(|error| error.to_string());
        for (from, to) in [(None, None), (Some(later), None), (None, Some(noon)), (Some(noon), Some(later))] {
            assert_eq!(check(from, to), Ok(()));
        }
        let refused = "--from 2026-11-21T12:00:00.001Z is not before --to 2026-11-21T12:00:00.000Z";
        assert_eq!(check(Some(later), Some(noon)), Err(refused.to_owned()));
        assert!(check(Some(noon), Some(noon)).is_err(), "the end is exclusive");
    }

    #[test]
    fn a_file_and_a_recipe_together_are_refused_by_name() {
        let error = given(&["--config", "a.toml", "--recipe", "event-bridge"]).unwrap_err().to_string();
        assert!(error.contains("--config <FILE>") && error.contains("--recipe <NAME>"), "{error}");
        let error = given(&["--recipe", "bridge"]).unwrap_err().to_string();
        assert!(error.contains("recipe `bridge` is not known (known: event-bridge,"), "{error}");
    }
}
