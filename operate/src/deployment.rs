//! The port of the operator's commands: everything that they read of a deployment, and the few things that they write.
//!
//! Objects, the ledger and the stream are written through the functions' own ports. What only an operator needs is a
//! method here, so that the functions have no more permissions than they need.
//!
//! A data folder implements it in the crate `local`, a deployed stack in the crate `aws`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consumer_fn::items::{Attribute, EXPIRES_AT, Existing, RECEIVED_AT};
use consumer_fn::{Batch, Ledger};
use ingest_fn::publish::EventStream;
use shared::format::key;
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::objects::ObjectStore;
use shared::origin::ShardPosition;
use shared::time::{Clock, Timestamp};

/// A running or stopped deployment. Lists come in pages: each call returns what follows `after`, in order. An empty page
/// ends the list.
#[expect(async_fn_in_trait, reason = "a command is one future on one thread, so it need not be `Send`")]
pub trait Deployment: Send + Sync + 'static {
    type Objects: ObjectStore;
    type Ledger: Ledger;
    type Stream: EventStream;

    /// What people call it.
    fn name(&self) -> &str;

    /// Equal for two handles on the same deployment, however they were named.
    fn identity(&self) -> &str;

    /// What "now" is for the commands.
    fn clock(&self) -> Clock {
        Clock::system()
    }

    fn objects(&self) -> &Self::Objects;

    fn ledger(&self) -> &Self::Ledger;

    /// The stream, for writing.
    fn stream(&self) -> Arc<Self::Stream>;

    /// How long the stream retains a record at least.
    async fn retention(&self) -> anyhow::Result<Duration>;

    /// The ids of the stream's shards. Closed shards are included while they hold records.
    async fn shards(&self) -> anyhow::Result<Vec<String>>;

    /// Some records of a shard. There may be none although more follow.
    async fn records(&self, shard: &str, start: Start) -> anyhow::Result<ShardRead>;

    /// The last sequence number of a shard that the event source mapping has finished. `None` where it cannot be known.
    async fn checkpoint(&self, shard: &str) -> anyhow::Result<Option<String>>;

    /// A page of a shard's manifest.
    async fn manifest_rows(&self, shard: &str, part: ManifestPart<'_>) -> anyhow::Result<Vec<NotedRow>>;

    /// The same, where a row that cannot be read is an error.
    async fn manifest(&self, shard: &str, part: ManifestPart<'_>) -> anyhow::Result<Vec<ManifestRow>> {
        Ok(self.manifest_rows(shard, part).await?.into_iter().collect::<Result<_, _>>()?)
    }

    /// A page of the objects whose keys begin with `prefix`, in the order of their keys.
    async fn list(&self, prefix: &str, after: Option<&str>) -> anyhow::Result<Vec<ListedObject>>;

    /// A shell command that prints an object, or a range of it: where it begins, and its length. `None` where there is none.
    fn prints(&self, _key: &str, _range: Option<(usize, usize)>) -> Option<String> {
        None
    }

    /// The items of these names, one answer for each name; `None` where there is no item that can be read.
    async fn items(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Existing>>>;

    /// Items as they are stored, one answer for each name: their attributes by their names. `None` where there is no item.
    async fn attributes_of(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Attributes>>>;

    /// The same for one item.
    async fn attributes(&self, tenant: &TenantId, id: &EventId) -> anyhow::Result<Option<Attributes>> {
        let name = (tenant.clone(), id.clone());
        Ok(self.attributes_of(std::slice::from_ref(&name)).await?.pop().flatten())
    }

    /// A page of all items. `after` is the cursor of the page before.
    async fn list_items(&self, after: Option<String>) -> anyhow::Result<ItemPage>;

    /// The messages of a queue, in order. They stay in the queue. Empty where the deployment has no such queue.
    async fn messages(&self, queue: QueueName) -> anyhow::Result<Messages>;

    /// Deletes a message that [`Deployment::messages`] returned.
    async fn delete_message(&self, queue: QueueName, message: &QueuedMessage) -> anyhow::Result<()>;

    /// Puts a message into the dispatch queue.
    async fn dispatch_again(&self, body: String) -> anyhow::Result<()>;
}

/// For a shell, as one word.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A row of a shard's manifest.
pub type NotedRow = Result<ManifestRow, UnreadableRow>;

/// A row that is not as Tidegate writes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the row `{key}` is not as Tidegate writes it: {why}")]
pub struct UnreadableRow {
    /// Its keys, partition and sort key.
    pub key: String,
    pub why: String,
    /// Where its object begins, if the sort key is that of a row of the manifest.
    pub first: Option<ShardPosition>,
}

/// Where the row's object begins.
pub fn first(row: &NotedRow) -> Option<&ShardPosition> {
    match row {
        Ok(row) => Some(&row.first),
        Err(unreadable) => unreadable.first.as_ref(),
    }
}

impl UnreadableRow {
    pub fn new(partition: &str, sort: &str, why: &dyn std::fmt::Display) -> Self {
        let first = key::manifest_position(sort);
        Self { key: format!("{partition} {sort}"), why: why.to_string(), first }
    }
}

/// The attributes that an item has: texts, numbers and flags.
pub type Attributes = BTreeMap<String, serde_json::Value>;

/// The attribute of that name, as [`Item::read`](shared::format::item::Item::read) takes it.
pub(crate) fn attribute(attributes: &Attributes, name: &str) -> Option<Attribute> {
    match attributes.get(name)? {
        serde_json::Value::String(text) => Some(Attribute::Text(text.clone())),
        serde_json::Value::Number(number) => number.as_i64().map(Attribute::Number),
        serde_json::Value::Bool(flag) => Some(Attribute::Flag(*flag)),
        _ => None,
    }
}

/// Where reading a shard begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that the stream has.
    Oldest,
    /// At the first record that arrived at this time or later.
    At(Timestamp),
    /// At the first record after this sequence number.
    After(String),
}

/// Which objects of a shard's manifest, and in which order.
#[derive(Clone, Copy, Debug)]
pub enum ManifestPart<'a> {
    /// Those that begin after this position, in the shard's order. `None`: from the first on.
    After(Option<&'a ShardPosition>),
    /// Those that begin before this position, in reverse order. `None`: from the last on.
    Before(Option<&'a ShardPosition>),
    /// The last one that begins at this position or before. It may end before the position: compare with its `end`.
    At(&'a ShardPosition),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRead {
    /// In the order of the shard.
    pub records: Vec<RetainedRecord>,
    pub tail: ShardTail,
}

/// Whether more records follow those of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardTail {
    /// More records, or unknown: read again at once.
    More,
    /// Nothing yet (`MillisBehindLatest` is 0).
    Tip,
    /// Nothing, ever: the shard was split or merged and is read to its end (`NextShardIterator` is null).
    Closed,
}

/// A record that the stream still has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedRecord {
    /// Decimal digits. They rise within a shard.
    pub sequence_number: String,
    /// Empty where the producer set none.
    pub partition_key: String,
    pub data: Bytes,
    /// When the stream took it.
    pub arrival: Timestamp,
}

impl RetainedRecord {
    /// The record as a batch of its own.
    pub(crate) fn batch(&self, shard: &str) -> Batch {
        let partition_key = Some(self.partition_key.clone()).filter(|key| !key.is_empty());
        Batch::of_record(shard, &self.sequence_number, partition_key, self.arrival, self.data.to_vec())
    }
}

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    pub bytes: u64,
    /// When it was last written.
    pub written: Timestamp,
}

