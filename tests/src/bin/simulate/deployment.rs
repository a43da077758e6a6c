//! The operator's port to a run.

use std::sync::Arc;
use std::time::Duration;

use consumer_fn::items::Existing;
use operate::deployment::{
    Attributes, Deployment, ItemPage, ListedObject, ManifestPart, Messages, NamedItem, NotedRow, QueueName,
    QueuedMessage, ShardRead, ShardTail, Start,
};
use shared::id::{EventId, TenantId};
use shared::time::Clock;

use crate::data::SimMessage;
use crate::stores::{SimLedger, SimObjects, SimStream};
use crate::world::{Caller, Process, State, Store, World};

/// Pages are small, so that every list has several.
const PAGE: usize = 3;

pub(crate) struct SimDeployment {
    process: Process,
    objects: SimObjects,
    ledger: SimLedger,
}

impl SimDeployment {
    /// As a new process sees it.
    pub(crate) fn new(world: &World) -> Self {
        let process = Process::new(world, Caller::Operator);
        Self { objects: SimObjects(process.clone()), ledger: SimLedger(process.clone()), process }
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    async fn read<T: Send + 'static>(
        &self,
        store: Store,
        what: &str,
        read: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        Ok(self.process.read(store, what, read).await?)
    }
}

impl Deployment for SimDeployment {
    type Objects = SimObjects;
    type Ledger = SimLedger;
    type Stream = SimStream;

    fn name(&self) -> &'static str {
        "simulation"
    }

    fn identity(&self) -> &'static str {
        "simulation"
    }

    fn clock(&self) -> Clock {
        self.process.world().clock()
    }

    fn objects(&self) -> &SimObjects {
        &self.objects
    }

    fn ledger(&self) -> &SimLedger {
        &self.ledger
    }

    fn stream(&self) -> Arc<SimStream> {
        Arc::new(SimStream(self.process.clone()))
    }

    async fn retention(&self) -> anyhow::Result<Duration> {
        Ok(shared::limits::STREAM_RETENTION)
    }

    async fn shards(&self) -> anyhow::Result<Vec<String>> {
        let list = |state: &mut State| state.data.shards.iter().map(|shard| shard.id.clone()).collect();
        self.read(Store::Stream, "list shards", list).await
    }

    async fn records(&self, shard: &str, start: Start) -> anyhow::Result<ShardRead> {
        let name = shard.to_owned();
        let read = move |state: &mut State| {
            let shard = state.data.shard(&name).expect("it was listed");
            let from = match start {
                Start::Oldest => 0,
                Start::After(number) => shard.index_after(Some(&number)),
                Start::At(time) => shard
                    .records
                    .iter()
                    .position(|record| record.arrival >= time)
                    .unwrap_or(shard.records.len()),
            };
            let records: Vec<_> = shard.records[from..].iter().take(PAGE).cloned().collect();
            let is_closed = shard.is_closed;
            let tail = match from + records.len() < shard.records.len() {
                true => ShardTail::More,
                false if is_closed => ShardTail::Closed,
                false => ShardTail::Tip,
            };
            ShardRead { records, tail }
        };
        self.read(Store::Stream, "read records", read).await
    }

    async fn checkpoint(&self, shard: &str) -> anyhow::Result<Option<String>> {
        let name = shard.to_owned();
        let load = move |state: &mut State| state.data.checkpoint(&name).cloned();
        self.read(Store::Mapping, "load a checkpoint", load).await
    }

    async fn manifest_rows(&self, shard: &str, part: ManifestPart<'_>) -> anyhow::Result<Vec<NotedRow>> {
        let name = shard.to_owned();
        let rows = move |state: &mut State| {
            let rows = state.data.manifest.get(&name).cloned().unwrap_or_default();
            rows.into_values().collect::<Vec<_>>()
        };
        let mut rows = self.read(Store::Ledger, "read the manifest", rows).await?;
        match part {
            ManifestPart::After(after) => rows.retain(|row| after.is_none_or(|after| row.first > *after)),
            ManifestPart::Before(end) => {
                rows.retain(|row| end.is_none_or(|end| row.first < *end));
                rows.reverse();
            }
            ManifestPart::At(position) => {
                rows.retain(|row| row.first <= *position);
                rows.drain(..rows.len().saturating_sub(1));
            }
        }
        rows.truncate(PAGE);
        Ok(rows.into_iter().map(Ok).collect())
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> anyhow::Result<Vec<ListedObject>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let list = move |state: &mut State| {
            let objects = state.data.objects.range(prefix.clone()..);
            let within = objects.take_while(|(key, _)| key.starts_with(&prefix));
            let rest = within.filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after));
            let listed = rest.take(PAGE).map(|(key, object)| ListedObject {
                key: key.clone(),
                bytes: object.bytes.len() as u64,
                written: object.written,
            });
            listed.collect()
        };
        self.read(Store::Objects, "list objects", list).await
    }

    async fn items(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Existing>>> {
        let names = names.to_vec();
        let find = move |state: &mut State| {
            let find = |name| state.data.items.get(name).map(Existing::from);
            names.iter().map(find).collect()
        };
        self.read(Store::Items, "read items", find).await
    }

    async fn attributes_of(&self, _: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Attributes>>> {
        anyhow::bail!("no command of a run reads attributes")
    }

    async fn list_items(&self, after: Option<String>) -> anyhow::Result<ItemPage> {
        let from = after.map_or(Ok(0), |after| after.parse::<usize>())?;
        let list = move |state: &mut State| {
            let page = state.data.items.iter().skip(from).take(PAGE);
            let items: Vec<_> = page
                .map(|((tenant, id), item)| NamedItem {
                    tenant: tenant.clone(),
                    id: id.clone(),
                    existing: item.into(),
                    received_at: item.facts.received_at,
                    expires_at: item.expires_at,
                })
                .collect();
            let next = (items.len() == PAGE).then(|| (from + PAGE).to_string());
            ItemPage { items, unreadable: Vec::new(), next }
        };
        self.read(Store::Items, "list items", list).await
    }

    async fn messages(&self, queue: QueueName) -> anyhow::Result<Messages> {
        let list = move |state: &mut State| {
            let messages = match queue {
                QueueName::Spill => &state.data.spill.waiting,
                QueueName::SpillDead => &state.data.spill.dead,
                QueueName::Dispatch => &state.data.dispatch.waiting,
                QueueName::DispatchDead => &state.data.dispatch.dead,
            };
            let seen = |SimMessage { id, body, sent, .. }: &SimMessage| QueuedMessage {
                id: id.clone(),
                body: body.clone(),
                sent: *sent,
            };
            Messages { seen: messages.iter().map(seen).collect(), hidden: 0 }
        };
        self.read(Store::Spill, "read messages", list).await
    }

    async fn delete_message(&self, queue: QueueName, message: &QueuedMessage) -> anyhow::Result<()> {
        let id = message.id.clone();
        let delete = move |state: &mut State| {
            let dead = match queue {
                QueueName::DispatchDead => &mut state.data.dispatch.dead,
                _ => &mut state.data.spill.dead,
            };
            dead.retain(|message| message.id != id);
        };
        Ok(self.process.write(Store::Spill, "delete a dead letter", delete).await?)
    }

    async fn dispatch_again(&self, body: String) -> anyhow::Result<()> {
        let world = self.process.world().clone();
        let send = move |state: &mut State| {
            state.count("dead letters of dispatch redriven");
            state.data.dispatch.send(&body, world.now());
        };
        Ok(self.process.write(Store::Spill, "queue an event to be dispatched again", send).await?)
    }
}
