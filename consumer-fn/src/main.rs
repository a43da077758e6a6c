//! The consumer function in Lambda: reads the configuration, builds the clients, serves.

use std::process::ExitCode;
use std::sync::Arc;

use consumer_fn::environment::Environment;
use consumer_fn::items::dynamodb::DynamoItems;
use consumer_fn::ledger::dynamodb::DynamoLedger;
use consumer_fn::{Consumer, lambda};
use shared::objects::s3::{self, S3Objects};
use shared::telemetry;
use shared::time::Clock;

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let (mut config, metrics) = telemetry::start("consumer-fn").map_err(anyhow::Error::from_boxed)?;

    config.reads.enabled = Some(config.reads_when_deployed()?);
    let names = Environment::read(|name| std::env::var(name).ok())?;
    let sdk = aws_config::load_from_env().await;
    let items = DynamoItems::new(&sdk, names.items_table);
    let objects = S3Objects::new(&sdk, names.bucket, s3::ATTEMPT);
    let ledger = DynamoLedger::new(&sdk, names.ledger_table);

    let consumer = Consumer::new(Arc::new(config), items, objects, ledger, Clock::system())?;
    lambda::serve(consumer, metrics).await.map_err(anyhow::Error::from_boxed)
}
