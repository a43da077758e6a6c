//! `tidegate doctor`: reads a deployed stack, compares it with the contract, prints the findings.

use std::process::ExitCode;

use clap::Args;
use operate::doctor::examine;

use crate::options::ConfigOption;
use crate::terminal::print;

/// Region and credentials come from the environment, as for every AWS tool.
#[derive(Args, Debug)]
pub(crate) struct DoctorOptions {
    /// CloudFormation name of the stack, such as `Tidegate-dev`
    #[arg(long, value_name = "NAME")]
    stack: String,
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
    let source = options.config.source();
    let config = source.load([])?;
    let sdk = aws::sdk(options.endpoint_url.as_deref()).await;
    let deployment = aws::doctor::read(&sdk, &options.stack).await?;
    // The function runs with the file and the overrides of its variables.
    let fingerprint = source.read(deployment.ingest.variables.clone())?.as_deployed()?.config.fingerprint();

    let report = examine(&deployment, &config, &fingerprint);
    print(if options.json { serde_json::to_string_pretty(&report)? } else { report.to_string() })?;
    Ok(if report.findings().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
