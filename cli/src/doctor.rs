//! `tidegate doctor`: reads a deployed stack, compares it, prints what was found.

use std::process::ExitCode;

use local::aws::sdk;

use crate::arguments::DoctorOptions;
use crate::doctor::{examine, reader};

/// 0 if all is as it should be, 1 if something is not; an error where the deployment could not be read.
pub(crate) async fn run(options: DoctorOptions) -> anyhow::Result<ExitCode> {
    let file = crate::config_file(options.config.as_deref());
    let config = shared::config::load(file.as_deref(), [])?;
    let sdk = sdk(options.endpoint_url.as_deref()).await;
    let deployment = reader::read(&sdk, &options.stack).await?;
    // What the function runs with: the file, and what it was told on top.
    let fingerprint =
        shared::config::load(file.as_deref(), deployment.ingest.variables.clone())?.fingerprint();

    let report = examine(&deployment, &config, &fingerprint);
    if options.json {
        println!("{}", report.to_json());
    } else {
        println!("{report}");
    }
    Ok(if report.findings().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