/// A page of items.
#[derive(Clone, Debug, Default)]
pub struct ItemPage {
    /// In no particular order, each once.
    pub items: Vec<NamedItem>,
    pub unreadable: Vec<UnreadableRow>,
    /// The cursor for the next page; `None` after the last.
    pub next: Option<String>,
}

/// An item without its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedItem {
    pub tenant: TenantId,
    pub id: EventId,
    pub existing: Existing,
    /// When ingest received the event.
    pub received_at: Timestamp,
    /// When it may be deleted, in seconds since the Unix epoch; `None` is never.
    pub expires_at: Option<i64>,
}

impl NamedItem {
    /// Reads it from the attributes of an item, by their names.
    pub fn read(attribute: impl Fn(&str) -> Option<Attribute>) -> Result<Self, UnreadableRow> {
        let text = |name: &str| attribute(name).and_then(Attribute::into_text);
        let [partition, sort] =
            [key::PARTITION_ATTRIBUTE, key::SORT_ATTRIBUTE].map(|name| text(name).unwrap_or_default());
        let read = || {
            let (tenant, id) = key::item_name(&partition, &sort).ok_or("it is not the key of an item")?;
            let received_at = text(RECEIVED_AT).and_then(|at| serde_json::from_value(at.into()).ok());
            Ok(Self {
                tenant,
                id,
                existing: Existing::read(&attribute).map_err(|why| why.to_string())?,
                received_at: received_at.ok_or("when it was received is missing or malformed")?,
                expires_at: attribute(EXPIRES_AT).and_then(|at| at.number()),
            })
        };
        read().map_err(|why: String| UnreadableRow::new(&partition, &sort, &why))
    }
}

impl ItemPage {
    pub fn of(
        rows: impl IntoIterator<Item = Result<NamedItem, UnreadableRow>>,
        next: Option<String>,
    ) -> Self {
        let mut page = Self { next, ..Self::default() };
        for row in rows {
            match row {
                Ok(item) => page.items.push(item),
                Err(unreadable) => page.unreadable.push(unreadable),
            }
        }
        page
    }
}

/// One of the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueName {
    Spill,
    /// The dead-letter queue of the spill queue.
    SpillDead,
    Dispatch,
    /// The dead-letter queue of the dispatch queue.
    DispatchDead,
}

impl QueueName {
    /// For people.
    pub fn described(self) -> &'static str {
        match self {
            Self::Spill => "spill queue",
            Self::SpillDead => "spill queue's dead letters",
            Self::Dispatch => "dispatch queue",
            Self::DispatchDead => "dispatch queue's dead letters",
        }
    }
}

/// What could be seen of a queue.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    pub seen: Vec<QueuedMessage>,
    /// About how many more there are. They are being processed, or there are too many to read.
    pub hidden: u64,
}

/// A message that was read and stays in its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedMessage {
    /// Names it when it is deleted. On SQS this is the receipt handle.
    pub id: String,
    pub body: String,
    /// When it was sent.
    pub sent: Timestamp,
}
