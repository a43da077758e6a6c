//! Opens the deployment that the options name, and runs a command on it.
//!
//! `data_folder` knows data folders alone. `stack` knows deployed stacks too, and is compiled with the feature `aws`.

mod data_folder;
#[cfg(feature = "aws")]
mod stack;

use operate::deployment::Deployment;

#[cfg(not(feature = "aws"))]
pub(crate) use data_folder::{DeploymentOptions, TargetOptions};
#[cfg(feature = "aws")]
pub(crate) use stack::{DeploymentOptions, TargetOptions};

/// What a command does, whatever kind of deployment it is given.
pub(crate) trait Work {
    type Output;

    async fn on(self, deployment: &impl Deployment) -> anyhow::Result<Self::Output>;
}
