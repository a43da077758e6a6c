//! Options that several commands have.

use std::path::{Path, PathBuf};

use clap::Args;
use operate::archive::Span;
use shared::config::Config;
use shared::time::Timestamp;

/// The configuration file.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigOption {
    /// Configuration file [default: tidegate.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigOption {
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let here = Path::new("tidegate.toml");
        self.config.clone().or_else(|| here.exists().then(|| here.to_owned()))
    }

    /// The file, with the environment's overrides.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        Ok(shared::config::load_here(self.file().as_deref())?)
    }
}

/// A span of time.
#[derive(Args, Clone, Debug)]
pub(crate) struct SpanOptions {
    /// Only events from this time on (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Option<Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) to: Option<Timestamp>,
}

impl SpanOptions {
    pub(crate) fn span(&self) -> Span {
        Span::new(self.from, self.to)
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    let error = |_| format!("`{text}` is not an RFC 3339 time, such as 2026-11-21T09:30:00Z");
    serde_json::from_value(text.into()).map_err(error)
}
