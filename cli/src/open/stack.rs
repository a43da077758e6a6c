//! Deployed stacks besides the data folders.

use aws::deployment::{AwsDeployment, Resources};
use clap::Args;
use local::adapters::Adapters;

use super::data_folder;
use super::work::Work;

/// Which deployment a command works on.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeploymentOptions {
    #[command(flatten)]
    folder: data_folder::DeploymentOptions,
    /// CloudFormation name of a deployed stack, such as `Tidegate-dev`
    #[arg(long, value_name = "NAME", conflicts_with = "data")]
    stack: Option<String>,
    /// Find resources on AWS by the functions' environment variables
    ///
    /// These are `TIDEGATE_STREAM`, `TIDEGATE_ITEMS_TABLE`,
    /// `TIDEGATE_LEDGER_TABLE`, `TIDEGATE_BUCKET` and
    /// `TIDEGATE_SPILL_QUEUE`.
    #[arg(long, verbatim_doc_comment, conflicts_with_all = ["data", "stack"])]
    aws: bool,
    /// Endpoint of AWS's APIs [default: `AWS_ENDPOINT_URL`, else AWS]
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    endpoint_url: Option<String>,
}

impl DeploymentOptions {
    /// Opens the deployment and does the work. Nothing is created.
    pub(crate) async fn run<W: Work>(&self, adapters: &impl Adapters, work: W) -> anyhow::Result<W::Output> {
        if self.stack.is_none() && !self.aws {
            return self.folder.run(adapters, work).await;
        }
        let sdk = aws::sdk(self.endpoint_url.as_deref()).await;
        let resources = match &self.stack {
            Some(name) => aws::stack::find(&sdk, name).await?.into(),
            None => Resources::from_environment(|name| std::env::var(name).ok())?,
        };
        work.on(&AwsDeployment::open(&sdk, resources).await?).await
    }
}

/// The deployment that a replay puts events on.
#[derive(Args, Clone, Debug)]
pub(crate) struct TargetOptions {
    #[command(flatten)]
    folder: data_folder::TargetOptions,
    /// Put the events on the stream of this deployed stack
    #[arg(long, value_name = "NAME", conflicts_with = "to_data")]
    to_stack: Option<String>,
    /// Put the events on the stream that the environment names (see --aws)
    #[arg(long, conflicts_with_all = ["to_data", "to_stack"])]
    to_aws: bool,
}

impl TargetOptions {
    /// `None` is stdout.
    pub(crate) fn deployment(&self, source: &DeploymentOptions) -> Option<DeploymentOptions> {
        let is_folder = self.to_stack.is_none() && !self.to_aws;
        let folder = self.folder.deployment(&source.folder);
        Some(DeploymentOptions {
            folder: if is_folder { folder? } else { source.folder.clone() },
            stack: self.to_stack.clone(),
            aws: self.to_aws,
            endpoint_url: source.endpoint_url.clone(),
        })
    }
}
