//! The embedded adapters with the faults of the plan.

use bytes::Bytes;
use consumer_fn::items::{Insert, Item, ItemStore, TakeOver, TakenOver};
use consumer_fn::ledger::{Ledger, LedgerFailure, Progress, Written};
use ingest_fn::publish::{EventStream, Put, Refusal, StreamFailure, StreamRecord};
use ingest_fn::{SpillFailure, SpillMessage, SpillQueue};
use local::adapters::Adapters;
use local::embedded::{EmbeddedItems, EmbeddedLedger, EmbeddedObjects, EmbeddedQueue, EmbeddedStream};
use shared::format::manifest_row::ManifestRow;
use shared::objects::{Created, FoundObject, ObjectFailure, ObjectStore};
use shared::origin::ShardPosition;

use crate::faults::{Fault, Faults, Operation, die};
use crate::late::LateEffect;

pub(crate) struct FaultyAdapters(pub(crate) Faults);

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
}

struct Faulty<A> {
    inner: A,
    faults: Faults,
}

impl<S: EventStream> EventStream for Faulty<S> {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        let throttled = || Put::Refused(Refusal::Throttled("by the fault plan".to_owned()));
        match self.faults.next(Operation::StreamPut) {
            None => self.inner.put(records).await,
            Some(Fault::Refuse) => Ok(records.iter().map(|_| throttled()).collect()),
            Some(Fault::RefuseSome) => {
                let taken: Vec<_> = records.iter().skip(1).step_by(2).cloned().collect();
                let mut puts = self.inner.put(&taken).await?.into_iter();
                let put =
                    |index| if index % 2 == 1 { puts.next().unwrap_or_else(throttled) } else { throttled() };
                Ok((0..records.len()).map(put).collect())
            }
            Some(Fault::FailAfter | Fault::Late) => {
                self.inner.put(records).await?;
                Err(StreamFailure::Ambiguous("by the fault plan".to_owned()))
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::DieBefore | Fault::DieLate) => die(),
            Some(Fault::DieAfter) => {
                let _taken = self.inner.put(records).await;
                die()
            }
        }
    }
}

impl<S: SpillQueue> SpillQueue for Faulty<S> {
    async fn send(&self, messages: &[SpillMessage]) -> Vec<Result<(), SpillFailure>> {
        let failed = || vec![Err(SpillFailure("by the fault plan".to_owned())); messages.len()];
        match self.faults.next(Operation::SpillSend) {
            None => self.inner.send(messages).await,
            Some(Fault::Refuse | Fault::RefuseSome) => failed(),
            Some(Fault::FailAfter | Fault::Late) => {
                self.inner.send(messages).await;
                failed()
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::DieBefore | Fault::DieLate) => die(),
            Some(Fault::DieAfter) => {
                self.inner.send(messages).await;
                die()
            }
        }
    }
}

impl<S: ItemStore> ItemStore for Faulty<S> {
    async fn insert(&self, items: &[Item]) -> Vec<Insert> {
        self.faults.crash_on(items.iter().map(|item| item.facts.id.as_str()));
        let failed = || Insert::Failed("by the fault plan".to_owned());
        match self.faults.next(Operation::ItemsInsert) {
            None => self.inner.insert(items).await,
            Some(Fault::Refuse) => items.iter().map(|_| failed()).collect(),
            Some(Fault::RefuseSome) => {
                let inserted: Vec<_> = items.iter().skip(1).step_by(2).cloned().collect();
                let mut outcomes = self.inner.insert(&inserted).await.into_iter();
                let outcome =
                    |index| if index % 2 == 1 { outcomes.next().unwrap_or_else(failed) } else { failed() };
                (0..items.len()).map(outcome).collect()
            }
            Some(Fault::FailAfter | Fault::Late) => {
                self.inner.insert(items).await;
                items.iter().map(|_| failed()).collect()
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::DieBefore | Fault::DieLate) => die(),
            Some(Fault::DieAfter) => {
                self.inner.insert(items).await;
                die()
            }
        }
    }

    async fn take_over(&self, items: &[TakeOver]) -> Vec<TakenOver> {
        let failed = || vec![TakenOver::Failed("by the fault plan".to_owned()); items.len()];
        match self.faults.next(Operation::ItemsTakeOver) {
            None => self.inner.take_over(items).await,
            Some(Fault::Refuse | Fault::RefuseSome) => failed(),
            Some(Fault::FailAfter) => {
                self.inner.take_over(items).await;
                failed()
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::DieBefore) => die(),
            Some(Fault::DieAfter) => {
                self.inner.take_over(items).await;
                die()
            }
            Some(Fault::Late) => {
                LateEffect::take_over(items).send_off();
                failed()
            }
            Some(Fault::DieLate) => {
                LateEffect::take_over(items).send_off();
                die()
            }
        }
    }
}

impl<S> Faulty<S> {
    /// Makes a call, or what the plan says. `late` is the effect for faults that take effect later.
    async fn call<T, E>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, E>>,
        failure: impl Fn(String) -> E,
        late: impl FnOnce() -> Option<LateEffect>,
    ) -> Result<T, E> {
        let failed = || Err(failure("by the fault plan".to_owned()));
        match self.faults.next(operation) {
            None => call.await,
            Some(Fault::Refuse | Fault::RefuseSome) => failed(),
            Some(Fault::FailAfter) => {
                call.await?;
                failed()
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::DieBefore) => die(),
            Some(Fault::DieAfter) => {
                let _done = call.await;
                die()
            }
            Some(Fault::Late) => {
                late().expect("the plan has late faults only for operations with a late effect").send_off();
                failed()
            }
            Some(Fault::DieLate) => {
                late().expect("the plan has late faults only for operations with a late effect").send_off();
                die()
            }
        }
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
        self.call(operation, put, ObjectFailure, late).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        self.call(Operation::QuarantinePut, self.inner.put(key, bytes), ObjectFailure, || None).await
    }

    async fn find(&self, key: &str) -> Result<Option<FoundObject>, ObjectFailure> {
        self.inner.find(key).await
    }
}

impl<L: Ledger> Ledger for Faulty<L> {
    async fn read(&self, shard: &str) -> Result<Progress, LedgerFailure> {
        self.call(Operation::LedgerRead, self.inner.read(shard), LedgerFailure, || None).await
    }

    async fn write(&self, shard: &str, progress: &Progress) -> Result<Written, LedgerFailure> {
        let operation =
            if progress.intent.is_some() { Operation::LedgerIntent } else { Operation::LedgerCommit };
        let late = || Some(LateEffect::write(shard, progress));
        self.call(operation, self.inner.write(shard, progress), LedgerFailure, late).await
    }

    async fn note(&self, shard: &str, row: &ManifestRow) -> Result<(), LedgerFailure> {
        self.call(Operation::ManifestNote, self.inner.note(shard, row), LedgerFailure, || None).await
    }
}
