//! `tidegate load`: sends traffic, prints how it was answered, and checks that it was stored.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::load::measure::Second;
use ::load::report::Report;
use ::load::send::{Pace, send};
use ::load::traffic::{Key, Traffic};
use ::load::verify::{Sent, verify};
use ::load::{Outcomes, plot};
use accept::client::Client;
use anyhow::Context;
use clap::Args;
use local::adapters::Plain;
use operate::deployment::Deployment;
use shared::config::Config;
use shared::environment::LOAD_API_KEYS;
use shared::time::{Clock, Timestamp};

use crate::open::{DeploymentOptions, with_deployment};
use crate::options::ConfigOption;
use crate::terminal::{Bar, StatusLine, Stop, note, print};

/// Where `tidegate local` listens by default.
const LOCAL_URL: &str = "http://127.0.0.1:8080";
/// Requests a second, unless an option says otherwise: as a small service has them.
const RATE: f64 = 100.0;
/// Without a terminal, progress is a line each so many seconds.
const LINE_EVERY: u64 = 5;

#[derive(Args, Debug)]
pub(crate) struct LoadOptions {
    /// Where ingest is [default: the local run, at 127.0.0.1:8080]
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// Requests a second, whatever becomes of them [default: 100]
    ///
    /// A latency counts from the time at which the request was due, so it
    /// shows also the wait for a server that has stopped.
    #[arg(long, value_name = "N", value_parser = rate, verbatim_doc_comment)]
    rate: Option<f64>,
    /// Connections. Without --rate, each sends the next request when the last
    /// one is answered. With it, the most at once [default with --rate: 256]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), verbatim_doc_comment)]
    connections: Option<u16>,
    /// Seconds for which it sends
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    duration: u32,
    /// The same seed sends the same traffic, but for the ids
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Begins every id [default: another one each time]
    ///
    /// With the name and the seed of an earlier run, the same events are sent
    /// again, and are stored once.
    #[arg(long, value_name = "NAME", verbatim_doc_comment)]
    run: Option<String>,
    /// Tenants that send: the first most, the tenth a tenth of that
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=999))]
    tenants: u16,
    /// API key of a tenant, for `auth.mode = "api_key"`; repeatable
    ///
    /// Only these tenants send then. Others see a command's options: the
    /// variable `TIDEGATE_LOAD_API_KEYS` takes the same, separated by commas.
    #[arg(long, value_name = "TENANT=KEY", value_parser = Key::parse, conflicts_with = "tenants", verbatim_doc_comment)]
    api_key: Vec<Key>,
    /// Wait until what was sent is stored, and check each event
    #[arg(long)]
    verify: bool,
    /// With --verify: give up when nothing more was stored for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Write rate and latency over time as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    deployment: DeploymentOptions,
    #[command(flatten)]
    config: ConfigOption,
}

