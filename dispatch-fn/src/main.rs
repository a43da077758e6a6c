//! The dispatcher in Lambda: reads the configuration, builds the clients, serves.

use std::process::ExitCode;

use dispatch_fn::environment::Environment;
use dispatch_fn::inbox::sqs::SqsInbox;
use dispatch_fn::items::dynamodb::DynamoDispatchItems;
use dispatch_fn::secret::Secret;
use dispatch_fn::slots::dynamodb::DynamoSlots;
use dispatch_fn::target::http::HttpTarget;
use dispatch_fn::{Dispatcher, Ports, lambda};
use shared::environment::{DISPATCH_SECRET, DISPATCH_SECRET_ARN};
use shared::objects::s3::{self, S3Objects};
use shared::time::Clock;
use shared::{sdk, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let (config, metrics) = telemetry::start("dispatch-fn").map_err(anyhow::Error::from_boxed)?;

    let variable = |name: &str| std::env::var(name).ok();
    let names = Environment::read(variable)?;
    let sdk = sdk::from_env().load().await;
    let clock = Clock::system();
    let secret = match variable(DISPATCH_SECRET_ARN) {
        Some(arn) => Secret::in_secrets_manager(&sdk, arn, clock.clone()),
        None => Secret::read_local(&config.dispatch, variable(DISPATCH_SECRET), clock.clone())
            .await
            .map_err(anyhow::Error::msg)?,
    };
    let ports = Ports {
        items: DynamoDispatchItems::new(&sdk, names.items_table),
        inbox: SqsInbox::new(&sdk, names.queue, names.dead_letters),
        slots: DynamoSlots::new(&sdk, names.rate_table),
        target: HttpTarget::new(&config.dispatch, secret)?,
        objects: S3Objects::new(&sdk, names.bucket, s3::ATTEMPT),
    };

    tokio::join!(ports.items.open(), ports.inbox.open());

    let dispatcher = Dispatcher::new(&config, ports, clock);
    lambda::serve(dispatcher, metrics).await.map_err(anyhow::Error::from_boxed)
}
