//! From the command line to a deployment.

use std::path::PathBuf;

use clap::Args;

use super::EmbeddedDeployment;

/// Which deployment a command is about.
#[derive(Args, Clone, Debug)]
pub struct DeploymentOptions {
    /// The data folder of a local run, which may be running.
    #[arg(long, value_name = "DIR", default_value = ".tidegate")]
    pub data: PathBuf,
}

/// A deployment that was opened.
#[derive(Debug)]
pub enum Opened {
    /// A local run's.
    Embedded(Box<EmbeddedDeployment>),
}

impl DeploymentOptions {
    /// Opens it. Nothing is created.
    pub async fn open(&self) -> anyhow::Result<Opened> {
        Ok(Opened::Embedded(Box::new(EmbeddedDeployment::open(&self.data).await?)))
    }
}
