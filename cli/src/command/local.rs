//! `tidegate local`: starts the pipeline, prints what to try, and drains it on Ctrl-C or SIGTERM.

mod health;

use std::net::SocketAddr;
use std::num::ParseIntError;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use local::adapters::Adapters;
use local::data::DataFolder;
use local::embedded::{Delivery, Left};
use local::event_source_mapping::{Drained, Rules};
use local::pipeline::{DELIVERY, DISPATCH_VISIBILITY, Fault, Options, Pipeline, Stopped};
use local::prometheus::Prometheus;
use shared::backoff::Backoff;
use shared::config::{self, AuthMode, Config};
use shared::health::MINUTE;
use shared::telemetry::{LogFormat, init_logs, warn_of_unknown_variables};

use crate::options::ConfigOption;
use crate::terminal::{Stop, print};

#[derive(Args, Debug)]
pub(crate) struct LocalOptions {
    /// Address to listen on; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Folder of the stream, the items and the objects
    #[arg(long, value_name = "DIR", default_value = ".tidegate")]
    data: PathBuf,
    #[command(flatten)]
    config: ConfigOption,
    /// Shards of a new stream
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Delete the data folder's content first
    #[arg(long)]
    reset: bool,
    /// Start even if the clock is more than 30 days ahead of the last run, or a day back
    #[arg(long)]
    accept_clock: bool,
    /// Milliseconds between two reads of a shard [Lambda: 1000]
    #[arg(long, value_name = "MS", value_parser = milliseconds, hide = true)]
    poll_ms: Option<Duration>,
    /// Milliseconds for which the consumer's batches are gathered [deployed: `archive.window_seconds`]
    #[arg(long, value_name = "MS", value_parser = milliseconds, hide = true)]
    window_ms: Option<Duration>,
    /// Milliseconds to wait after the first failure of a batch
    #[arg(long, value_name = "MS", value_parser = milliseconds, hide = true)]
    backoff_ms: Option<Duration>,
    /// Retries of a batch before it goes to the failure destination [deployed: 30]
    #[arg(long, value_name = "N", hide = true)]
    retries: Option<u32>,
    /// Milliseconds for which a received message of the spill queue stays hidden [deployed: 180000]
    #[arg(long, value_name = "MS", value_parser = milliseconds, hide = true)]
    visibility_ms: Option<Duration>,
    /// Receives of a spilled message before it goes to the dead-letter queue [deployed: 500]
    #[arg(long, value_name = "N", hide = true)]
    receives: Option<u32>,
    /// Milliseconds for which a received message of the dispatch queue stays hidden [deployed: 360000]
    #[arg(long, value_name = "MS", value_parser = milliseconds, hide = true)]
    dispatch_visibility_ms: Option<Duration>,
    /// Milliseconds of a minute, for the thresholds of `/health` [deployed: 60000]
    #[arg(long, value_name = "MS", value_parser = milliseconds, hide = true)]
    minute_ms: Option<Duration>,
}

/// Runs the pipeline until a signal stops it. A second signal stops it at once.
pub(crate) async fn run(options: LocalOptions, adapters: &impl Adapters) -> anyhow::Result<()> {
    let config = options.config.load()?;
    init_logs(LogFormat::Text, &config.telemetry.log_level);
    warn_of_unknown_variables();
    let data = DataFolder::open(&options.data)?;
    if options.reset {
        let _lock = data.lock()?;
        data.reset()?;
    }

    let dispatch = config.dispatch.enabled.then(|| {
        let config::Dispatch { url, rate_per_second, .. } = &config.dispatch;
        format!("{url}, at most {rate_per_second} calls a second")
    });
    let mode = config.auth.mode;
    let longest_text = longest_text(&config);
    let longest_work = config.simulated_work().map(|_| config.consumer.longest_work());
    let mut stop = Stop::new()?;
    let pipeline = Pipeline::start(
        Options {
            listen: options.listen,
            data: options.data.clone(),
            rules: rules(&options, &config),
            config,
            config_source: options.config.source(),
            shards: options.shards,
            program: std::env::current_exe().context("this program's own path")?,
            poll: options.poll_ms.unwrap_or(Duration::from_secs(1)),
            delivery: Delivery {
                visibility: options.visibility_ms.unwrap_or(DELIVERY.visibility),
                receives: options.receives.unwrap_or(DELIVERY.receives),
                ..DELIVERY
            },
            accept_clock: options.accept_clock,
            minute: options.minute_ms.unwrap_or(MINUTE),
            dispatch_visibility: options.dispatch_visibility_ms.unwrap_or(DISPATCH_VISIBILITY),
        },
        Prometheus::install()?,
        adapters,
    )
    .await?;
    print(welcome(&pipeline, &data, mode, &longest_text, dispatch.as_deref()))?;

    // No one may read our output any more. The run goes on.
    let print_health = |line| drop(print(line));
    let health = async {
        health::print_changes(pipeline.health(), print_health).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = stop.received() => {}
        () = health => {}
    }
    print(stopping(pipeline.records_in_progress(), longest_work, pipeline.longest_drain()))?;
    tokio::select! {
        stopped = pipeline.drain() => report(stopped, &data),
        () = stop.received() => {
            print("Stopped at once. Accepted events are safe, and are stored after the next start.")
        }
    }
}

