//! `tidegate audit`: prints whether every event is stored once.

use std::process::ExitCode;

use clap::Args;
use local::adapters::Plain;
use operate::audit;

use crate::open::{DeploymentOptions, with_deployment};
use crate::options::{ConfigOption, SpanOptions};
use crate::terminal::{Bar, print};

#[derive(Args, Debug)]
pub(crate) struct AuditOptions {
    #[command(flatten)]
    deployment: DeploymentOptions,
    #[command(flatten)]
    pub(crate) span: SpanOptions,
    /// Also read all contents and compare them: slower
    #[arg(long)]
    deep: bool,
    /// Print JSON, with every tenant and every finding
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOption,
}

/// 0 if the accounts balance, 1 if they do not. An error if they could not be read.
pub(crate) async fn run(options: AuditOptions) -> anyhow::Result<ExitCode> {
    let AuditOptions { deployment, span, deep, json, config } = options;
    let opened = deployment.open(&Plain).await?;
    let config = config.load()?;
    let bar = Bar::on_stderr();
    let progress = |what: &str, done, total| bar.show(what, done, total);
    let report = with_deployment!(opened, deployment => {
        audit::audit(deployment, &config, span.from, span.to, deep, &progress).await?
    });
    drop(bar);
    let text = if json { serde_json::to_string_pretty(&report)? } else { report.to_string() };
    print(text.trim_end())?;
    Ok(if report.is_balanced() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
