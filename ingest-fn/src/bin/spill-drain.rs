//! The drain in Lambda: reads the configuration, builds the client, serves.

use std::process::ExitCode;

use ingest_fn::drain::{self, Drain};
use ingest_fn::environment;
use ingest_fn::publish::kinesis::KinesisStream;
use shared::traces::Traces;
use shared::{sdk, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::exit(run().await)
}

async fn run() -> anyhow::Result<()> {
    let (config, metrics) = telemetry::start("spill-drain").map_err(anyhow::Error::from_boxed)?;

    let stream = environment::drain_stream(|name| std::env::var(name).ok())?;
    let sdk = sdk::from_env().load().await;
    let stream = KinesisStream::new(&sdk, stream, drain::ATTEMPT);
    stream.open().await;

    let traces = Traces::of(&config.telemetry, "drain");
    let drain = Drain::traced(stream, &config.publish, traces);
    drain::serve(drain, metrics).await.map_err(anyhow::Error::from_boxed)
}