/// 0 if each answer was the right one, and all is stored as it was sent; 1 if not. An error if it could not be run.
pub(crate) async fn run(options: LoadOptions) -> anyhow::Result<ExitCode> {
    let config = options.config.load()?;
    let url = if let Some(url) = &options.url {
        url.trim_end_matches('/').trim_end_matches("/ingest").to_owned()
    } else {
        #[cfg(feature = "aws")]
        anyhow::ensure!(
            !options.deployment.is_stack(),
            "name the URL of the stack's ingest: --stack is where --verify looks"
        );
        LOCAL_URL.to_owned()
    };
    let name = options.run.clone().unwrap_or_else(|| format!("load-{:x}", Clock::system().now().unix_ms()));
    let traffic = Traffic::new(&name, options.seed, options.tenants.into(), options.keys()?, &config)?;
    let traffic = Arc::new(traffic);
    // Before anything is sent: it is of no use if it cannot be checked.
    let opened = if options.verify { Some(options.deployment.open(&Plain).await?) } else { None };
    let client = Client::new(&url)?;
    reachable(&client, &url).await?;

    let since = Clock::system().now();
    let (mut report, outcomes) = sent(&options, &client, url, &traffic).await?;
    if let Some(opened) = &opened {
        let bar = Bar::on_stderr();
        let progress = |what: &str, done, total| bar.show(what, done, total);
        let wait = Duration::from_secs(options.wait);
        let verified = with_deployment!(opened, deployment => {
            check(deployment, &config, &traffic, &outcomes, since, wait, &progress).await
        });
        drop(bar);
        match verified {
            Ok(verified) => report.verified = Some(verified),
            Err(error) => {
                print(&report)?;
                return Err(error.context("what was sent could not be checked"));
            }
        }
    }
    if let Some(file) = &options.plot {
        let pace = options.rate.map_or_else(String::new, |rate| format!(" at {rate} requests a second"));
        write(file, &plot::svg(&format!("tidegate load{pace}: {}", report.run), &report.measured.seconds))?;
    }
    if let Some(file) = &options.json {
        write(file, &serde_json::to_string_pretty(&report)?)?;
    }
    print(&report)?;
    Ok(if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn check(
    deployment: &impl Deployment,
    config: &Config,
    traffic: &Traffic,
    outcomes: &Outcomes,
    since: Timestamp,
    wait: Duration,
    progress: operate::OnProgress<'_>,
) -> anyhow::Result<::load::verify::Verified> {
    verify(Sent { deployment, config, traffic, outcomes, since, wait }, progress).await
}

/// Sends the traffic, until the time is over or Ctrl-C is pressed.
async fn sent(
    options: &LoadOptions,
    client: &Client,
    url: String,
    traffic: &Arc<Traffic>,
) -> anyhow::Result<(Report, Outcomes)> {
    let duration = Duration::from_secs(options.duration.into());
    let mut stop = Stop::new()?;
    let status = StatusLine::on_stderr();
    let (begun, mut seconds) = (Instant::now(), 0);
    let show = |second: &Second| {
        seconds += 1;
        let left = duration.saturating_sub(begun.elapsed()).as_secs();
        let line = line(second, left);
        if status.is_shown() {
            status.show(&line);
        } else if seconds % LINE_EVERY == 0 {
            note(line);
        }
    };
    let (transport, of) = (client.clone(), Arc::clone(traffic));
    let (measured, outcomes) = send(transport, of, options.pace(), duration, stop.received(), show).await;
    drop(status);
    let (run, seed) = (traffic.run().to_owned(), traffic.seed());
    Ok((Report { url, run, seed, measured, verified: None }, outcomes))
}

fn line(Second { at_s, requests, p50_ms, p99_ms, unexpected }: &Second, left: u64) -> String {
    let unexpected = if *unexpected > 0 { format!(", {unexpected} NOT expected") } else { String::new() };
    format!("{at_s:.0} s: {requests}/s, p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms{unexpected}; {left} s to go")
}

/// Whether anything answers there. Else each request would fail on its own.
async fn reachable(client: &Client, url: &str) -> anyhow::Result<()> {
    let answer = client.send(accept::client::Call::get("/health")).await;
    answer.map(drop).with_context(|| {
        format!("`{url}` does not answer: start `tidegate local` there, or name another URL")
    })
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("`{}` cannot be written", file.display()))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.1..=100_000.0).contains(rate));
    rate.ok_or_else(|| "allowed: 0.1 to 100000 requests a second".to_owned())
}

impl LoadOptions {
    fn pace(&self) -> Pace {
        let connections = self.connections.map(usize::from);
        match (self.rate, connections) {
            (None, Some(connections)) => Pace::Closed { connections },
            (rate, connections) => {
                Pace::Open { rate: rate.unwrap_or(RATE), connections: connections.unwrap_or(256) }
            }
        }
    }

    fn keys(&self) -> anyhow::Result<Vec<Key>> {
        let variable = std::env::var(LOAD_API_KEYS).unwrap_or_default();
        if !self.api_key.is_empty() || variable.is_empty() {
            return Ok(self.api_key.clone());
        }
        let keys = variable.split(',').map(|key| Key::parse(key.trim()));
        keys.collect::<Result<_, _>>().with_context(|| format!("the variable {LOAD_API_KEYS}"))
    }
}
