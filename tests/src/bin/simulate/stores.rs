//! The ports of ingest, consumer and drain, over the stores in memory.

use std::sync::Arc;

use bytes::Bytes;
use consumer_fn::items::{Existing, Insert, Item, ItemStore, TakeOver, TakenOver};
use consumer_fn::ledger::{Ledger, LedgerFailure, Progress, Written};
use ingest_fn::{
    EventStream, Put, Refusal, SpillFailure, SpillMessage, SpillQueue, StreamFailure, StreamRecord,
};
use shared::format::key::FAILURE_DESTINATION;
use shared::format::manifest_row::ManifestRow;
use shared::objects::{Created, FoundObject, ObjectFailure, ObjectStore};
use shared::origin::ShardPosition;
use shared::time::Timestamp;

use crate::data::SimObject;
use crate::world::{CallFailure, Process, State, Store};

/// Batches that failed for good and are saved nowhere.
pub(crate) const DROPPED: &str = "failed batches dropped";

#[derive(Clone)]
pub(crate) struct SimObjects(pub(crate) Process);

#[derive(Clone)]
pub(crate) struct SimItems(pub(crate) Process);

#[derive(Clone)]
pub(crate) struct SimLedger(pub(crate) Process);

#[derive(Clone)]
pub(crate) struct SimStream(pub(crate) Process);

#[derive(Clone)]
pub(crate) struct SimSpill(pub(crate) Process);

impl From<CallFailure> for ObjectFailure {
    fn from(failure: CallFailure) -> Self {
        Self(failure.to_string())
    }
}

impl From<CallFailure> for LedgerFailure {
    fn from(failure: CallFailure) -> Self {
        Self::NoAnswer(failure.to_string())
    }
}

impl ObjectStore for SimObjects {
    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers_end: Option<&ShardPosition>,
    ) -> Result<Created, ObjectFailure> {
        let (world, name) = (self.0.world().clone(), key.to_owned());
        let covers_end = covers_end.cloned();
        let create = move |state: &mut State| {
            if state.data.objects.contains_key(&name) {
                state.count("objects that existed");
                return Created::Existed;
            }
            if name.starts_with("events/") {
                // A fence has no lines: an empty gzip member.
                state.count(if bytes.len() < 30 { "keys fenced" } else { "archive objects" });
            }
            state.data.objects.insert(name, SimObject { bytes, covers_end, written: world.now() });
            Created::New
        };
        Ok(self.0.write(Store::Objects, format!("create {key}"), create).await?)
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        let (world, name) = (self.0.world().clone(), key.to_owned());
        let dropped = world.scenario().dropped;
        let put = move |state: &mut State| {
            let is_failed = name.starts_with(FAILURE_DESTINATION) && state.is_failing();
            if is_failed && state.random.u64(..1_000) < dropped {
                state.count(DROPPED);
            } else {
                replace(state, &name, bytes, world.now());
            }
        };
        Ok(self.0.write(Store::Objects, format!("put {key}"), put).await?)
    }

    async fn find(&self, key: &str) -> Result<Option<FoundObject>, ObjectFailure> {
        let name = key.to_owned();
        let find = move |state: &mut State| {
            let found = state.data.objects.get(&name).cloned();
            found.map(|SimObject { bytes, covers_end, .. }| FoundObject { bytes, covers_end })
        };
        Ok(self.0.read(Store::Objects, format!("find {key}"), find).await?)
    }

    async fn get_range(
        &self,
        key: &str,
        offset: usize,
        length: usize,
    ) -> Result<Option<Bytes>, ObjectFailure> {
        let found = self.get(key).await?;
        Ok(found.map(|bytes| {
            let end = bytes.len().min(offset.saturating_add(length));
            bytes.slice(offset.min(end)..end)
        }))
    }
}

/// Every key that is written twice names its content.
fn replace(state: &mut State, key: &str, bytes: Bytes, written: Timestamp) {
    let objects = &mut state.data.objects;
    let is_other = objects.get(key).is_some_and(|before| before.bytes != bytes);
    objects.insert(key.to_owned(), SimObject { bytes, covers_end: None, written });
    if is_other {
        state.violation(format_args!("the object {key} was replaced with something else"));
    }
}

impl ItemStore for SimItems {
    async fn insert(&self, items: &[Arc<Item>]) -> Vec<Insert> {
        let batch = items.to_vec();
        let insert = move |state: &mut State, in_part: bool| {
            let insert_one = |item| {
                if in_part && state.random.bool() {
                    return Insert::Failed("throttled".to_owned());
                }
                insert_item(state, item)
            };
            batch.into_iter().map(insert_one).collect()
        };
        let what = format!("insert {} items", items.len());
        let inserted = self.0.write_some(Store::Items, what, insert).await;
        inserted.unwrap_or_else(|failure| vec![Insert::Failed(failure.to_string()); items.len()])
    }

