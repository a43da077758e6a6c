//! The embedded adapters with the faults of the plan.

use std::sync::Arc;

use bytes::Bytes;
use consumer_fn::dispatch::{DispatchFailure, DispatchQueue, OutgoingDispatch};
use consumer_fn::items::{Insert, Item, ItemStore, TakeOver, TakenOver};
use consumer_fn::ledger::{Ledger, LedgerFailure, Progress, Written};
use dispatch_fn::DispatchItems;
use dispatch_fn::items::{ItemFailure, Noted};
use dispatch_fn::standing::Standing;
use ingest_fn::publish::{EventStream, Put, Refusal, StreamFailure, StreamRecord};
use ingest_fn::{SpillFailure, SpillMessage, SpillQueue};
use local::adapters::Adapters;
use local::embedded::{EmbeddedItems, EmbeddedLedger, EmbeddedObjects, EmbeddedQueue, EmbeddedStream};
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::objects::{Created, FoundObject, ObjectFailure, ObjectStore};
use shared::origin::ShardPosition;

use crate::faults::{FaultPlan, Operation, PlannedFault, die};
use crate::late::LateEffect;

pub(crate) struct FaultyAdapters(pub(crate) FaultPlan);

impl Adapters for FaultyAdapters {
    fn stream(&self, stream: EmbeddedStream) -> impl EventStream {
        Faulty { inner: stream, faults: self.0.clone() }
    }

    fn spill(&self, queue: EmbeddedQueue) -> impl SpillQueue {
        Faulty { inner: queue, faults: self.0.clone() }
    }

    fn items(&self, items: EmbeddedItems) -> impl ItemStore {
        Faulty { inner: items, faults: self.0.clone() }
    }

    fn objects(&self, objects: EmbeddedObjects) -> impl ObjectStore {
        Faulty { inner: objects, faults: self.0.clone() }
    }

    fn ledger(&self, ledger: EmbeddedLedger) -> impl Ledger {
        Faulty { inner: ledger, faults: self.0.clone() }
    }

    fn dispatch(&self, queue: EmbeddedQueue) -> impl DispatchQueue {
        Faulty { inner: queue, faults: self.0.clone() }
    }

    fn dispatched(&self, items: EmbeddedItems) -> impl DispatchItems {
        Faulty { inner: items, faults: self.0.clone() }
    }
}

struct Faulty<A> {
    inner: A,
    faults: FaultPlan,
}

const PLANNED: &str = "by the fault plan";

impl<A> Faulty<A> {
    /// Makes a call, unless the plan has a fault for it. `instead` is the result of a call that fails. `late` is the
    /// effect in another process; a call without one takes effect at once.
    async fn call<T, F: Future<Output = T>>(
        &self,
        operation: Operation,
        call: impl Future<Output = T>,
        instead: impl FnOnce(PlannedFault) -> F,
        late: impl FnOnce() -> Option<LateEffect>,
    ) -> T {
        let Some(fault) = self.faults.next(operation) else { return call.await };
        match fault {
            PlannedFault::Refuse | PlannedFault::RefuseSome => {}
            PlannedFault::Hang => std::future::pending().await,
            PlannedFault::DieBefore => die(),
            PlannedFault::FailAfter => drop(call.await),
            PlannedFault::DieAfter => {
                call.await;
                die()
            }
            PlannedFault::Late => match late() {
                Some(effect) => effect.send_off(),
                None => drop(call.await),
            },
            PlannedFault::DieLate => {
                late().iter().for_each(LateEffect::send_off);
                die()
            }
        }
        instead(fault).await
    }

    /// A call that either has its whole effect or fails.
    async fn call_whole<T, E>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, E>>,
        failure: impl FnOnce(String) -> E,
        late: impl FnOnce() -> Option<LateEffect>,
    ) -> Result<T, E> {
        self.call(operation, call, |_| async { Err(failure(PLANNED.to_owned())) }, late).await
    }
}

/// The elements that [`PlannedFault::RefuseSome`] does not refuse.
fn every_second<T: Clone>(elements: &[T]) -> Vec<T> {
    elements.iter().skip(1).step_by(2).cloned().collect()
}

/// The results of [`every_second`] element, and `refused` for each of the others.
fn with_refused<T>(results: Vec<T>, count: usize, refused: impl Fn() -> T) -> Vec<T> {
    let mut results = results.into_iter();
    let mut result = |index| if index % 2 == 1 { results.next() } else { None };
    (0..count).map(|index| result(index).unwrap_or_else(&refused)).collect()
}

impl<S: EventStream> EventStream for Faulty<S> {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        let throttled = || Put::Refused(Refusal::Throttled(PLANNED.to_owned()));
        let instead = |fault| async move {
            match fault {
                PlannedFault::Refuse => Ok(records.iter().map(|_| throttled()).collect()),
                PlannedFault::RefuseSome => {
                    let puts = self.inner.put(&every_second(records)).await?;
                    Ok(with_refused(puts, records.len(), throttled))
                }
                _ => Err(StreamFailure::Ambiguous(PLANNED.to_owned())),
            }
        };
        self.call(Operation::StreamPut, self.inner.put(records), instead, || None).await
    }
}

