//! `tidegate doctor`: reads a deployed stack, compares it with the contract, prints the findings. With a template it looks at the account
//! before there is a stack.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use operate::doctor::account::{Needs, examine_account};
use operate::doctor::examine;
use operate::doctor::report::DoctorReport;

use crate::options::ConfigOption;
use crate::terminal::print;

/// Region and credentials come from the environment, as for every AWS tool.
#[derive(Args, Debug)]
pub(crate) struct DoctorOptions {
    /// CloudFormation name of the stack, such as `Tidegate-dev`
    #[arg(long, value_name = "NAME", required_unless_present = "template")]
    stack: Option<String>,
    /// Before the first deployment: whether the account has room for what
    /// this template makes, such as `cdk.out/Tidegate-prod.template.json`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stack", "config", "recipe"])]
    template: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
    /// Endpoint of AWS's APIs [default: `AWS_ENDPOINT_URL`, else AWS]
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// 0 if there is no finding, 1 if there is one. An error if the deployment could not be read.
pub(crate) async fn run(options: DoctorOptions) -> anyhow::Result<ExitCode> {
    let report = match (&options.template, &options.stack) {
        (Some(template), _) => of_account(&options, template).await?,
        (None, Some(stack)) => Box::pin(of_stack(&options, stack)).await?,
        (None, None) => anyhow::bail!("--stack is needed"),
    };
    print(if options.json { serde_json::to_string_pretty(&report)? } else { report.to_string() })?;
    Ok(if report.findings().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn of_account(options: &DoctorOptions, template: &Path) -> anyhow::Result<DoctorReport> {
    let named = || format!("the template `{}`", template.display());
    let json = std::fs::read_to_string(template).with_context(named)?;
    let needs = Needs::of_template(&json).with_context(named)?;
    let account = aws::account::read(&aws::sdk(options.endpoint_url.as_deref()).await).await?;
    Ok(examine_account(&template.display().to_string(), needs, account))
}

async fn of_stack(options: &DoctorOptions, stack: &str) -> anyhow::Result<DoctorReport> {
    let source = options.config.source();
    let config = source.load([])?;
    let sdk = aws::sdk(options.endpoint_url.as_deref()).await;
    let deployment = aws::doctor::read(&sdk, stack).await?;
    // The function runs with the file and the overrides of its variables.
    let fingerprint = source.read(deployment.ingest.variables.clone())?.as_deployed()?.config.fingerprint();
    Ok(examine(&deployment, &config, &fingerprint))
}
