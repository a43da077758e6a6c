//! The redriver in Lambda: reads what it is told, builds the client, serves.

use std::process::ExitCode;

use ingest_fn::environment;
use ingest_fn::publish::kinesis::KinesisStream;
use ingest_fn::redrive::{self, Redriver};
use shared::config;
use shared::telemetry::{self, EmbeddedMetrics, LogFormat, init_logs};

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let config = config::load_here(config::locate(variable).as_deref())?;
    init_logs(LogFormat::Json, &config.telemetry.log_level);
    let metrics = EmbeddedMetrics::install("spill-redriver").map_err(anyhow::Error::from_boxed)?;

    let stream = environment::redriver_stream(variable)?;
    let sdk = aws_config::load_from_env().await;
    let stream = KinesisStream::new(&sdk, stream, redrive::ATTEMPT);

    let redriver = Redriver::new(stream, &config.publish);
    redrive::serve(redriver, metrics).await.map_err(anyhow::Error::from_boxed)
}
