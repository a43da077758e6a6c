//! What only an erasure does with a data folder.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use consumer_fn::Ledger;
use ingest_fn::publish::EventStream;
use operate::deployment::{Deployment, ItemPage, QueueName};
use operate::erase::{Erasable, Hold, Remaining};
use shared::config::Config;
use shared::id::{EventId, TenantId};
use shared::objects::{FoundObject, ObjectStore};
use shared::origin::{Origin, ShardPosition};

use super::{EmbeddedDeployment, ROWS};
use crate::embedded::{EmbeddedItems, EmbeddedObjects};

/// A local run kills an invocation when its time is over. So long that may take.
const KILL: Duration = Duration::from_secs(10);

impl<O: ObjectStore, L: Ledger, S: EventStream> Erasable for EmbeddedDeployment<O, L, S> {
    /// If no local run uses the folder, none can until the erasure is over, and there is nothing to wait for.
    async fn hold(&self, config: &Config, apply: bool) -> anyhow::Result<Hold> {
        let lock = self.data.lock().ok();
        let settle = match &lock {
            Some(_) => Duration::ZERO,
            None => Duration::from_secs(config.consumer.timeout_seconds) + KILL,
        };
        if apply {
            self.is_held.store(lock.is_some(), Ordering::Relaxed);
            // What is deleted is overwritten in the database's file.
            self.database.call(|connection| connection.pragma_update(None, "secure_delete", true)).await?;
        }
        let guard = lock.filter(|_| apply);
        Ok(Hold { settle, guard: guard.map(|lock| Box::new(lock) as Box<dyn std::any::Any>) })
    }

    /// After a checkpoint nothing is delivered again. A run that was killed may have committed more.
    async fn delivered_end(
        &self,
        shard: &str,
        committed: Option<ShardPosition>,
    ) -> anyhow::Result<Option<ShardPosition>> {
        let passed = self.checkpoint(shard).await?.map(|number| ShardPosition::new(number, u32::MAX));
        Ok(committed.min(passed))
    }

    async fn tenant_items(&self, tenant: &TenantId, after: Option<String>) -> anyhow::Result<ItemPage> {
        Ok(EmbeddedItems(self.database.clone()).of_tenant(tenant, after, ROWS).await?)
    }

    async fn delete_items(&self, items: &[(TenantId, EventId, Origin)]) -> anyhow::Result<u64> {
        Ok(EmbeddedItems(self.database.clone()).delete(items.to_vec()).await? as u64)
    }

    async fn rewrite(
        &self,
        key: &str,
        rewritten: &mut dyn FnMut(&FoundObject) -> anyhow::Result<Option<Bytes>>,
    ) -> anyhow::Result<()> {
        let Some(found) = self.objects.find(key).await? else { return Ok(()) };
        let Some(bytes) = rewritten(&found)? else { return Ok(()) };
        let objects = EmbeddedObjects { folder: self.folder.clone(), database: self.database.clone() };
        Ok(objects.replace(key, bytes, found.covers_end.as_ref()).await?)
    }

    async fn delete_object(&self, key: &str) -> anyhow::Result<()> {
        Ok(self.folder.delete(key).await?)
    }

    async fn send(&self, queue: QueueName, body: String) -> anyhow::Result<()> {
        self.queue.send_to(queue, body).await.map_err(anyhow::Error::msg)
    }

    /// While a run uses the folder, only what this erasure has deleted is overwritten, and the log of the database may have more.
    async fn scrub(&self) -> anyhow::Result<()> {
        let is_held = self.is_held.load(Ordering::Relaxed);
        if is_held {
            self.folder.remove_empty().await?;
        }
        let scrub = move |connection: &mut rusqlite::Connection| {
            if is_held {
                // Rows that were changed or have expired have left bytes in free pages.
                connection.execute_batch("VACUUM")?;
            }
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        Ok(self.database.call(scrub).await?)
    }

    /// A data folder has no backups of its own.
    async fn backups(&self) -> anyhow::Result<Vec<Remaining>> {
        Ok(Vec::new())
    }
}
