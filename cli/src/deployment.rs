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
    /// In place of a local run: what `cdk deploy` made, by its CloudFormation name, such as `Tidegate-dev`.
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "NAME", conflicts_with = "data")]
    pub stack: Option<String>,
    /// In place of a local run: the deployment on AWS whose resources the environment names, as it does for the functions
    /// (`TIDEGATE_STREAM`, `TIDEGATE_ITEMS_TABLE`, `TIDEGATE_LEDGER_TABLE`, `TIDEGATE_BUCKET`, `TIDEGATE_SPILL_QUEUE`).
    #[cfg(feature = "aws")]
    #[arg(long, conflicts_with_all = ["data", "stack"])]
    pub aws: bool,
    /// Where AWS's APIs are [default: `AWS_ENDPOINT_URL`, else AWS itself].
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "URL", conflicts_with = "data")]
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
        if self.aws || self.stack.is_some() {
            let sdk = local::aws::sdk(self.endpoint_url.as_deref()).await;
            let resources = match &self.stack {
                Some(name) => local::aws::stack::find(&sdk, name).await?.into(),
                None => super::Resources::from_environment(|name| std::env::var(name).ok())?,
            };
            let deployment = super::AwsDeployment::open(&sdk, resources).await?;
            return Ok(Opened::Aws(Box::new(deployment)));
        }
        Ok(Opened::Embedded(Box::new(EmbeddedDeployment::open(&self.data).await?)))
    }
}
