//! The operator's port on AWS, or on an emulator of it. One file for each service.

mod dynamodb;
mod kinesis;
mod s3;
mod sqs;

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use bytes::Bytes;
use consumer_fn::items::Existing;
use consumer_fn::ledger::dynamodb::DynamoLedger;
use ingest_fn::drain::ATTEMPT;
use ingest_fn::publish::kinesis::KinesisStream;
use operate::deployment::{
    Deployment, ItemPage, ListedObject, Messages, QueueName, QueuedMessage, RecordPage, Start,
};
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::objects::s3::{self as object_storage, S3Objects};
use shared::origin::ShardPosition;

use crate::stack::Stack;
use dynamodb::Tables;
use kinesis::Shards;
use s3::BucketReader;
use sqs::Queues;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    pub stream: String,
    pub items_table: String,
    /// Of ledger and manifest.
    pub ledger_table: String,
    pub bucket: String,
    /// The URL.
    pub spill_queue: String,
}

impl Resources {
    /// From the functions' environment variables.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let ingest = ingest_fn::environment::Environment::read(&variable)?;
        let consumer = consumer_fn::environment::Environment::read(&variable)?;
        Ok(Self {
            stream: ingest.stream,
            items_table: consumer.items_table,
            ledger_table: consumer.ledger_table,
            bucket: consumer.bucket,
            spill_queue: ingest.spill_queue,
        })
    }
}

impl From<Stack> for Resources {
    fn from(stack: Stack) -> Self {
        let Stack { stream, items_table, ledger_table, bucket, spill_queue, .. } = stack;
        Self { stream, items_table, ledger_table, bucket, spill_queue }
    }
}

#[derive(Debug)]
pub struct AwsDeployment {
    name: String,
    identity: String,
    retention: Duration,
    stream: Arc<KinesisStream>,
    objects: S3Objects,
    ledger: DynamoLedger,
    shards: Shards,
    tables: Tables,
    bucket: BucketReader,
    queues: Queues,
}

impl AwsDeployment {
    /// Fails if the stream does not exist.
    pub async fn open(sdk: &SdkConfig, resources: Resources) -> anyhow::Result<Self> {
        let Resources { stream, items_table, ledger_table, bucket, spill_queue } = resources;
        let shards = Shards::new(sdk, stream.clone());
        let (arn, retention) = shards.describe().await?;
        Ok(Self {
            name: stream.clone(),
            // The endpoint is part of it: emulators give every account the same number.
            identity: format!("{} {arn}", sdk.endpoint_url().unwrap_or("aws")),
            retention,
            stream: Arc::new(KinesisStream::new(sdk, stream, ATTEMPT)),
            objects: S3Objects::new(sdk, bucket.clone(), object_storage::ATTEMPT),
            ledger: DynamoLedger::new(sdk, ledger_table.clone()),
            shards,
            tables: Tables::new(sdk, items_table, ledger_table),
            bucket: BucketReader::new(sdk, bucket),
            queues: Queues::new(sdk, spill_queue),
        })
    }
}

impl Deployment for AwsDeployment {
    type Objects = S3Objects;
    type Ledger = DynamoLedger;
    type Stream = KinesisStream;

    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn objects(&self) -> &S3Objects {
        &self.objects
    }

    fn ledger(&self) -> &DynamoLedger {
        &self.ledger
    }

    fn stream(&self) -> Arc<KinesisStream> {
        Arc::clone(&self.stream)
    }

    async fn retention(&self) -> anyhow::Result<Duration> {
        Ok(self.retention)
    }

    async fn shards(&self) -> anyhow::Result<Vec<String>> {
        self.shards.list().await
    }

    async fn records(&self, shard: &str, start: Start<'_>) -> anyhow::Result<RecordPage> {
        self.shards.read(shard, start).await
    }

    /// Lambda does not tell how far its mapping is. The ledger has to suffice.
    async fn checkpoint(&self, _shard: &str) -> anyhow::Result<Option<String>> {
        Ok(None)
    }

    async fn manifest(&self, shard: &str, after: Option<&ShardPosition>) -> anyhow::Result<Vec<ManifestRow>> {
        self.tables.manifest(shard, after).await
    }

    async fn manifest_before(
        &self,
        shard: &str,
        end: Option<&ShardPosition>,
    ) -> anyhow::Result<Vec<ManifestRow>> {
        self.tables.manifest_before(shard, end).await
    }

    async fn manifest_at(
        &self,
        shard: &str,
        position: &ShardPosition,
    ) -> anyhow::Result<Option<ManifestRow>> {
        self.tables.manifest_at(shard, position).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> anyhow::Result<Vec<ListedObject>> {
        self.bucket.list(prefix, after).await
    }

    async fn get_range(&self, key: &str, offset: usize, length: usize) -> anyhow::Result<Option<Bytes>> {
        self.bucket.get_range(key, offset, length).await
    }

    async fn items(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Existing>>> {
        self.tables.items(names).await
    }

    async fn list_items(&self, after: Option<String>) -> anyhow::Result<ItemPage> {
        self.tables.list_items(after).await
    }

    async fn messages(&self, queue: QueueName) -> anyhow::Result<Messages> {
        self.queues.messages(queue).await
    }

    async fn delete_message(&self, queue: QueueName, message: &QueuedMessage) -> anyhow::Result<()> {
        self.queues.delete(queue, message).await
    }
}