impl<S: SpillQueue> SpillQueue for Faulty<S> {
    async fn send(&self, messages: &[SpillMessage]) -> Vec<Result<(), SpillFailure>> {
        let failed = |_| async { vec![Err(SpillFailure(PLANNED.to_owned())); messages.len()] };
        self.call(Operation::SpillSend, self.inner.send(messages), failed, || None).await
    }
}

impl<S: DispatchQueue> DispatchQueue for Faulty<S> {
    async fn send(&self, messages: &[OutgoingDispatch]) -> Vec<Result<(), DispatchFailure>> {
        let failed = || Err(DispatchFailure(PLANNED.to_owned()));
        let instead = |fault| async move {
            let sent = match fault {
                PlannedFault::RefuseSome => self.inner.send(&every_second(messages)).await,
                _ => Vec::new(),
            };
            with_refused(sent, messages.len(), failed)
        };
        self.call(Operation::DispatchSend, self.inner.send(messages), instead, || None).await
    }
}

impl<S: DispatchItems> DispatchItems for Faulty<S> {
    async fn read(&self, tenant: &TenantId, id: &EventId) -> Result<Option<Standing>, ItemFailure> {
        self.inner.read(tenant, id).await
    }

    async fn delivered(&self, tenant: &TenantId, id: &EventId) -> Result<Noted, ItemFailure> {
        let noted = self.inner.delivered(tenant, id);
        self.call_whole(Operation::DispatchNote, noted, ItemFailure, || None).await
    }

    async fn attempt_failed(&self, tenant: &TenantId, id: &EventId, why: &str) -> Result<Noted, ItemFailure> {
        self.inner.attempt_failed(tenant, id, why).await
    }

    async fn failed(
        &self,
        tenant: &TenantId,
        id: &EventId,
        why: &str,
        attempts: u32,
    ) -> Result<Noted, ItemFailure> {
        self.inner.failed(tenant, id, why, attempts).await
    }
}

impl<S: ItemStore> ItemStore for Faulty<S> {
    const CALL_ITEMS: usize = S::CALL_ITEMS;
    const CALLS: usize = S::CALLS;

    async fn insert(&self, items: &[Arc<Item>]) -> Vec<Insert> {
        self.faults.crash_on(items.iter().map(|item| item.facts.id.as_str()));
        let failed = || Insert::Failed(PLANNED.to_owned());
        let instead = |fault| async move {
            let inserted = match fault {
                PlannedFault::RefuseSome => self.inner.insert(&every_second(items)).await,
                _ => Vec::new(),
            };
            with_refused(inserted, items.len(), failed)
        };
        self.call(Operation::ItemsInsert, self.inner.insert(items), instead, || None).await
    }

    async fn take_over(&self, items: &[TakeOver]) -> Vec<TakenOver> {
        let failed = |_| async { vec![TakenOver::Failed(PLANNED.to_owned()); items.len()] };
        let late = || Some(LateEffect::take_over(items));
        self.call(Operation::ItemsTakeOver, self.inner.take_over(items), failed, late).await
    }
}

impl<S: ObjectStore> ObjectStore for Faulty<S> {
    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers_end: Option<&ShardPosition>,
    ) -> Result<Created, ObjectFailure> {
        let operation = if key.starts_with("events/") { Operation::ArchivePut } else { Operation::TextPut };
        let late = || covers_end.map(|end| LateEffect::put(key, &bytes, end));
        let put = self.inner.put_if_absent(key, bytes.clone(), covers_end);
        self.call_whole(operation, put, ObjectFailure, late).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        self.call_whole(Operation::QuarantinePut, self.inner.put(key, bytes), ObjectFailure, || None).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectFailure> {
        self.call_whole(Operation::ClaimGet, self.inner.get(key), ObjectFailure, || None).await
    }

    async fn find(&self, key: &str) -> Result<Option<FoundObject>, ObjectFailure> {
        self.inner.find(key).await
    }

    async fn get_range(
        &self,
        key: &str,
        offset: usize,
        length: usize,
    ) -> Result<Option<Bytes>, ObjectFailure> {
        self.inner.get_range(key, offset, length).await
    }
}

impl<L: Ledger> Ledger for Faulty<L> {
    async fn read(&self, shard: &str) -> Result<Progress, LedgerFailure> {
        self.call_whole(Operation::LedgerRead, self.inner.read(shard), LedgerFailure::NoAnswer, || None).await
    }

    async fn write(&self, shard: &str, progress: &Progress) -> Result<Written, LedgerFailure> {
        let operation =
            if progress.intent.is_some() { Operation::LedgerIntent } else { Operation::LedgerCommit };
        let late = || Some(LateEffect::write(shard, progress));
        self.call_whole(operation, self.inner.write(shard, progress), LedgerFailure::NoAnswer, late).await
    }

    async fn note(&self, shard: &str, row: &ManifestRow) -> Result<(), LedgerFailure> {
        self.call_whole(Operation::ManifestNote, self.inner.note(shard, row), LedgerFailure::NoAnswer, || {
            None
        })
        .await
    }
}
