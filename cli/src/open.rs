//! Opens the deployment that the options name, and runs a command on it.
//!
//! `data_folder` knows data folders alone. `stack` knows deployed stacks too, and is compiled with the feature `aws`.

mod data_folder;
#[cfg(feature = "aws")]
mod stack;
mod work;

#[cfg(not(feature = "aws"))]
pub(crate) use data_folder::{DeploymentOptions, TargetOptions};
#[cfg(feature = "aws")]
pub(crate) use stack::{DeploymentOptions, TargetOptions};
pub(crate) use work::Work;
