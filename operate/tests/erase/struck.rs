//! A deployment in which the erasure dies at one of its effects. After that it does nothing any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use consumer_fn::items::Existing;
use operate::deployment::{
    Attributes, Deployment, ItemPage, ListedObject, ManifestPart, Messages, NotedRow, QueueName,
    QueuedMessage, ShardRead, Start,
};
use operate::erase::{Erasable, Hold, Remaining};
use shared::config::Config;
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::objects::FoundObject;
use shared::origin::{Origin, ShardPosition};
use shared::time::{Clock, Timestamp};

/// When it dies: at the effect with this number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Strike {
    Never,
    Before(usize),
    After(usize),
}

pub(crate) struct Struck<D> {
    inner: D,
    strike: Strike,
    effects: AtomicUsize,
    /// Instead of the deployment's own.
    pub(crate) settle: Option<Duration>,
    minutes: Arc<AtomicI64>,
}

impl<D> Struck<D> {
    pub(crate) fn new(inner: D, strike: Strike) -> Self {
        Self { inner, strike, effects: AtomicUsize::new(0), settle: None, minutes: Arc::default() }
    }

    pub(crate) fn effects(&self) -> usize {
        self.effects.load(Ordering::Relaxed)
    }

    /// Sets the clock so many minutes forward.
    pub(crate) fn minutes(&self, minutes: i64) {
        self.minutes.store(minutes, Ordering::Relaxed);
    }

    async fn effect<T>(&self, effect: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let number = self.effects.fetch_add(1, Ordering::Relaxed);
        match self.strike {
            Strike::Before(at) if number >= at => bail!("died before effect {number}"),
            Strike::After(at) if number > at => bail!("it is dead"),
            Strike::After(at) if number == at => {
                effect.await?;
                bail!("died after effect {number}")
            }
            _ => effect.await,
        }
    }
}

impl<D: Deployment> Deployment for Struck<D> {
    type Objects = D::Objects;
    type Ledger = D::Ledger;
    type Stream = D::Stream;

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn identity(&self) -> &str {
        self.inner.identity()
    }

    fn clock(&self) -> Clock {
        let minutes = Arc::clone(&self.minutes);
        Clock::new(move || {
            let now = Clock::system().now().unix_ms() + minutes.load(Ordering::Relaxed) * 60_000;
            Timestamp::from_unix_ms(now)
        })
    }

    fn objects(&self) -> &D::Objects {
        self.inner.objects()
    }

    fn ledger(&self) -> &D::Ledger {
        self.inner.ledger()
    }

    fn stream(&self) -> Arc<D::Stream> {
        self.inner.stream()
    }

    async fn retention(&self) -> anyhow::Result<Duration> {
        self.inner.retention().await
    }

    async fn shards(&self) -> anyhow::Result<Vec<String>> {
        self.inner.shards().await
    }

    async fn records(&self, shard: &str, start: Start) -> anyhow::Result<ShardRead> {
        self.inner.records(shard, start).await
    }

    async fn checkpoint(&self, shard: &str) -> anyhow::Result<Option<String>> {
        self.inner.checkpoint(shard).await
    }

    async fn manifest_rows(&self, shard: &str, part: ManifestPart<'_>) -> anyhow::Result<Vec<NotedRow>> {
        self.inner.manifest_rows(shard, part).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> anyhow::Result<Vec<ListedObject>> {
        self.inner.list(prefix, after).await
    }

    async fn items(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Existing>>> {
        self.inner.items(names).await
    }

    async fn attributes_of(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Attributes>>> {
        self.inner.attributes_of(names).await
    }

    async fn list_items(&self, after: Option<String>) -> anyhow::Result<ItemPage> {
        self.inner.list_items(after).await
    }

    async fn messages(&self, queue: QueueName) -> anyhow::Result<Messages> {
        self.inner.messages(queue).await
    }

    async fn delete_message(&self, queue: QueueName, message: &QueuedMessage) -> anyhow::Result<()> {
        self.effect(self.inner.delete_message(queue, message)).await
    }

    async fn dispatch_again(&self, body: String) -> anyhow::Result<()> {
        self.inner.dispatch_again(body).await
    }
}

impl<D: Erasable> Erasable for Struck<D> {
    async fn hold(&self, config: &Config, apply: bool) -> anyhow::Result<Hold> {
        let hold = self.inner.hold(config, apply).await?;
        Ok(Hold { settle: self.settle.unwrap_or(hold.settle), ..hold })
    }

    async fn delivered_end(
        &self,
        shard: &str,
        committed: Option<ShardPosition>,
    ) -> anyhow::Result<Option<ShardPosition>> {
        self.inner.delivered_end(shard, committed).await
    }

    async fn tenant_items(&self, tenant: &TenantId, after: Option<String>) -> anyhow::Result<ItemPage> {
        self.inner.tenant_items(tenant, after).await
    }

    async fn delete_items(&self, items: &[(TenantId, EventId, Origin)]) -> anyhow::Result<u64> {
        self.effect(self.inner.delete_items(items)).await
    }

    async fn rewrite(
        &self,
        key: &str,
        rewritten: &mut dyn FnMut(&FoundObject) -> anyhow::Result<Option<Bytes>>,
    ) -> anyhow::Result<()> {
        self.effect(self.inner.rewrite(key, rewritten)).await
    }

    async fn delete_object(&self, key: &str) -> anyhow::Result<()> {
        self.effect(self.inner.delete_object(key)).await
    }

    async fn send(&self, queue: QueueName, body: String) -> anyhow::Result<()> {
        self.effect(self.inner.send(queue, body)).await
    }

    async fn put_object(&self, key: &str, bytes: Bytes) -> anyhow::Result<()> {
        self.effect(self.inner.put_object(key, bytes)).await
    }

    async fn note_row(&self, shard: &str, row: &ManifestRow) -> anyhow::Result<()> {
        self.effect(self.inner.note_row(shard, row)).await
    }

    async fn scrub(&self) -> anyhow::Result<()> {
        self.effect(self.inner.scrub()).await
    }

    async fn backups(&self) -> anyhow::Result<Vec<Remaining>> {
        self.inner.backups().await
    }
}
