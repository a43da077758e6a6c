//! The event source mapping over AWS's APIs, or an emulator's: it reads a stream by `GetRecords`, calls a function by
//! `Invoke`, and saves batches that failed permanently to a bucket. Its checkpoints are on this machine.
//!
//! Where Lambda's own mapping works, use that one: it costs nothing. This one is for emulators, whose mappings do not
//! bisect, wait for windows or save failures.

mod deployed;
mod lambda;
mod settings;
mod stand_in;

use std::path::Path;

use aws_config::SdkConfig;
use local::data::{DataFolder, DataLock};
use local::embedded::EmbeddedCheckpoints;
use local::event_source_mapping::{EventSourceMapping, Running, Settings};
use shared::objects::s3::{self, S3Objects};
use shared::time::Clock;

use crate::kinesis::{KinesisReader, Share};
pub use deployed::deployed_mapping;
pub use lambda::LambdaInvoker;
pub use settings::settings;
pub use stand_in::StandIn;

/// Starts a mapping from its checkpoints, which are in the folder `data`. Dropping it stops it. The lock keeps other runs
/// away from the checkpoints.
pub fn start(
    sdk: &SdkConfig,
    stand_in: StandIn,
    settings: Settings,
    data: &Path,
) -> anyhow::Result<(Running, DataLock)> {
    let folder = DataFolder::open(&data.join("mappings").join(settings.mapping_id.to_string()))?;
    let lock = folder.lock()?;
    let mapping = EventSourceMapping::new(
        settings,
        KinesisReader::new(sdk, stand_in.stream, Share::Whole),
        EmbeddedCheckpoints(folder.database()?),
        LambdaInvoker::new(sdk, stand_in.function),
        S3Objects::new(sdk, stand_in.failures, s3::ATTEMPT),
        &Clock::system(),
    );
    Ok((mapping.run(), lock))
}
