//! `tidegate tail`: prints archived events as they are stored.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use local::adapters::Plain;
use operate::deployment::Deployment;
use operate::tail::{Tail, TailRequest};
use shared::id::TenantId;

use crate::open::{DeploymentOptions, with_deployment};
use crate::terminal::{Stop, lines_on_stdout, note, stdout_is_closed};

#[derive(Args, Debug)]
pub(crate) struct TailOptions {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Only this tenant's events; no other tenant's are read
    #[arg(long, value_name = "TENANT", value_parser = TenantId::parse)]
    tenant: Option<TenantId>,
    /// Print new events as they are stored, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// How many stored events to print first, at most 10000 [`cat` and `replay` print more]
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(..=10_000))]
    lines: u32,
    /// Milliseconds between two looks for new events; each costs one Query for each shard
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..))]
    poll_ms: u64,
}

pub(crate) async fn run(options: TailOptions) -> anyhow::Result<()> {
    let TailOptions { deployment, tenant, follow, lines, poll_ms } = options;
    let follow = follow.then_some(Duration::from_millis(poll_ms));
    let request = TailRequest { tenant, lines: usize::try_from(lines)?, follow };
    let opened = deployment.open(&Plain).await?;
    with_deployment!(opened, deployment => print(deployment, request).await)
}

async fn print(deployment: &impl Deployment, request: TailRequest) -> anyhow::Result<()> {
    let on_note = |text| note(text);
    let mut tail = Tail::new(deployment, request, lines_on_stdout(), &on_note);
    let mut stop = Stop::new()?;
    tokio::select! {
        ended = tail.run() => ended?,
        () = stop.received() => {}
        () = stdout_is_closed() => {}
    }
    match tail.left_out() {
        0 => Ok(()),
        count => bail!("{count} objects or texts that should exist could not be read"),
    }
}
