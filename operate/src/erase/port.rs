//! The port of an erasure: what it alone may do with a deployment. No other command, and no function, deletes anything.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use consumer_fn::Ledger;
use serde::Serialize;
use shared::config::Config;
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::objects::{FoundObject, ObjectStore};
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use crate::deployment::{Deployment, ItemPage, QueueName};

#[expect(async_fn_in_trait, reason = "a command is one future on one thread, so it need not be `Send`")]
pub trait Erasable: Deployment {
    /// Called first. Where it can, it keeps everything else from writing until what it returns is dropped.
    async fn hold(&self, config: &Config, apply: bool) -> anyhow::Result<Hold>;

    /// The end of what is not delivered again of a shard that is committed up to `committed`.
    async fn delivered_end(
        &self,
        shard: &str,
        committed: Option<ShardPosition>,
    ) -> anyhow::Result<Option<ShardPosition>>;

    /// A page of a tenant's items. `after` is the cursor of the page before.
    async fn tenant_items(&self, tenant: &TenantId, after: Option<String>) -> anyhow::Result<ItemPage>;

    /// Deletes these items, those that still name this origin. Returns how many it has deleted.
    async fn delete_items(&self, items: &[(TenantId, EventId, Origin)]) -> anyhow::Result<u64>;

    /// Replaces an archive object by what `rewritten` makes of it, with the same metadata, unless that is `None` or there is no
    /// object. If another writer has replaced it meanwhile, it is read again.
    async fn rewrite(
        &self,
        key: &str,
        rewritten: &mut dyn FnMut(&FoundObject) -> anyhow::Result<Option<Bytes>>,
    ) -> anyhow::Result<()>;

    /// Succeeds if there is no such object.
    async fn delete_object(&self, key: &str) -> anyhow::Result<()>;

    /// Puts a message into a queue.
    async fn send(&self, queue: QueueName, body: String) -> anyhow::Result<()>;

    /// Writes an object that is not an archive object, and replaces the one that the key may have.
    async fn put_object(&self, key: &str, bytes: Bytes) -> anyhow::Result<()> {
        Ok(self.objects().put(key, bytes).await?)
    }

    /// Writes a row of the manifest, and replaces the one of the same object.
    async fn note_row(&self, shard: &str, row: &ManifestRow) -> anyhow::Result<()> {
        Ok(self.ledger().note(shard, row).await?)
    }

    /// Called last: overwrites what deleted rows have left in files. Nothing to do where the store does it.
    async fn scrub(&self) -> anyhow::Result<()>;

    /// Copies that the deployment has besides.
    async fn backups(&self) -> anyhow::Result<Vec<Remaining>>;
}

/// What [`Erasable::hold`] could do.
pub struct Hold {
    /// How long an attempt of the consumer may still write that has begun before now. Zero: nothing else runs.
    pub settle: Duration,
    /// Keeps everything else out until it is dropped.
    pub guard: Option<Box<dyn Any>>,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("settle", &self.settle).finish_non_exhaustive()
    }
}

/// A copy that an erasure does not reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remaining {
    /// Where.
    pub what: String,
    /// When it is gone at the latest; `None` where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What decides that, or what to do.
    pub why: String,
}
