//! The event source mapping over AWS's APIs, or an emulator's: it reads a stream by `GetRecords`, calls a function by
//! `Invoke`, and keeps what failed for good in a bucket. Where it stands is remembered on this machine.
//!
//! Where Lambda's own mapping can be had, that is the one to use: it costs nothing. This one is for emulators, whose
//! mappings do not bisect, wait for windows or keep failures, and for a look at a mapping's work from close by.
//!
//! Beside it, what other commands need to know of a deployment: [`stack`] finds its resources, [`query`] calls the services
//! whose SDK crates are not compiled.

mod describe;
mod kinesis;
mod lambda;
mod mappings;
pub mod query;
mod s3;
pub mod stack;

use std::path::Path;

use aws_config::SdkConfig;
use shared::time::Clock;

use crate::data::{DataFolder, DataLock};
use crate::embedded::EmbeddedCheckpoints;
use crate::event_source_mapping::{EventSourceMapping, Running, Settings};
pub use describe::{Mapped, describe};
pub use kinesis::{KinesisReader, Position};
pub use lambda::LambdaInvoker;
pub use mappings::deployed_mapping;
pub use s3::S3Failures;

/// Region and credentials by the environment, as for every AWS tool; AWS's APIs at `endpoint_url`, if given.
pub async fn sdk(endpoint_url: Option<&str>) -> SdkConfig {
    let loader = aws_config::from_env();
    match endpoint_url {
        Some(url) => loader.endpoint_url(url).load().await,
        None => loader.load().await,
    }
}

/// A mapping that runs. Dropping it stops it.
#[derive(Debug)]
pub struct RemoteMapping {
    /// What it does.
    pub running: Running,
    _lock: DataLock,
}

impl RemoteMapping {
    /// Starts one from where it stood. `data` is the folder of its checkpoints; failures go to the bucket
    /// `on_failure`.
    pub fn start(
        sdk: &SdkConfig,
        mapped: &Mapped,
        settings: Settings,
        on_failure: String,
        data: &Path,
    ) -> anyhow::Result<Self> {
        let folder = DataFolder::open(&data.join("mappings").join(settings.mapping_id.to_string()))?;
        let lock = folder.lock()?;
        let mapping = EventSourceMapping::new(
            settings,
            KinesisReader::new(sdk, mapped.stream.clone()),
            EmbeddedCheckpoints(folder.database()?),
            LambdaInvoker::new(sdk, mapped.function.clone()),
            S3Failures::new(sdk, on_failure),
            Clock::system(),
        );
        Ok(Self { running: mapping.run(), _lock: lock })
    }
}
