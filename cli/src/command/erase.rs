//! `tidegate erase`: removes a tenant's events, or one of them, and says what remains.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use local::adapters::Plain;
use operate::erase::{Wanted, erase};
use shared::id::{EventId, InvalidEventId, TenantId};

use crate::open::{DeploymentOptions, with_deployment};
use crate::options::ConfigOption;
use crate::terminal::{Bar, note, print};

#[derive(Args, Debug)]
pub(crate) struct EraseOptions {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// The tenant of the events
    #[arg(long, value_name = "TENANT", value_parser = TenantId::parse)]
    tenant: TenantId,
    /// Only the event with this id
    #[arg(long, value_name = "ID", value_parser = event_id)]
    event: Option<EventId>,
    /// Do it; without, only show what would be erased
    #[arg(long, alias = "apply")]
    yes: bool,
    /// Write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
}

fn event_id(id: &str) -> Result<EventId, InvalidEventId> {
    EventId::parse(id)
}

/// 0 if it is done, or only shown; 1 if something is left and it must run again. An error if it could not be done.
pub(crate) async fn run(options: EraseOptions) -> anyhow::Result<ExitCode> {
    let EraseOptions { deployment, tenant, event, yes, report: file, config } = options;
    let opened = deployment.open(&Plain).await?;
    let config = config.load()?;
    let bar = Bar::on_stderr();
    let progress = |what: &str, done, total| bar.show(what, done, total);
    let wanted = Wanted { tenant, event };
    let (report, ended) = with_deployment!(opened, deployment => {
        erase(deployment, &config, &wanted, yes, &progress).await
    });
    drop(bar);
    if let Some(file) = file {
        let json = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(&file, json).with_context(|| format!("`{}` cannot be written", file.display()))?;
        note(format!("The report is in `{}`.", file.display()));
    }
    // What was done before an error is in the report, too.
    ended?;
    print(report.to_string().trim_end())?;
    Ok(if !yes || report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
