//! The consumer function in Lambda: reads the configuration, builds the clients, serves.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use consumer_fn::dispatch::sqs::SqsDispatchQueue;
use consumer_fn::environment::Environment;
use consumer_fn::items::dynamodb::DynamoItems;
use consumer_fn::ledger::dynamodb::DynamoLedger;
use consumer_fn::{Consumer, lambda};
use shared::environment::DISPATCH_QUEUE;
use shared::objects::s3::{self, S3Objects};
use shared::time::Clock;
use shared::{sdk, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let (config, metrics) = telemetry::start("consumer-fn").map_err(anyhow::Error::from_boxed)?;

    let names = Environment::read(|name| std::env::var(name).ok())?;
    let sdk = sdk::from_env().load().await;
    let items = DynamoItems::new(&sdk, names.items_table);
    let objects = S3Objects::new(&sdk, names.bucket, s3::ATTEMPT);
    let ledger = DynamoLedger::new(&sdk, names.ledger_table);

    let queue = if config.dispatch.enabled {
        let url = std::env::var(DISPATCH_QUEUE).with_context(|| {
            format!("dispatch is on and `{DISPATCH_QUEUE}` is not set: deploy with this tidegate.toml, or set `dispatch.enabled = false`")
        })?;
        Some(SqsDispatchQueue::new(&sdk, url))
    } else {
        None
    };

    let open_queue = async {
        if let Some(queue) = &queue {
            queue.open().await;
        }
    };
    tokio::join!(items.open(), objects.open(), open_queue);

    let consumer = Consumer::new(Arc::new(config), items, objects, ledger, Clock::system())?;
    let consumer = consumer.dispatching(queue);
    lambda::serve(consumer, metrics).await.map_err(anyhow::Error::from_boxed)
}
