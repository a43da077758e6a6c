//! `tidegate local`: starts the pipeline, tells what to try, and drains it on Ctrl-C or SIGTERM.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use local::adapters::Adapters;
use local::data::DataFolder;
use local::event_source_mapping::Drained;
use local::pipeline::{Options, Pace, Pipeline};
use local::prometheus::Prometheus;
use shared::telemetry::{LogFormat, init_logs};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arguments::LocalOptions;

/// Runs the pipeline until it is told to stop. A second signal stops it at once.
pub(crate) async fn run(options: LocalOptions, adapters: &impl Adapters) -> anyhow::Result<()> {
    let config_file = options.config.clone().or_else(|| {
        let here = PathBuf::from("tidegate.toml");
        here.exists().then_some(here)
    });
    let config = shared::config::load(config_file.as_deref(), std::env::vars())?;
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
        drained = pipeline.drain() => report(drained),
        () = received(&mut stop) => {
            println!("Stopped at once. What was accepted is on the stream, and is taken up at the next start.");
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

fn pace(options: &LocalOptions) -> Pace {
    let deployed = Pace::default();
    let or = |milliseconds: Option<u64>, duration| milliseconds.map_or(duration, Duration::from_millis);
    Pace {
        poll: or(options.poll_ms, deployed.poll),
        window: or(options.window_ms, deployed.window),
        backoff: or(options.backoff_ms, deployed.backoff),
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

fn report(drained: Drained) {
    let Drained { complete, batches, records, discarded, remaining } = drained;
    println!("Drained {records} records in {batches} batches into items and objects.");
    if discarded > 0 {
        println!(
            "{discarded} records failed for good: they lie, with their bytes, under aws/lambda/ in the bucket."
        );
    }
    if !complete {
        println!("At least {remaining} records are still on the stream; the next start takes them up.");
    }
}
