//! The ports of the HTTP side, filled by the AWS SDK: the same in Lambda and in a container.

use std::sync::Arc;

use shared::config::Config;
use shared::id::Ids;
use shared::time::Clock;

use crate::IngestState;
use crate::environment::Environment;
use crate::payload::s3::S3Payloads;
use crate::publish::kinesis::KinesisStream;
use crate::spill::sqs::SqsQueue;

/// What the handlers share, against AWS. The first call to the spill queue must not pay for a connection, so it is made
/// here.
pub async fn state(
    config: Arc<Config>,
    names: Environment,
) -> IngestState<KinesisStream, S3Payloads, SqsQueue> {
    let sdk = aws_config::load_from_env().await;
    let stream = KinesisStream::new(&sdk, names.stream, config.publish.attempt());
    let payloads = S3Payloads::new(&sdk, names.bucket);
    let queue = SqsQueue::new(&sdk, names.spill_queue, config.publish.spill());
    queue.warm_up().await;
    IngestState::new(config, stream, payloads, queue, Clock::system(), Ids::system())
}
