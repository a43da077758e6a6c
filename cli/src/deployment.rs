//! What the operator's commands see of a deployment: every place an event can lie in, and nothing of who keeps it.
//!
//! Where a port of the functions serves, it is that port: the stream that is put to, objects, the ledger. What only an
//! operator asks for is here, so that the functions are not given more than they need.
//!
//! `embedded` is a local run's data folder, also while it runs; `aws` is what is deployed (feature `aws`).

#[cfg(feature = "aws")]
mod aws;
mod embedded;
mod open;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use consumer_fn::items::Existing;
use consumer_fn::manifest::ManifestRow;
use consumer_fn::{Ledger, Mark, ObjectStore};
use ingest_fn::publish::EventStream;
pub use local::event_source_mapping::ports::{
    ShardRead as Read, ShardRecord as Record, ShardTail as Tail, StreamShard as ListedShard,
};
use shared::id::{EventId, TenantId};
use shared::time::Timestamp;

#[cfg(feature = "aws")]
pub use aws::{AwsDeployment, Resources};
pub use embedded::EmbeddedDeployment;
pub use local::embedded::{Listed, NamedItem, QueueName, QueuedMessage};
pub use open::{DeploymentOptions, Opened};

/// A running or stopped deployment. Lists come in pages: each call gives what lies behind `after`, in order, and an
/// empty page ends the list. Nothing is changed but by the calls that say so.
pub trait Deployment: Send + Sync + 'static {
    /// Where objects are.
    type Objects: ObjectStore;
    /// Where the ledger is.
    type Ledger: Ledger;
    /// Where records are put.
    type Stream: EventStream;

    /// What people call it.
    fn name(&self) -> &str;

    /// Which one it is: equal for two handles on the same deployment, however they were named.
    fn identity(&self) -> &str;

    /// The objects, one by one.
    fn objects(&self) -> &Self::Objects;

    /// How far each shard is.
    fn ledger(&self) -> &Self::Ledger;

    /// The stream, for putting.
    fn stream(&self) -> &Self::Stream;

    /// How long the stream keeps a record at least.
    fn retention(&self) -> impl Future<Output = anyhow::Result<Duration>> + Send;

    /// The stream's shards with their parents, those included that are closed and still hold records.
    fn shards(&self) -> impl Future<Output = anyhow::Result<Vec<ListedShard>>> + Send;

    /// Some records of a shard. The tail says whether there are more *now*: a stream in use never ends.
    fn records(&self, shard: &str, start: Start<'_>) -> impl Future<Output = anyhow::Result<Read>> + Send;

    /// The last sequence number of a shard that the event source mapping is done with, where that can be known.
    fn checkpoint(&self, shard: &str) -> impl Future<Output = anyhow::Result<Option<String>>> + Send;

    /// A page of a shard's manifest, in the shard's order: the objects whose first place is behind `after`.
    fn manifest(
        &self,
        shard: &str,
        after: Option<&Mark>,
    ) -> impl Future<Output = anyhow::Result<Vec<ManifestRow>>> + Send;

    /// The same backwards: a page of the objects whose first place is before `place`, or of the last ones, the last first.
    fn manifest_before(
        &self,
        shard: &str,
        place: Option<&Mark>,
    ) -> impl Future<Output = anyhow::Result<Vec<ManifestRow>>> + Send;

    /// The last object of a shard's manifest whose first place is not behind `place`: whether it covers that place, it
    /// says itself.
    fn manifest_at(
        &self,
        shard: &str,
        place: &Mark,
    ) -> impl Future<Output = anyhow::Result<Option<ManifestRow>>> + Send;

    /// A page of the objects whose keys begin with `prefix`, in the order of their keys.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = anyhow::Result<Vec<Listed>>> + Send;

    /// `length` bytes of an object from `offset` on, and no other byte; `None` if it is not there.
    fn get_range(
        &self,
        key: &str,
        offset: usize,
        length: usize,
    ) -> impl Future<Output = anyhow::Result<Option<Bytes>>> + Send;

    /// Deletes an object. Not there is well, too.
    fn delete(&self, key: &str) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// What the items of these names say of themselves, by position; `None` where there is none.
    fn items(
        &self,
        names: &[(TenantId, EventId)],
    ) -> impl Future<Output = anyhow::Result<Vec<Option<Existing>>>> + Send;

    /// A page of items: of `tenant`, or of all. `after` is the page before's cursor.
    fn list_items(
        &self,
        tenant: Option<&TenantId>,
        after: Option<String>,
    ) -> impl Future<Output = anyhow::Result<ItemPage>> + Send;

    /// The messages of a queue, which stay in it, in their order.
    fn messages(&self, queue: QueueName) -> impl Future<Output = anyhow::Result<Messages>> + Send;

    /// Deletes a message that [`Deployment::messages`] gave.
    fn delete_message(
        &self,
        queue: QueueName,
        message: &QueuedMessage,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Where a shard is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// From the oldest record that the stream has.
    Oldest,
    /// From the first record that arrived at this time or later.
    At(Timestamp),
    /// From the first record behind this sequence number.
    After(&'a str),
}

/// A page of items.
#[derive(Clone, Debug, Default)]
pub struct ItemPage {
    /// In no particular order, each once.
    pub items: Vec<NamedItem>,
    /// For the next page; `None` behind the last.
    pub next: Option<String>,
}

/// What could be seen of a queue.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    /// The messages.
    pub seen: Vec<QueuedMessage>,
    /// How many more there are, about, which were not looked at: somebody works on them at the moment, or they are too many.
    pub hidden: u64,
}
