//! `tidegate accept`: the acceptance of a recipe's document, line by line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use accept::{Line, LocalRun, Summary, Target, accept};
use anyhow::Context;
use clap::Args;
use local::adapters::Plain;
use operate::deployment::Deployment;
use shared::config::{Config, ConfigSource, Recipe};

use crate::open::{DeploymentOptions, Opened};
use crate::terminal::print;

#[derive(Args, Debug)]
pub(crate) struct AcceptOptions {
    /// The document: event-bridge, event-receiver, event-streaming,
    /// http-ingestion or robust-data-processor
    #[arg(value_name = "RECIPE", value_parser = Recipe::named, verbatim_doc_comment)]
    recipe: Recipe,
    /// Where ingest is; without it, a local run of the recipe is started
    ///
    /// It has a port of its own, and a temporary folder unless --data names
    /// one.
    #[arg(long, value_name = "URL", verbatim_doc_comment)]
    url: Option<String>,
    /// Data folder of the local run
    ///
    /// With --url it is only read. Lines that need stored data are skipped if
    /// neither --data nor --stack names it.
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    data: Option<PathBuf>,
    #[cfg(feature = "aws")]
    #[command(flatten)]
    stack: crate::open::StackOptions,
    /// Listen here as the target of dispatch, for event-bridge
    ///
    /// The deployment at --url must send to the path /graphql there, with the
    /// keys of `[dispatch]` that this command has from recipe and environment.
    #[arg(long, value_name = "ADDRESS", requires = "url", verbatim_doc_comment)]
    target: Option<SocketAddr>,
    /// How long each load takes
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Requests a second of each load; the document's, if not given
    ///
    /// Lines say so where it is less than the document asks for.
    #[arg(long, value_name = "N", value_parser = rate, verbatim_doc_comment)]
    rate: Option<f64>,
    /// Prints each line as a JSON object, and the summary as the last one
    #[arg(long)]
    json: bool,
    /// How long it waits for what should be stored within seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, hide = true)]
    wait: u64,
    /// Multiplies the time limits, for debug builds and loaded machines
    #[arg(long, value_name = "N", default_value_t = 1, hide = true)]
    patience: u32,
}

/// 0 if no line failed, 1 if one did. An error if it could not be run.
pub(crate) async fn run(options: AcceptOptions) -> anyhow::Result<ExitCode> {
    #[cfg(feature = "aws")]
    anyhow::ensure!(
        options.url.is_some() || !options.stack.is_named(),
        "--stack and --aws need --url: without it, a local run is started and its data is inspected"
    );
    let config = ConfigSource::Recipe(options.recipe).load_here()?;
    let mut process = None;
    let (url, what) = if let Some(url) = &options.url {
        (url.clone(), "at")
    } else {
        let program = std::env::current_exe().context("this program's own path")?;
        let started = LocalRun::start(&program, options.recipe, &config, options.data.as_deref()).await?;
        let url = started.url().to_owned();
        process = Some(started);
        (url, "a local run of it at")
    };
    if !options.json {
        print(format_args!("# {}: {what} {url}\n", options.recipe.name))?;
    }

    let opened = match options.deployment(process.as_ref()) {
        Some(deployment) => Some(deployment.open(&Plain).await?),
        None => None,
    };
    let process_now = process.as_mut();
    let summary = match &opened {
        #[cfg(feature = "aws")]
        Some(Opened::Stack(stack)) => {
            Box::pin(against(&options, config, &url, Some(&**stack), process_now)).await?
        }
        opened => Box::pin(against(&options, config, &url, folder(opened.as_ref()), process_now)).await?,
    };
    if options.json {
        let mut last = summary.json();
        last["recipe"] = options.recipe.name.into();
        print(last)?;
    } else {
        print(format_args!("\n{}: {summary}", options.recipe.name))?;
    }
    if summary.failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(process) = process {
        let folder = process.keep();
        if !options.json {
            print(format_args!("Log and data of the run are in {}.", folder.display()))?;
        }
    }
    Ok(ExitCode::FAILURE)
}

fn folder<F>(opened: Option<&Opened<F>>) -> Option<&F> {
    match opened {
        Some(Opened::Folder(folder)) => Some(folder),
        _ => None,
    }
}

async fn against<D: Deployment>(
    options: &AcceptOptions,
    config: Config,
    url: &str,
    deployment: Option<&D>,
    process: Option<&mut LocalRun>,
) -> anyhow::Result<Summary> {
    let target = Target {
        url,
        config,
        load: Duration::from_secs(options.seconds),
        rate: options.rate,
        wait: Duration::from_secs(options.wait),
        patience: options.patience,
        deployment,
        process,
        dispatch_target: options.target,
    };
    let mut unwritten = None;
    let mut show = |line: &Line| {
        let printed = if options.json { print(line.json()) } else { print(line) };
        if let Err(error) = printed {
            unwritten = Some(error);
        }
    };
    let summary = accept(options.recipe, target, &mut show).await?;
    unwritten.map_or(Ok(summary), Err)
}

/// A rate that a load can have.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.1..=10_000.0).contains(rate));
    rate.ok_or_else(|| "allowed: 0.1 to 10000 requests a second".to_owned())
}

impl AcceptOptions {
    /// The deployment that is inspected.
    fn deployment(&self, process: Option<&LocalRun>) -> Option<DeploymentOptions> {
        let data = process.map(|process| process.data().to_owned()).or_else(|| self.data.clone());
        #[cfg(feature = "aws")]
        if self.stack.is_named() {
            return Some(DeploymentOptions::of_stack(self.stack.clone()));
        }
        data.map(DeploymentOptions::of_folder)
    }
}
