//! The adapters' ports, with the plan's faults on every call.

use bytes::Bytes;
use consumer_fn::items::{Insert, Item, ItemStore};
use consumer_fn::objects::{Covers, Created, ObjectFailure, ObjectStore};
use ingest_fn::publish::{EventStream, Put, Refusal, StreamFailure, StreamRecord};
use ingest_fn::{SpillFailure, SpillMessage, SpillQueue};
use local::adapters::Adapters;
use local::embedded::{EmbeddedItems, EmbeddedObjects, EmbeddedQueue, EmbeddedStream};

use crate::faults::{Fault, Faults, Operation, die};

/// The embedded adapters, each behind the plan.
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
}

struct Faulty<A> {
    inner: A,
    faults: Faults,
}

impl<S: EventStream> EventStream for Faulty<S> {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        let throttled = || Put::Refused(Refusal::Throttled("by the fault plan".to_owned()));
        match self.faults.strike(Operation::StreamPut) {
            None => self.inner.put(records).await,
            Some(Fault::Refuse) => Ok(records.iter().map(|_| throttled()).collect()),
            Some(Fault::RefuseSome) => {
                let taken: Vec<_> = records.iter().skip(1).step_by(2).cloned().collect();
                let mut puts = self.inner.put(&taken).await?.into_iter();
                let put =
                    |index| if index % 2 == 1 { puts.next().unwrap_or_else(throttled) } else { throttled() };
                Ok((0..records.len()).map(put).collect())
            }
            Some(Fault::FailAfter) => {
                self.inner.put(records).await?;
                Err(StreamFailure::Ambiguous("by the fault plan".to_owned()))
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::DieBefore) => die(),
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
        match self.faults.strike(Operation::SpillSend) {
            None => self.inner.send(messages).await,
            Some(Fault::Refuse | Fault::RefuseSome) => failed(),
            Some(Fault::FailAfter) => {
                self.inner.send(messages).await;
                failed()
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::DieBefore) => die(),
            Some(Fault::DieAfter) => {
                self.inner.send(messages).await;
                die()
            }
        }
    }
}

impl<S: ItemStore> ItemStore for Faulty<S> {
    async fn insert(&self, items: &[Item]) -> Vec<Insert> {
        let failed = || Insert::Failed("by the fault plan".to_owned());
        match self.faults.strike(Operation::ItemsInsert) {
            None => self.inner.insert(items).await,
            Some(Fault::Refuse) => items.iter().map(|_| failed()).collect(),
            Some(Fault::RefuseSome) => {
                let inserted: Vec<_> = items.iter().skip(1).step_by(2).cloned().collect();
                let mut outcomes = self.inner.insert(&inserted).await.into_iter();
                let outcome =
                    |index| if index % 2 == 1 { outcomes.next().unwrap_or_else(failed) } else { failed() };
                (0..items.len()).map(outcome).collect()
            }
            Some(Fault::FailAfter) => {
                self.inner.insert(items).await;
                items.iter().map(|_| failed()).collect()
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::DieBefore) => die(),
            Some(Fault::DieAfter) => {
                self.inner.insert(items).await;
                die()
            }
        }
    }
}

impl<S: ObjectStore> Faulty<S> {
    /// A write behind the plan.
    async fn write<T>(
        &self,
        operation: Operation,
        write: impl Future<Output = Result<T, ObjectFailure>>,
    ) -> Result<T, ObjectFailure> {
        let failure = || ObjectFailure("by the fault plan".to_owned());
        match self.faults.strike(operation) {
            None => write.await,
            Some(Fault::Refuse | Fault::RefuseSome) => Err(failure()),
            Some(Fault::FailAfter) => {
                write.await?;
                Err(failure())
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::DieBefore) => die(),
            Some(Fault::DieAfter) => {
                let _written = write.await;
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
        covers: Option<&Covers>,
    ) -> Result<Created, ObjectFailure> {
        self.write(Operation::ObjectsPutIfAbsent, self.inner.put_if_absent(key, bytes, covers)).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        self.write(Operation::ObjectsPut, self.inner.put(key, bytes)).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectFailure> {
        self.inner.get(key).await
    }

    async fn covers(&self, key: &str) -> Result<Option<Covers>, ObjectFailure> {
        self.inner.covers(key).await
    }
}