/// As deployed, but for the options.
fn rules(options: &LocalOptions, config: &Config) -> Rules {
    let deployed = Rules::new(config);
    Rules {
        batching_window: options.window_ms.unwrap_or(deployed.batching_window),
        backoff: Backoff { first: options.backoff_ms.unwrap_or(deployed.backoff.first), ..deployed.backoff },
        maximum_retry_attempts: options.retries.or(deployed.maximum_retry_attempts),
        ..deployed
    }
}

fn milliseconds(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_millis)
}

/// A line for [`welcome`], where work is simulated.
fn longest_text(config: &Config) -> String {
    let Some(work) = config.simulated_work() else { return String::new() };
    format!(
        "  texts     at most {} characters: simulated work of {} s a character, within {} s\n",
        work.longest_text(),
        config.transform.simulate_work,
        config.consumer.timeout_seconds
    )
}

fn welcome(
    pipeline: &Pipeline,
    data: &DataFolder,
    mode: AuthMode,
    longest_text: &str,
    dispatch: Option<&str>,
) -> String {
    let url = format!("http://{}", pipeline.address());
    let (bucket, database) = (data.bucket(), data.database_file());
    let (bucket, database) = (bucket.display(), database.display());
    let (signed, credential) = match mode {
        AuthMode::None => ("", "X-Customer-Tier: pro"),
        AuthMode::ApiKey => ("", "Authorization: Bearer YOUR_KEY"),
        AuthMode::Signature => (", signed as docs/http-api.md#credentials shows", "webhook-signature: …"),
    };
    format!(
        r#"
Tidegate {version} runs on this machine.

  requests  {url}/ingest
  metrics   {url}/metrics
{page}  objects   {bucket}/events/
  items     sqlite3 {database} 'SELECT pk, sk, modified_data FROM items'{dispatch}
{longest_text}
Send an event{signed}:

  curl -i {url}/ingest -H '{credential}' -H 'Content-Type: application/json' \
    -d '{{"tenant_id":"acme","log_id":"123","text":"User 555-0199 accessed /reports"}}'

Within five seconds it is an item and an archive line:

  curl {url}/events/123 -H 'X-Tenant-ID: acme'
  find {bucket}/events -name '*.gz' | xargs zcat

Press Ctrl-C to stop it. It first stores what it has accepted. Press it again to stop at once.
"#,
        version = env!("CARGO_PKG_VERSION"),
        page = if pipeline.has_page() { format!("  page      {url}/_/\n") } else { String::new() },
        dispatch = dispatch.map_or_else(String::new, |to| format!("\n  dispatch  {to}")),
    )
}

/// What a stop waits for.
fn stopping(records: u64, longest_work: Option<Duration>, longest: Duration) -> String {
    let work = longest_work.map_or_else(String::new, |work| {
        format!(", whose simulated work takes up to {} s a batch", work.as_secs())
    });
    format!(
        "Stopping: no more requests are accepted; accepted events are being stored.\n\
         It waits for the records on the stream ({records} in progress){work}; at most {} s in all.\n\
         Press Ctrl-C again to stop at once. That loses nothing: the next start stores the rest.",
        longest.as_secs()
    )
}

fn report(Stopped { fault, stream, spill, dispatch }: Stopped, data: &DataFolder) -> anyhow::Result<()> {
    if let Some(Fault(reason)) = fault {
        bail!("stopped without storing what was on the stream: {reason}");
    }
    let Drained { complete, batches, records, discarded, remaining } = stream;
    print(format_args!("Drained {records} records in {batches} batches into items and objects."))?;
    if discarded > 0 {
        print(format_args!(
            "{discarded} records failed permanently. They are saved under aws/lambda/ in the bucket; `tidegate redrive` retries them."
        ))?;
    }
    if !complete {
        print(format_args!(
            "At least {remaining} records are still on the stream; they are stored after the next start."
        ))?;
    }
    let Left { waiting, dead } = spill;
    if waiting > 0 {
        print(format_args!(
            "{waiting} messages are still in the spill queue; they are sent after the next start."
        ))?;
    }
    if dead > 0 {
        print(format_args!(
            "{dead} messages never reached the stream; they are in the dead-letter queue: sqlite3 {} \"SELECT body FROM messages WHERE queue = 'spill-dead'\"",
            data.database_file().display()
        ))?;
    }
    let Left { waiting, dead } = dispatch;
    if waiting > 0 {
        print(format_args!(
            "{waiting} events are not dispatched yet; they are sent after the next start with `dispatch.enabled = true`."
        ))?;
    }
    if dead > 0 {
        print(format_args!(
            "{dead} events could not be dispatched; they are dead letters: `tidegate redrive --source dispatch` shows them, and sends them again with --apply."
        ))?;
    }
    Ok(())
}