    async fn take_over(&self, items: &[TakeOver]) -> Vec<TakenOver> {
        let batch = items.to_vec();
        let take_over = move |state: &mut State, in_part: bool| {
            let take_one = |item| {
                if in_part && state.random.bool() {
                    return TakenOver::Failed("throttled".to_owned());
                }
                take_over_item(state, item)
            };
            batch.into_iter().map(take_one).collect()
        };
        let what = format!("take over {} items", items.len());
        let taken = self.0.write_some(Store::Items, what, take_over).await;
        taken.unwrap_or_else(|failure| vec![TakenOver::Failed(failure.to_string()); items.len()])
    }
}

fn insert_item(state: &mut State, item: Arc<Item>) -> Insert {
    if state.data.capacity.as_mut().is_some_and(|capacity| !capacity.take()) {
        state.count("items refused");
        return Insert::Failed("throttled".to_owned());
    }
    let key = (item.facts.tenant.clone(), item.facts.id.clone());
    if let Some(there) = state.data.items.get(&key) {
        let existing = Existing::from(there);
        state.count("items that existed");
        return Insert::Exists(existing);
    }
    state.data.standings.remove(&key);
    state.data.items.insert(key, Arc::unwrap_or_clone(item));
    state.count("items");
    Insert::Inserted
}

fn take_over_item(state: &mut State, item: TakeOver) -> TakenOver {
    match state.data.items.get_mut(&(item.tenant, item.id)) {
        Some(there) if there.origin == item.from => {
            there.origin = item.to;
            state.count("items taken over");
            TakenOver::Done
        }
        _ => TakenOver::Changed,
    }
}

impl Ledger for SimLedger {
    async fn read(&self, shard: &str) -> Result<Progress, LedgerFailure> {
        let name = shard.to_owned();
        let read = move |state: &mut State| state.data.ledger.get(&name).cloned().unwrap_or_default();
        Ok(self.0.read(Store::Ledger, format!("read {shard}"), read).await?)
    }

    async fn write(&self, shard: &str, progress: &Progress) -> Result<Written, LedgerFailure> {
        let (name, next) = (shard.to_owned(), progress.clone());
        let write = move |state: &mut State| {
            let now = state.data.ledger.entry(name).or_default();
            if now.version + 1 != next.version {
                state.count("ledger conflicts");
                return Written::Conflict;
            }
            *now = next;
            Written::Done
        };
        let kind = if progress.intent.is_some() { "intent" } else { "commit" };
        let what = format!("write {kind} {} of {shard}", progress.version);
        Ok(self.0.write(Store::Ledger, what, write).await?)
    }

    async fn note(&self, shard: &str, row: &ManifestRow) -> Result<(), LedgerFailure> {
        let (name, row) = (shard.to_owned(), row.clone());
        let what = format!("note {}", row.key);
        let note = move |state: &mut State| {
            let rows = state.data.manifest.entry(name).or_default();
            let before = rows.insert(row.first.clone(), row.clone());
            let is_other = before.is_some_and(|before| before != row);
            if is_other && !state.data.erased.objects.contains(&row.key) {
                state.violation(format_args!("the manifest row of {} was replaced with another", row.key));
            }
        };
        Ok(self.0.write(Store::Ledger, what, note).await?)
    }
}

impl EventStream for SimStream {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        let (world, batch) = (self.0.world().clone(), records.to_vec());
        let poison = world.scenario().poison;
        let put = move |state: &mut State, in_part: bool| {
            let mut put_one = |StreamRecord { partition_key, data }: StreamRecord| {
                if in_part && state.random.bool() {
                    return Put::Refused(Refusal::Internal("throttled".to_owned()));
                }
                let number = state.data.put(&partition_key, data, world.now());
                if poison > 0 && state.is_failing() && state.random.u64(..1_000) < poison {
                    state.count("records that crash the consumer");
                    state.data.poison.insert(number);
                }
                Put::Taken
            };
            batch.into_iter().map(&mut put_one).collect()
        };
        let what = format!("put {} records", records.len());
        let result = self.0.write_some(Store::Stream, what, put).await;
        result.map_err(|failure| {
            let why = failure.to_string();
            if failure.is_clear { StreamFailure::Refused(why) } else { StreamFailure::Ambiguous(why) }
        })
    }
}

impl SpillQueue for SimSpill {
    async fn send(&self, messages: &[SpillMessage]) -> Vec<Result<(), SpillFailure>> {
        let (world, batch) = (self.0.world().clone(), messages.to_vec());
        let send = move |state: &mut State, in_part: bool| {
            let send_one = |message: SpillMessage| {
                if in_part && state.random.bool() {
                    return Err(SpillFailure("refused".to_owned()));
                }
                state.data.spill.send(message.body(), world.now());
                state.count("messages spilled");
                Ok(())
            };
            batch.into_iter().map(send_one).collect()
        };
        let what = format!("send {} messages", messages.len());
        let answers = self.0.write_some(Store::Spill, what, send).await;
        answers.unwrap_or_else(|failure| vec![Err(SpillFailure(failure.to_string())); messages.len()])
    }
}
