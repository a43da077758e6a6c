//! The consumer function in Lambda: reads what it is told, builds the clients, serves.

use std::process::ExitCode;
use std::sync::Arc;

use consumer_fn::environment::Environment;
use consumer_fn::items::dynamodb::DynamoItems;
use consumer_fn::ledger::dynamodb::DynamoLedger;
use consumer_fn::{Consumer, lambda};
use shared::config;
use shared::objects::s3::{self, S3Objects};
use shared::telemetry::{self, EmbeddedMetrics, LogFormat, init_logs};
use shared::time::Clock;

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let config = config::load_here(config::locate(variable).as_deref())?;
    init_logs(LogFormat::Json, &config.telemetry.log_level);
    let metrics = EmbeddedMetrics::install("consumer-fn").map_err(anyhow::Error::from_boxed)?;

    let names = Environment::read(variable)?;
    let sdk = aws_config::load_from_env().await;
    let items = DynamoItems::new(&sdk, names.items_table);
    let objects = S3Objects::new(&sdk, names.bucket, s3::ATTEMPT);
    let ledger = DynamoLedger::new(&sdk, names.ledger_table);

    let consumer = Consumer::new(Arc::new(config), items, objects, ledger, Clock::system())?;
    lambda::serve(consumer, metrics).await.map_err(anyhow::Error::from_boxed)
}
