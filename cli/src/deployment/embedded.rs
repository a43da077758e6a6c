//! A local run as a deployment: its data folder, which may be in use.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use consumer_fn::Mark;
use consumer_fn::items::Existing;
use consumer_fn::manifest::ManifestRow;
use local::data::DataFolder;
use local::embedded::{
    Database, EmbeddedCheckpoints, EmbeddedItems, EmbeddedLedger, EmbeddedObjects, EmbeddedQueue,
    EmbeddedStream, Listed, QueueName, QueuedMessage, StreamRows,
};
use local::event_source_mapping::ports::{
    Checkpoints, ReadLimit as Room, ShardRead as Read, StreamReader, StreamShard as ListedShard,
};
use shared::id::{EventId, TenantId};
use shared::time::Clock;

use super::{Deployment, ItemPage, Messages, Start};

/// How much of the stream is read at a time.
const PAGE: Room = Room { records: 10_000, bytes: 8 * 1024 * 1024 };
/// How many items or manifest rows are read at a time: a reader keeps no writer waiting, but pages keep memory small.
const ROWS: usize = 1_000;

/// A data folder.
#[derive(Debug)]
pub struct EmbeddedDeployment {
    name: String,
    identity: String,
    stream: EmbeddedStream,
    objects: EmbeddedObjects,
    ledger: EmbeddedLedger,
    items: EmbeddedItems,
    rows: StreamRows,
    queue: EmbeddedQueue,
    checkpoints: EmbeddedCheckpoints,
}

impl EmbeddedDeployment {
    /// The one in `folder`, which must hold a local run's data: nothing is created.
    pub async fn open(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("tidegate.sqlite");
        if !file.is_file() {
            bail!("`{}` holds no data of `tidegate local`: name the folder with --data", folder.display());
        }
        let path = folder.canonicalize().with_context(|| format!("`{}` cannot be read", folder.display()))?;
        let data = DataFolder::open(&path)?;
        // One connection for all: these commands do one thing after the other, and readers wait for no writer.
        let database = data.database()?;
        let rows = StreamRows(database.clone());
        if rows.shards().await?.is_empty() {
            bail!("`{}` holds no stream yet: start `tidegate local` on it first", folder.display());
        }
        let clock = Clock::system();
        Ok(Self {
            name: folder.display().to_string(),
            identity: format!("local:{}", path.display()),
            stream: EmbeddedStream::open(database.clone(), 1, clock.clone()).await?,
            objects: EmbeddedObjects { database: database.clone(), ..data.objects()? },
            ledger: EmbeddedLedger(database.clone()),
            items: EmbeddedItems(database.clone()),
            rows,
            queue: EmbeddedQueue::new(database.clone(), clock),
            checkpoints: EmbeddedCheckpoints(database),
        })
    }

    /// The SQLite file.
    pub fn database(&self) -> &Database {
        &self.items.0
    }
}

impl Deployment for EmbeddedDeployment {
    type Objects = EmbeddedObjects;
    type Ledger = EmbeddedLedger;
    type Stream = EmbeddedStream;

    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn objects(&self) -> &EmbeddedObjects {
        &self.objects
    }

    fn ledger(&self) -> &EmbeddedLedger {
        &self.ledger
    }

    fn stream(&self) -> &EmbeddedStream {
        &self.stream
    }

    async fn retention(&self) -> anyhow::Result<Duration> {
        Ok(shared::limits::STREAM_RETENTION)
    }

    async fn shards(&self) -> anyhow::Result<Vec<ListedShard>> {
        self.rows.shards().await
    }

    async fn records(&self, shard: &str, start: Start<'_>) -> anyhow::Result<Read> {
        let after = match start {
            Start::Oldest => None,
            Start::After(sequence_number) => Some(sequence_number.to_owned()),
            Start::At(time) => self.rows.last_before(shard, time).await?,
        };
        self.rows.read(shard, after.as_deref(), PAGE).await
    }

    async fn checkpoint(&self, shard: &str) -> anyhow::Result<Option<String>> {
        self.checkpoints.load(shard).await
    }

    async fn manifest(&self, shard: &str, after: Option<&Mark>) -> anyhow::Result<Vec<ManifestRow>> {
        Ok(self.ledger.manifest(shard, after, ROWS).await?)
    }

    async fn manifest_before(&self, shard: &str, place: Option<&Mark>) -> anyhow::Result<Vec<ManifestRow>> {
        Ok(self.ledger.manifest_before(shard, place, ROWS).await?)
    }

    async fn manifest_at(&self, shard: &str, place: &Mark) -> anyhow::Result<Option<ManifestRow>> {
        Ok(self.ledger.manifest_at(shard, place).await?)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> anyhow::Result<Vec<Listed>> {
        let mut listed = self.objects.folder.list(prefix).await?;
        if let Some(after) = after {
            listed.retain(|object| object.key.as_str() > after);
        }
        Ok(listed)
    }

    async fn get_range(&self, key: &str, offset: usize, length: usize) -> anyhow::Result<Option<Bytes>> {
        Ok(self.objects.folder.get_range(key, offset, length).await?)
    }

    async fn delete(&self, key: &str) -> anyhow::Result<()> {
        Ok(self.objects.folder.delete(key).await?)
    }

    async fn items(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Existing>>> {
        Ok(self.items.find(names.to_vec()).await?)
    }

    async fn list_items(&self, tenant: Option<&TenantId>, after: Option<String>) -> anyhow::Result<ItemPage> {
        let after = after.map(|after| after.parse()).transpose().context("a cursor of another list")?;
        let (items, next) = self.items.list(tenant, after, ROWS).await?;
        Ok(ItemPage { items, next: next.map(|next| next.to_string()) })
    }

    async fn messages(&self, queue: QueueName) -> anyhow::Result<Messages> {
        Ok(Messages { seen: self.queue.messages(queue).await?, hidden: 0 })
    }

    async fn delete_message(&self, _queue: QueueName, message: &QueuedMessage) -> anyhow::Result<()> {
        Ok(self.queue.delete(vec![message.id.clone()]).await?)
    }
}
