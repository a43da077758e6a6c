//! The data folders of local runs.

use std::path::PathBuf;

use clap::Args;
use local::adapters::Adapters;

use super::work::Work;

/// Which deployment a command works on.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeploymentOptions {
    /// Data folder of a local run, which may be running
    #[arg(long, value_name = "DIR", default_value = ".tidegate")]
    data: PathBuf,
}

impl DeploymentOptions {
    /// Opens the deployment and does the work. Nothing is created.
    pub(crate) async fn run<W: Work>(&self, adapters: &impl Adapters, work: W) -> anyhow::Result<W::Output> {
        work.on(&local::deployment::open(&self.data, adapters).await?).await
    }
}

/// The deployment that a replay puts events on.
#[derive(Args, Clone, Debug)]
pub(crate) struct TargetOptions {
    /// Put the events on the stream of the local run with this data folder
    #[arg(long, value_name = "DIR")]
    to_data: Option<PathBuf>,
}

impl TargetOptions {
    /// `None` is stdout.
    pub(crate) fn deployment(&self, _source: &DeploymentOptions) -> Option<DeploymentOptions> {
        self.to_data.clone().map(|data| DeploymentOptions { data })
    }
}
