//! The ingest function in Lambda: reads the configuration, builds the clients, serves.

use std::process::ExitCode;
use std::sync::Arc;

use ingest_fn::{clients, lambda};
use shared::telemetry;

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let (config, metrics) = telemetry::start("ingest-fn").map_err(anyhow::Error::from_boxed)?;

    let state = clients::state(Arc::new(config), |name| std::env::var(name).ok()).await?;
    lambda::serve(state, metrics).await.map_err(anyhow::Error::from_boxed)
}
