//! The ingest function in Lambda: reads the configuration, builds the clients, serves.

use std::process::ExitCode;
use std::sync::Arc;

use ingest_fn::environment::Environment;
use ingest_fn::{clients, lambda, router};
use shared::config;
use shared::telemetry::{self, EmbeddedMetrics, LogFormat, init_logs};

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let config = Arc::new(config::load_here(config::locate(variable).as_deref())?);
    init_logs(LogFormat::Json, &config.telemetry.log_level);
    let metrics = EmbeddedMetrics::install("ingest-fn").map_err(anyhow::Error::from_boxed)?;

    let state = clients::state(config, Environment::read(variable)?).await;
    let calls = state.clone();
    let router = lambda::with_metrics(router(state), metrics, move || calls.stream_calls());
    lambda::serve(router).await.map_err(anyhow::Error::from_boxed)
}
