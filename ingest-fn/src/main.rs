//! The ingest function in Lambda: reads the configuration, builds the clients, serves.

use std::process::ExitCode;
use std::sync::Arc;

use ingest_fn::{clients, lambda, router};
use shared::telemetry;

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let (config, metrics) = telemetry::start("ingest-fn").map_err(anyhow::Error::from_boxed)?;

    let state = clients::state(Arc::new(config), |name| std::env::var(name).ok()).await?;
    let calls = state.clone();
    let router = lambda::with_metrics(router(state), metrics, move || calls.stream_calls());
    lambda::serve(router).await.map_err(anyhow::Error::from_boxed)
}
