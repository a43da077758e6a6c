//! Ingest's ports by the AWS SDK: the same in Lambda and in a container.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use shared::config::Config;
use shared::id::Ids;
use shared::objects::s3::S3Objects;
use shared::sdk;
use shared::secret::SecretsManager;
use shared::time::Clock;

use crate::credentials::{CredentialFile, Credentials};
use crate::environment::{self, Environment, ReadsEnvironment};
use crate::publish::kinesis::KinesisStream;
use crate::reads::dynamodb::DynamoReader;
use crate::spill::sqs::SqsQueue;
use crate::{IngestPorts, IngestState};

/// Time limit for one attempt to store a claim check. A dead pooled connection would otherwise use up all of
/// `publish.claim_check_ms`; so a second attempt, on another connection, fits into it.
const PUT_ATTEMPT: Duration = Duration::from_secs(3);

/// The handlers' state on AWS, with a reader where `reads.enabled` is set. It reads the credentials, and opens a connection to
/// each service: a start has a whole processor for it, a request a part of one and little time. `variable` reads the
/// environment.
pub async fn state(
    config: Arc<Config>,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Arc<IngestState<KinesisStream, S3Objects, SqsQueue, DynamoReader>>> {
    let is_read = config.reads.enabled == Some(true);
    let reads = is_read.then(|| ReadsEnvironment::read(&variable)).transpose()?;
    let names = Environment::read(&variable)?;
    let sdk = sdk::from_env().load().await;
    let credentials = credentials(&sdk, &config, &variable).await?;
    let stream = KinesisStream::new(&sdk, names.stream, config.publish.attempt());
    let objects = S3Objects::new(&sdk, names.bucket, PUT_ATTEMPT);
    let queue = SqsQueue::new(&sdk, names.spill_queue, config.publish.spill());
    let reader = reads.map(|names| DynamoReader::new(&sdk, names.items_table, names.ledger_table));
    let open_reader = async {
        if let Some(reader) = &reader {
            reader.open().await;
        }
    };
    tokio::join!(stream.open(), queue.open(), objects.open(), open_reader);
    let ports = IngestPorts { stream, objects, queue, reader };
    Ok(IngestState::new(config, credentials, ports, Clock::system(), Ids::system()))
}

/// From the file, if the configuration names one, else from the secret.
async fn credentials(
    sdk: &SdkConfig,
    config: &Config,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Credentials> {
    let Some(key) = config.auth.needs_credentials() else { return Ok(Credentials::none()) };
    if let Some(file) = &config.auth.credentials_file {
        return Ok(Credentials::read(CredentialFile(file.into()), config, Clock::system()).await?);
    }
    let secret = environment::credentials_secret(variable).with_context(|| {
        format!("`{key}` needs credentials: name their secret, or set `auth.credentials_file`")
    })?;
    Ok(Credentials::read(SecretsManager::new(sdk, secret), config, Clock::system()).await?)
}
