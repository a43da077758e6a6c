//! A data folder as a deployment, for the operator's commands. A local run may be using it.

mod erase;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail};
use consumer_fn::Ledger;
use consumer_fn::items::Existing;
use ingest_fn::publish::EventStream;
use operate::deployment::{
    Attributes, Deployment, ItemPage, ListedObject, ManifestPart, Messages, NotedRow, QueueName,
    QueuedMessage, ShardRead, Start, quoted,
};
use shared::id::{EventId, TenantId};
use shared::objects::ObjectStore;
use shared::time::Clock;

use crate::adapters::Adapters;
use crate::data::{DATABASE, DataFolder};
use crate::embedded::{
    Database, EmbeddedCheckpoints, EmbeddedItems, EmbeddedLedger, EmbeddedObjects, EmbeddedQueue,
    EmbeddedStream, Folder, LocalQueue, StreamRows,
};
use crate::event_source_mapping::ports::{Checkpoints, ReadLimit, StreamReader};

/// How much of the stream is read at a time.
const PAGE: ReadLimit = ReadLimit { records: 10_000, bytes: 8 * 1024 * 1024 };
/// How many items or manifest rows are read at a time. Readers block no writer; pages bound memory.
const ROWS: usize = 1_000;

pub struct EmbeddedDeployment<O, L, S> {
    name: String,
    identity: String,
    objects: O,
    ledger: L,
    stream: Arc<S>,
    folder: Folder,
    /// Any queue's messages are read by it; only those of dispatch are sent.
    queue: EmbeddedQueue,
    database: Database,
    data: DataFolder,
    /// No local run can use the folder meanwhile.
    is_held: AtomicBool,
}

/// The deployment in `folder`, which must hold a local run's data. Nothing is created. What the functions' ports write
/// goes through `adapters`.
pub async fn open<'a, A: Adapters>(
    folder: &Path,
    adapters: &'a A,
) -> anyhow::Result<
    EmbeddedDeployment<
        impl ObjectStore + use<'a, A>,
        impl Ledger + use<'a, A>,
        impl EventStream + use<'a, A>,
    >,
> {
    if !folder.join(DATABASE).is_file() {
        bail!("`{}` holds no data of `tidegate local`: name the folder with --data", folder.display());
    }
    let path = folder.canonicalize().with_context(|| format!("`{}` cannot be read", folder.display()))?;
    let data = DataFolder::open(&path)?;
    // One connection is enough: a command does one thing after the other, and readers wait for no writer.
    let database = data.database()?;
    if StreamRows(database.clone()).shards().await?.is_empty() {
        bail!("`{}` holds no stream yet: start `tidegate local` on it first", folder.display());
    }
    let clock = Clock::system();
    let objects = EmbeddedObjects { database: database.clone(), ..data.objects()? };
    Ok(EmbeddedDeployment {
        name: folder.display().to_string(),
        identity: format!("local:{}", path.display()),
        folder: objects.folder.clone(),
        objects: adapters.objects(objects),
        ledger: adapters.ledger(EmbeddedLedger(database.clone())),
        stream: Arc::new(adapters.stream(EmbeddedStream::open(database.clone(), 1, clock.clone()).await?)),
        queue: EmbeddedQueue { queue: LocalQueue::Dispatch, database: database.clone(), clock },
        database,
        data,
        is_held: AtomicBool::new(false),
    })
}

impl<O: ObjectStore, L: Ledger, S: EventStream> Deployment for EmbeddedDeployment<O, L, S> {
    type Objects = O;
    type Ledger = L;
    type Stream = S;

    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn objects(&self) -> &O {
        &self.objects
    }

    fn ledger(&self) -> &L {
        &self.ledger
    }

    fn stream(&self) -> Arc<S> {
        Arc::clone(&self.stream)
    }

    async fn retention(&self) -> anyhow::Result<Duration> {
        Ok(shared::limits::STREAM_RETENTION)
    }

    async fn shards(&self) -> anyhow::Result<Vec<String>> {
        Ok(StreamRows(self.database.clone()).shards().await?.into_iter().map(|shard| shard.id).collect())
    }

    async fn records(&self, shard: &str, start: Start) -> anyhow::Result<ShardRead> {
        let rows = StreamRows(self.database.clone());
        let after = match start {
            Start::Oldest => None,
            Start::After(sequence_number) => Some(sequence_number),
            Start::At(time) => rows.last_before(shard, time).await?,
        };
        rows.read(shard, after.as_deref(), PAGE).await
    }

    async fn checkpoint(&self, shard: &str) -> anyhow::Result<Option<String>> {
        EmbeddedCheckpoints(self.database.clone()).load(shard).await
    }

    async fn manifest_rows(&self, shard: &str, part: ManifestPart<'_>) -> anyhow::Result<Vec<NotedRow>> {
        EmbeddedLedger(self.database.clone()).manifest(shard, part, ROWS).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> anyhow::Result<Vec<ListedObject>> {
        let mut listed = self.folder.list(prefix).await?;
        if let Some(after) = after {
            listed.retain(|object| object.key.as_str() > after);
        }
        Ok(listed)
    }

    fn prints(&self, key: &str, range: Option<(usize, usize)>) -> Option<String> {
        let file = self.folder.path(key);
        let file = quoted(&file.display().to_string());
        Some(match range {
            None => format!("cat {file}"),
            Some((offset, length)) => format!("tail -c +{} {file} | head -c {length}", offset + 1),
        })
    }

    async fn items(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Existing>>> {
        Ok(EmbeddedItems(self.database.clone()).find(names.to_vec()).await?)
    }

    async fn attributes_of(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Attributes>>> {
        Ok(EmbeddedItems(self.database.clone()).attributes(names).await?)
    }

    async fn list_items(&self, after: Option<String>) -> anyhow::Result<ItemPage> {
        let after = after.map(|after| after.parse()).transpose().context("a cursor of another list")?;
        Ok(EmbeddedItems(self.database.clone()).list(after, ROWS).await?)
    }

    async fn messages(&self, queue: QueueName) -> anyhow::Result<Messages> {
        Ok(Messages { seen: self.queue.messages(queue).await?, hidden: 0 })
    }

    async fn delete_message(&self, _queue: QueueName, message: &QueuedMessage) -> anyhow::Result<()> {
        Ok(self.queue.delete(vec![message.id.clone()]).await?)
    }

    async fn dispatch_again(&self, body: String) -> anyhow::Result<()> {
        self.queue.send_again(body).await.map_err(anyhow::Error::msg)
    }
}
