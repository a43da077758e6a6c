//! The ingest function as a server, for a container: the same router on a port. Load balancing, restarts and scaling, which
//! Lambda does for the function, are left to the container platform.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use ingest_fn::{clients, environment, lambda, router, server};
use shared::telemetry;

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let (config, metrics) = telemetry::start("ingest-server").map_err(anyhow::Error::from_boxed)?;

    let address = environment::listen(variable);
    let connections = config.server.clone();
    let state = clients::state(Arc::new(config), variable).await?;
    let listener = server::listen(&address).await.with_context(|| format!("cannot listen on `{address}`"))?;
    let (calls, traces) = (state.clone(), state.traces());
    let router = lambda::with_metrics(router(state), metrics, move || calls.stream_calls());
    tracing::info!(address = %listener.local_addr()?, "serving");
    server::serve(listener, router, &connections, server::stop_signal()?, server::GRACE).await;
    if let Some(traces) = traces {
        traces.send(shared::traces::CALL).await;
    }
    metrics.flush();
    Ok(())
}
