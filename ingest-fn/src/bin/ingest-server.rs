//! The ingest function as a server, for a container: the same router on a port. What Lambda does around the function is for
//! others to do: a load balancer in front, a restart when it ends, as many of it as are wanted.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use ingest_fn::environment::{self, Environment};
use ingest_fn::{clients, lambda, router, server};
use shared::config;
use shared::telemetry::{self, EmbeddedMetrics, LogFormat, init_logs};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let config = Arc::new(config::load_here(config::locate(variable).as_deref())?);
    init_logs(LogFormat::Json, &config.telemetry.log_level);
    let metrics = EmbeddedMetrics::install("ingest-server").map_err(anyhow::Error::from_boxed)?;

    let names = Environment::read(variable)?;
    let address = environment::listen(variable);
    let listener =
        TcpListener::bind(&address).await.with_context(|| format!("`{address}` cannot be listened on"))?;
    let state = clients::state(config, names).await;
    let calls = state.clone();
    let router = lambda::with_metrics(router(state), metrics, move || calls.stream_calls());
    tracing::info!(address = %listener.local_addr()?, "serving");
    server::serve(listener, router, server::told_to_stop()?, server::DRAIN).await?;
    metrics.flush();
    Ok(())
}
