//! `tidegate replay`: archived events once more, to stdout or to another deployment.

use std::io::stdout;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use local::adapters::{Adapters, Plain};
use operate::deployment::Deployment;
use operate::replay::{ReplayRequest, Replayed, to_deployment, to_stdout};
use shared::id::TenantId;

use crate::open::{DeploymentOptions, TargetOptions, Work};
use crate::options::{ConfigOption, SpanOptions};

#[derive(Args, Debug)]
pub(crate) struct ReplayOptions {
    #[command(flatten)]
    deployment: DeploymentOptions,
    #[command(flatten)]
    target: TargetOptions,
    /// Only this tenant's events; no other tenant's are read
    #[arg(long, value_name = "TENANT", value_parser = TenantId::parse)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    span: SpanOptions,
    /// Most events a second [default: 500, to stdout unlimited]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Save the progress to this file, and continue from it if it exists
    ///
    /// After a kill, the next replay may repeat the last second's events,
    /// at most 500.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    resume: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
}

pub(crate) async fn run(options: ReplayOptions, adapters: &impl Adapters) -> anyhow::Result<()> {
    let replay = Replay { options: &options, adapters };
    report(options.deployment.run(&Plain, replay).await?)
}

struct Replay<'a, A> {
    options: &'a ReplayOptions,
    adapters: &'a A,
}

impl<A: Adapters> Work for Replay<'_, A> {
    type Output = Replayed;

    async fn on(self, deployment: &impl Deployment) -> anyhow::Result<Replayed> {
        let ReplayOptions { deployment: source, target, tenant, span, rate, resume, config } = self.options;
        let request =
            ReplayRequest { tenant: tenant.clone(), span: span.span(), rate: *rate, resume: resume.clone() };
        match target.deployment(source) {
            None => to_stdout(deployment, &request, stdout()).await,
            Some(target) => target.run(self.adapters, ToDeployment { deployment, request, config }).await,
        }
    }
}

struct ToDeployment<'a, D> {
    deployment: &'a D,
    request: ReplayRequest,
    config: &'a ConfigOption,
}

impl<D: Deployment> Work for ToDeployment<'_, D> {
    type Output = Replayed;

    async fn on(self, target: &impl Deployment) -> anyhow::Result<Replayed> {
        to_deployment(self.deployment, target, &self.config.load()?, &self.request).await
    }
}

fn report(replayed: Replayed) -> anyhow::Result<()> {
    let Replayed { events, objects, left_out, absent, is_closed } = replayed;
    if is_closed {
        return Ok(());
    }
    eprintln!("Replayed {events} events of {objects} objects.");
    for absent in absent.describe() {
        eprintln!("{absent}");
    }
    for left_out in &left_out {
        eprintln!("left out: {left_out}");
    }
    match (left_out.len(), absent.lost()) {
        (0, 0) => Ok(()),
        (events, 0) => bail!("{events} events were left out"),
        (events, objects) => bail!("{events} events and {objects} objects were left out"),
    }
}
