//! `tidegate local`: starts the pipeline, prints what to try, and drains it on Ctrl-C or SIGTERM.

mod health;
mod lines;
mod talk;
mod welcome;

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
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
use shared::config::Config;
use shared::health::MINUTE;
use shared::telemetry::warn_of_unknown_variables;

use self::lines::Lines;
use self::talk::TalkOptions;
use self::welcome::Welcome;
use crate::options::ConfigOption;
use crate::terminal::{Stop, print};

#[derive(Args, Debug)]
pub(crate) struct LocalOptions {
    /// Port or address to listen on; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = listen)]
    listen: SocketAddr,
    /// Folder of the stream, the items and the objects
    #[arg(long, value_name = "DIR", default_value = ".tidegate")]
    data: PathBuf,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    talk: TalkOptions,
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
    let effective = options.config.source().read_here()?;
    let talk = options.talk.talk(&effective.config.telemetry.log_level);
    talk.logs.start(&effective.config.telemetry.log_level);
    warn_of_unknown_variables();
    let data = DataFolder::open(&options.data)?;
    if options.reset {
        let _lock = data.lock()?;
        data.reset()?;
    }

    let welcome = Welcome::new(&options, &data, &effective);
    let config = effective.config;
    let longest_work = config.simulated_work().map(|_| config.consumer.longest_work());
    let mut stop = Stop::new()?;
    let mut pipeline = Pipeline::start(
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
            logs: talk.logs,
        },
        Prometheus::install()?,
        adapters,
    )
    .await?;
    if !talk.is_quiet {
        print(welcome.text(pipeline.address(), pipeline.has_page()))?;
    }

    // No one may read our output any more. The run goes on.
    let print_line = |line: String| drop(print(line));
    let mut lines = Lines::new(pipeline.activity());
    let health = async {
        health::print_changes(pipeline.health(), print_line).await;
        pending::<()>().await;
    };
    let print_lines = talk.has_lines.then_some(&print_line as &dyn Fn(String));
    tokio::select! {
        () = stop.received() => {}
        () = health => {}
        () = lines.print(print_lines) => {}
    }
    print(stopping(pipeline.records_in_progress(), longest_work, pipeline.longest_drain()))?;
    let stopped = tokio::select! {
        stopped = pipeline.drain() => stopped,
        () = lines.print_drain(print_lines) => unreachable!("it never ends"),
        () = stop.received() => {
            return print("Stopped at once. Accepted events are safe, and are stored after the next start.");
        }
    };
    lines.print_new(print_lines).await;
    report(stopped, &lines, &data)
}

/// A port is one of this machine alone.
fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let allowed = "allowed: a port, such as 8080, or an address with a port, such as 127.0.0.1:8080";
    text.parse().map_err(|_| allowed.to_owned())
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

fn report(
    Stopped { fault, stream, spill, dispatch }: Stopped,
    lines: &Lines,
    data: &DataFolder,
) -> anyhow::Result<()> {
    if let Some(Fault(reason)) = fault {
        bail!("stopped without storing what was on the stream: {reason}");
    }
    let Drained { complete, batches, records, discarded, remaining } = stream;
    print(format_args!(
        "Drained {records} records in {batches} batches into items and objects. {}, in {}.",
        lines.totals(),
        data.bucket().display()
    ))?;
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
