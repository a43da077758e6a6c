//! How this process and its functions log. A function gets it by its command line.

use std::ffi::OsString;

use shared::telemetry::{LogFormat, init_logs};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    pub format: LogFormat,
    /// `None`: the configuration's.
    pub level: Option<String>,
}

impl Default for Logs {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: None }
    }
}

impl Logs {
    pub fn start(&self, configured: &str) {
        init_logs(self.format, self.level.as_deref().unwrap_or(configured));
    }

    /// The options of `tidegate function` that name it.
    pub(crate) fn options(&self) -> Vec<OsString> {
        let mut options = Vec::new();
        if self.format == LogFormat::Json {
            options.push("--log-json".into());
        }
        if let Some(level) = &self.level {
            options.extend(["--log-level".into(), level.into()]);
        }
        options
    }
}
