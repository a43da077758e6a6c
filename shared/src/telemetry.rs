//! Logs and metrics, set up once at start-up. Logs are written to stderr, metric documents to stdout. Lambda sends both to
//! CloudWatch Logs. The local run reads a child's metric documents from its stdout, as CloudWatch would.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write as _};
use std::process::ExitCode;

use metrics_cloudwatch_embedded::{Builder, Collector};
use tracing_subscriber::EnvFilter;

use crate::config::{self, Config, ConfigSource};
use crate::environment;
use crate::metric::{DIMENSION, Metric, NAMESPACE};

/// The argument with which a function checks its configuration and ends.
pub const CHECK: &str = "--check-config";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line: for CloudWatch Logs Insights.
    Json,
    /// For people at a terminal.
    Text,
}

/// Installs the log subscriber. `level` is the configuration's. `AWS_LAMBDA_LOG_LEVEL` overrides it, and `RUST_LOG` both. A
/// second call does nothing.
pub fn init_logs(format: LogFormat, level: &str) {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_else(|_| level.to_owned());
    let filter = EnvFilter::builder().try_from_env().unwrap_or_else(|_| EnvFilter::new(level.to_lowercase()));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // The subscriber would report to stderr that stderr is closed, and panic.
    let builder = builder.log_internal_errors(false);
    let _already_installed = match format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).try_init(),
        LogFormat::Text => builder.with_target(false).with_ansi(has_colours()).try_init(),
    };
}

/// On a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
fn has_colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Starts a deployed function: reads the configuration, then sets up logs and metrics. With the argument [`CHECK`] it only
/// reads, and ends the process: the stack asks so, before it deploys, whether the function would start.
pub fn start(function: &str) -> Result<(Config, EmbeddedMetrics), Box<dyn Error + Send + Sync>> {
    let file = config::locate(|name| std::env::var(name).ok());
    let source = file.map_or(ConfigSource::Defaults, ConfigSource::File);
    let read = source.load_here().and_then(Config::as_deployed);
    if std::env::args().nth(1).as_deref() == Some(CHECK) {
        // For a person, so not as a log line.
        let wrong = read.map_err(|error| writeln!(io::stderr(), "{error}"));
        std::process::exit(i32::from(wrong.is_err()));
    }
    let config = read?;
    init_logs(LogFormat::Json, &config.telemetry.log_level);
    warn_of_unknown_variables();
    Ok((config, EmbeddedMetrics::install(function)?))
}

/// A variable with a typing error has no effect, and its value is missed somewhere else.
pub fn warn_of_unknown_variables() {
    for unknown in environment::unknown_here() {
        tracing::warn!("{unknown}");
    }
}

/// The exit code of a function's process. An error is logged as one JSON line at ERROR, also if it came before [`init_logs`].
/// The text that `main` itself prints would be several lines at INFO in Lambda, and a filter for errors would not find it.
pub fn exit<E: Display>(ended: Result<(), E>) -> ExitCode {
    let Err(error) = ended else { return ExitCode::SUCCESS };
    init_logs(LogFormat::Json, "info");
    tracing::error!(error = format!("{error:#}"), "the function cannot start or continue: {error:#}");
    ExitCode::FAILURE
}

/// A function's metrics, for CloudWatch.
#[derive(Clone, Copy)]
pub struct EmbeddedMetrics(&'static Collector);

impl EmbeddedMetrics {
    /// How many values of one distribution may be recorded between two flushes: one document has room for as many.
    pub const VALUES: usize = 100;

    /// Installs the recorder for this process. `function` becomes the property `function`.
    pub fn install(function: &str) -> Result<Self, metrics_cloudwatch_embedded::Error> {
        let mut builder = Builder::new().cloudwatch_namespace(NAMESPACE);
        if let Ok(stage) = std::env::var(environment::STAGE) {
            builder = builder.with_dimension(DIMENSION, stage);
        }
        let collector = builder.init()?;
        collector.set_property("function", function);
        Metric::describe_all();
        Ok(Self(collector))
    }

    /// Writes all that was counted since the last flush to stdout, as one document. Writes nothing if nothing was counted.
    pub fn flush(self) {
        if let Err(error) = self.0.flush(io::stdout()) {
            tracing::warn!(%error, "metrics could not be written");
        }
    }
}
