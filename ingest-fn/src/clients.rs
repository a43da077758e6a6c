//! Ingest's ports by the AWS SDK: the same in Lambda and in a container.

use std::sync::Arc;
use std::time::Duration;

use shared::config::Config;
use shared::id::Ids;
use shared::objects::s3::S3Objects;
use shared::time::Clock;

use crate::IngestState;
use crate::environment::{Environment, ReadsEnvironment};
use crate::publish::kinesis::KinesisStream;
use crate::reads::dynamodb::DynamoReader;
use crate::spill::sqs::SqsQueue;

/// Time limit for one attempt to store a claim check. A dead pooled connection would otherwise use up all of
/// `publish.claim_check_ms`; so a second attempt, on another connection, fits into it.
const PUT_ATTEMPT: Duration = Duration::from_secs(3);

/// The names of what is read, where events can be read back.
pub fn reads(
    config: &Config,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Option<ReadsEnvironment>> {
    let is_on = config.reads.when_deployed()?;
    Ok(is_on.then(|| ReadsEnvironment::read(variable)).transpose()?)
}

/// The handlers' state on AWS. It opens the connection to the spill queue, since the first spilled request has no time for it.
pub async fn state(
    config: Arc<Config>,
    names: Environment,
    reads: Option<ReadsEnvironment>,
) -> Arc<IngestState<KinesisStream, S3Objects, SqsQueue, DynamoReader>> {
    let sdk = aws_config::load_from_env().await;
    let stream = KinesisStream::new(&sdk, names.stream, config.publish.attempt());
    let objects = S3Objects::new(&sdk, names.bucket, PUT_ATTEMPT);
    let queue = SqsQueue::new(&sdk, names.spill_queue, config.publish.spill());
    let reader = reads.map(|names| DynamoReader::new(&sdk, names.items_table, names.ledger_table));
    queue.warm_up().await;
    IngestState::new(config, stream, objects, queue, reader, Clock::system(), Ids::system())
}
