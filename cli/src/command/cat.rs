//! `tidegate cat`: prints one tenant's archived events.

use std::io::Write;

use anyhow::bail;
use clap::Args;
use local::adapters::Plain;
use operate::cat::cat;
use operate::deployment::ListedObject;
use shared::id::TenantId;

use crate::open::{DeploymentOptions, with_deployment};
use crate::options::SpanOptions;
use crate::terminal::{lines_on_stdout, note, unless_closed};

#[derive(Args, Debug)]
pub(crate) struct CatOptions {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// The tenant
    #[arg(long, value_name = "TENANT", value_parser = TenantId::parse)]
    tenant: TenantId,
    #[command(flatten)]
    pub(crate) span: SpanOptions,
}

/// Prints events to stdout, and what was read to stderr.
pub(crate) async fn run(options: CatOptions) -> anyhow::Result<()> {
    let CatOptions { deployment, tenant, span } = options;
    let opened = deployment.open(&Plain).await?;
    let mut out = lines_on_stdout();
    let printed = with_deployment!(opened, deployment => {
        cat(deployment, &tenant, span.span(), &mut out).await?
    });
    unless_closed(out.flush())?;
    for ListedObject { key, bytes, .. } in &printed.unlisted {
        note(format_args!("left out, since the manifest does not have it (yet): {key} ({bytes} bytes)"));
    }
    for absent in printed.absent.describe() {
        note(absent);
    }
    note(printed.summary(&tenant));
    match printed.absent.lost() {
        0 => Ok(()),
        count => bail!("{count} objects that the manifest has could not be read"),
    }
}
