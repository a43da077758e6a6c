//! `tidegate local`: starts the pipeline, tells what to try, and drains it on Ctrl-C or SIGTERM.

use std::time::Duration;

use anyhow::Context;
use local::adapters::Adapters;
use local::data::DataFolder;
use local::embedded::{Delivery, Left};
use local::event_source_mapping::Drained;
use local::pipeline::{DELIVERY, MappingPace, Options, Pipeline, Stopped};
use local::prometheus::Prometheus;
use shared::telemetry::{LogFormat, init_logs};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arguments::LocalOptions;

/// Runs the pipeline until it is told to stop. A second signal stops it at once.
pub(crate) async fn run(options: LocalOptions, adapters: &impl Adapters) -> anyhow::Result<()> {
    let config_file = crate::config_file(options.config.as_deref());
    let config = shared::config::load_here(config_file.as_deref())?;
    init_logs(LogFormat::Text, &config.telemetry.log_level);
    let data = DataFolder::open(&options.data)?;
    if options.reset {
        let _nobody_else = data.lock()?;
        data.reset()?;
    }

    let mut stop = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let pipeline = Pipeline::start(
        Options {
            listen: options.listen,
            data: options.data.clone(),
            config,
            config_file,
            shards: options.shards,
            program: std::env::current_exe().context("this program's own path")?,
            pace: pace(&options),
            delivery: delivery(&options),
        },
        Prometheus::install()?,
        adapters,
    )
    .await?;
    println!("{}", welcome(&pipeline, &data));

    received(&mut stop).await;
    println!(
        "Stopping: no more requests; what was accepted goes into items and objects. (Once more: stop at once.)"
    );
    tokio::select! {
        stopped = pipeline.drain() => report(stopped, &data),
        () = received(&mut stop) => {
            println!("Stopped at once. What was accepted is kept, and is taken up at the next start.");
        }
    }
    Ok(())
}

async fn received(signals: &mut [Signal; 2]) {
    let [interrupt, terminate] = signals;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn pace(options: &LocalOptions) -> MappingPace {
    let deployed = MappingPace::default();
    let or = |milliseconds: Option<u64>, duration| milliseconds.map_or(duration, Duration::from_millis);
    MappingPace {
        poll: or(options.poll_ms, deployed.poll),
        window: or(options.window_ms, deployed.window),
        backoff: or(options.backoff_ms, deployed.backoff),
        retries: options.retries.or(deployed.retries),
    }
}

fn delivery(options: &LocalOptions) -> Delivery {
    Delivery {
        visibility: options.visibility_ms.map_or(DELIVERY.visibility, Duration::from_millis),
        receives: options.receives.unwrap_or(DELIVERY.receives),
    }
}

fn welcome(pipeline: &Pipeline, data: &DataFolder) -> String {
    let url = format!("http://{}", pipeline.address());
    let (bucket, database) = (data.bucket(), data.database_file());
    let (bucket, database) = (bucket.display(), database.display());
    format!(
        r#"
Tidegate {version} runs on this machine.

  requests  {url}/ingest
  metrics   {url}/metrics
  objects   {bucket}/events/
  items     sqlite3 {database} 'SELECT pk, sk, modified_data FROM items'

Send an event:

  curl -i {url}/ingest -H 'X-Customer-Tier: pro' -H 'Content-Type: application/json' \
    -d '{{"tenant_id":"acme","log_id":"123","text":"User 555-0199 accessed /reports"}}'

Five seconds later it is an item and a line of an object:

  find {bucket}/events -name '*.gz' | xargs zcat

Ctrl-C stops it, once what was accepted is stored.
"#,
        version = env!("CARGO_PKG_VERSION"),
    )
}

fn report(Stopped { stream, spill }: Stopped, data: &DataFolder) {
    let Drained { complete, batches, records, discarded, remaining } = stream;
    println!("Drained {records} records in {batches} batches into items and objects.");
    if discarded > 0 {
        println!(
            "{discarded} records failed for good: they lie, with their bytes, under aws/lambda/ in the bucket."
        );
    }
    if !complete {
        println!("At least {remaining} records are still on the stream; the next start takes them up.");
    }
    let Left { waiting, dead } = spill;
    if waiting > 0 {
        println!("{waiting} messages are still in the spill queue; the next start takes them up.");
    }
    if dead > 0 {
        println!(
            "{dead} messages could not be brought to the stream; they lie in the dead-letter queue: sqlite3 {} \"SELECT body FROM messages WHERE queue = 'spill-dead'\"",
            data.database_file().display()
        );
    }
}
