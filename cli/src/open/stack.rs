//! The options that name a deployed stack.

use aws::deployment::{AwsDeployment, Resources};
use clap::Args;

use crate::terminal::note;

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StackOptions {
    /// CloudFormation name of a deployed stack, such as `Tidegate-dev`
    ///
    /// `Shop/Events` is the construct `Events` in the stack `Shop` of an
    /// app that uses Tidegate as a library.
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

impl StackOptions {
    pub(crate) fn is_named(&self) -> bool {
        self.stack.is_some() || self.aws
    }

    /// `None` if the options name no stack.
    pub(crate) async fn open(&self) -> anyhow::Result<Option<AwsDeployment>> {
        if !self.is_named() {
            return Ok(None);
        }
        let sdk = aws::sdk(self.endpoint_url.as_deref()).await;
        let resources = match &self.stack {
            Some(name) => aws::stack::find(&sdk, name).await?.resources,
            None => Resources::from_environment(|name| std::env::var(name).ok())?,
        };
        Ok(Some(AwsDeployment::open(&sdk, resources).await?.saying(|text| note(text))))
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TargetStackOptions {
    /// Put the events on the stream of this deployed stack
    #[arg(long, value_name = "NAME", conflicts_with = "to_data")]
    to_stack: Option<String>,
    /// Put the events on the stream that the environment names (see --aws)
    #[arg(long, conflicts_with_all = ["to_data", "to_stack"])]
    to_aws: bool,
}

impl TargetStackOptions {
    /// `None` if the options name no stack.
    pub(crate) fn target(&self, source: &StackOptions) -> Option<StackOptions> {
        let is_named = self.to_stack.is_some() || self.to_aws;
        let (stack, endpoint_url) = (self.to_stack.clone(), source.endpoint_url.clone());
        is_named.then_some(StackOptions { stack, aws: self.to_aws, endpoint_url })
    }
}
