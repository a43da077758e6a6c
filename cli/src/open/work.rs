//! What a command does with a deployment.

use operate::deployment::Deployment;

/// Work on any kind of deployment.
pub(crate) trait Work {
    type Output;

    async fn on(self, deployment: &impl Deployment) -> anyhow::Result<Self::Output>;
}
