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
    /// In place of a local run: the deployment on AWS whose resources the environment names, as it does for the functions
    /// (`TIDEGATE_STREAM`, `TIDEGATE_ITEMS_TABLE`, `TIDEGATE_LEDGER_TABLE`, `TIDEGATE_BUCKET`, `TIDEGATE_SPILL_QUEUE`).
    #[cfg(feature = "aws")]
    #[arg(long, conflicts_with = "data")]
    pub aws: bool,
    /// Where AWS's APIs are [default: `AWS_ENDPOINT_URL`, else AWS itself].
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "URL", requires = "aws")]
    pub endpoint_url: Option<String>,
}

/// A deployment that was opened.
#[derive(Debug)]
pub enum Opened {
    /// A local run's.
    Embedded(Box<EmbeddedDeployment>),
    /// One on AWS.
    #[cfg(feature = "aws")]
    Aws(Box<super::AwsDeployment>),
}

impl DeploymentOptions {
    /// Opens it. Nothing is created.
    pub async fn open(&self) -> anyhow::Result<Opened> {
        #[cfg(feature = "aws")]
        if self.aws {
            let mut sdk = aws_config::from_env();
            if let Some(url) = &self.endpoint_url {
                sdk = sdk.endpoint_url(url);
            }
            let resources = super::Resources::from_environment(|name| std::env::var(name).ok())?;
            let deployment = super::AwsDeployment::open(&sdk.load().await, resources).await?;
            return Ok(Opened::Aws(Box::new(deployment)));
        }
        Ok(Opened::Embedded(Box::new(EmbeddedDeployment::open(&self.data).await?)))
    }
}
