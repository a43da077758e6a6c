//! `tidegate replay`: archived events once more, to stdout or to another deployment.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use local::adapters::{Adapters, Plain};
use operate::replay::{ReplayRequest, Replayed, to_deployment, to_stdout};
use shared::id::TenantId;

use crate::open::{DeploymentOptions, TargetOptions, with_deployment};
use crate::options::{ConfigOption, SpanOptions};
use crate::terminal::{lines_on_stdout, note};

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
    pub(crate) span: SpanOptions,
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
    let ReplayOptions { deployment, target, tenant, span, rate, resume, config } = options;
    let target = target.deployment(&deployment);
    let opened = deployment.open(&Plain).await?;
    let request = ReplayRequest { tenant, span: span.span(), rate, resume };
    let replayed = match target {
        None => with_deployment!(opened, source => to_stdout(source, &request, lines_on_stdout()).await?),
        Some(target) => {
            let target = target.open(adapters).await?;
            let config = config.load()?;
            with_deployment!(opened, source => with_deployment!(target, target => {
                to_deployment(source, target, &config, &request).await?
            }))
        }
    };
    report(replayed)
}

fn report(replayed: Replayed) -> anyhow::Result<()> {
    let Replayed { events, objects, left_out, absent, is_closed } = replayed;
    if is_closed {
        return Ok(());
    }
    note(format_args!("Replayed {events} events of {objects} objects."));
    for absent in absent.describe() {
        note(absent);
    }
    for left_out in &left_out {
        note(format_args!("left out: {left_out}"));
    }
    match (left_out.len(), absent.lost()) {
        (0, 0) => Ok(()),
        (events, 0) => bail!("{events} events were left out"),
        (events, objects) => bail!("{events} events and {objects} objects were left out"),
    }
}
