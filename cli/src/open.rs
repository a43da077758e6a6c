//! Opens the deployment that the options name.

use std::path::{Path, PathBuf};

use clap::Args;
use local::adapters::Adapters;
use operate::erase::Erasable;

#[cfg(feature = "aws")]
mod stack;

#[cfg(feature = "aws")]
pub(crate) use stack::StackOptions;

/// Which deployment a command works on.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeploymentOptions {
    /// Data folder of a local run, which may be running
    #[arg(long, value_name = "DIR", default_value = ".tidegate")]
    data: PathBuf,
    #[cfg(feature = "aws")]
    #[command(flatten)]
    stack: stack::StackOptions,
    /// Only in a build with AWS
    #[cfg(not(feature = "aws"))]
    #[arg(long = "stack", value_name = "NAME", hide = true, value_parser = crate::command::no_stack)]
    _stack: Option<String>,
}

/// A deployment, whose type depends on its kind. `with_deployment` works on it.
pub(crate) enum Opened<F> {
    Folder(F),
    #[cfg(feature = "aws")]
    Stack(Box<aws::deployment::AwsDeployment>),
}

impl DeploymentOptions {
    /// A local run's data folder.
    pub(crate) fn of_folder(data: PathBuf) -> Self {
        Self {
            data,
            #[cfg(feature = "aws")]
            stack: stack::StackOptions::default(),
            #[cfg(not(feature = "aws"))]
            _stack: None,
        }
    }

    /// A deployed stack.
    #[cfg(feature = "aws")]
    pub(crate) fn of_stack(stack: stack::StackOptions) -> Self {
        Self { data: PathBuf::new(), stack }
    }

    /// Of a local run.
    pub(crate) fn folder(&self) -> &Path {
        &self.data
    }

    #[cfg(feature = "aws")]
    pub(crate) fn is_stack(&self) -> bool {
        self.stack.is_named()
    }

    /// Nothing is created.
    pub(crate) async fn open<'a, A: Adapters>(
        &self,
        adapters: &'a A,
    ) -> anyhow::Result<Opened<impl Erasable + use<'a, A>>> {
        #[cfg(feature = "aws")]
        if let Some(stack) = self.stack.open().await? {
            return Ok(Opened::Stack(Box::new(stack)));
        }
        Ok(Opened::Folder(local::deployment::open(&self.data, adapters).await?))
    }
}

/// Evaluates an expression for an opened deployment, which `$deployment` borrows.
macro_rules! with_deployment {
    ($opened:expr, $deployment:ident => $work:expr) => {
        match &$opened {
            $crate::open::Opened::Folder($deployment) => $work,
            #[cfg(feature = "aws")]
            $crate::open::Opened::Stack($deployment) => {
                let $deployment = &**$deployment;
                $work
            }
        }
    };
}
pub(crate) use with_deployment;

/// The deployment that a replay puts events on.
#[derive(Args, Clone, Debug)]
pub(crate) struct TargetOptions {
    /// Put the events on the stream of the local run with this data folder
    #[arg(long, value_name = "DIR")]
    to_data: Option<PathBuf>,
    #[cfg(feature = "aws")]
    #[command(flatten)]
    stack: stack::TargetStackOptions,
}

impl TargetOptions {
    /// `None` is stdout.
    pub(crate) fn deployment(&self, source: &DeploymentOptions) -> Option<DeploymentOptions> {
        #[cfg(feature = "aws")]
        if let Some(stack) = self.stack.target(&source.stack) {
            return Some(DeploymentOptions { data: source.data.clone(), stack });
        }
        #[cfg(not(feature = "aws"))]
        let _ = source;
        Some(DeploymentOptions::of_folder(self.to_data.clone()?))
    }
}
