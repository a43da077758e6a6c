//! The ingest function in Lambda: reads what it is told, builds the clients, serves.

use std::sync::Arc;

use ingest_fn::environment::Environment;
use ingest_fn::payload::s3::S3Payloads;
use ingest_fn::publish::kinesis::KinesisStream;
use ingest_fn::spill::sqs::SqsQueue;
use ingest_fn::{IngestState, lambda, router};
use shared::config;
use shared::id::Ids;
use shared::telemetry::{EmbeddedMetrics, LogFormat, init_logs};
use shared::time::Clock;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let config = Arc::new(config::load(config::locate(variable).as_deref(), std::env::vars())?);
    init_logs(LogFormat::Json, &config.telemetry.log_level);
    let metrics = EmbeddedMetrics::install("ingest-fn").map_err(anyhow::Error::from_boxed)?;

    let names = Environment::read(variable)?;
    let sdk = aws_config::load_from_env().await;
    let stream = KinesisStream::new(&sdk, names.stream, config.publish.attempt());
    let payloads = S3Payloads::new(&sdk, names.bucket);
    let queue = SqsQueue::new(&sdk, names.spill_queue, config.publish.spill());
    queue.warm_up().await;

    let state = IngestState::new(config, stream, payloads, queue, Clock::system(), Ids::system());
    let calls = state.clone();
    let router = lambda::with_metrics(router(state), metrics, move || calls.stream_calls());
    lambda::serve(router).await.map_err(anyhow::Error::from_boxed)
}
