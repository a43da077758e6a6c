//! An object store in memory, for tests. It fails by plan.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Created, FoundObject, ObjectFailure, ObjectStore};
use crate::origin::ShardPosition;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has no effect, and an error as its answer.
    Throttled,
    /// It has its effect, and an error as its answer.
    Lost,
    /// It is never answered.
    Hangs,
    /// It has no effect and never will have.
    Refused,
}

/// Returns the fault of a call. The call is named by its effect, such as `put claims/a`.
pub type Plan = Arc<Mutex<dyn FnMut(&str) -> Option<Fault> + Send>>;

/// A plan without faults.
pub fn no_faults() -> Plan {
    Arc::new(Mutex::new(|_: &str| None))
}

/// A bucket in memory. Clones share its objects.
#[derive(Clone)]
pub struct MemoryObjects {
    stored: Arc<Mutex<BTreeMap<String, FoundObject>>>,
    plan: Plan,
}

impl Default for MemoryObjects {
    fn default() -> Self {
        Self { stored: Arc::default(), plan: no_faults() }
    }
}

impl fmt::Debug for MemoryObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.stored().keys()).finish()
    }
}

impl MemoryObjects {
    /// From now on calls fail as `plan` says for `put key`, `get key`, `range key offset+length` or `find key`.
    pub fn fail(&mut self, plan: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        self.plan = Arc::new(Mutex::new(plan));
    }

    /// Stores an object, whatever the plan.
    pub fn add(&self, key: &str, bytes: impl Into<Bytes>) {
        self.stored().insert(key.to_owned(), FoundObject { bytes: bytes.into(), covers_end: None });
    }

    /// The object's bytes. Panics if it does not exist.
    pub fn bytes(&self, key: &str) -> Bytes {
        self.stored()[key].bytes.clone()
    }

    /// The keys that begin with `prefix`.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.stored().keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    fn stored(&self) -> MutexGuard<'_, BTreeMap<String, FoundObject>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call<T>(&self, effect: String, call: impl FnOnce() -> T) -> Result<T, ObjectFailure> {
        let fault = (self.plan.lock().unwrap_or_else(PoisonError::into_inner))(&effect);
        match fault {
            None => Ok(call()),
            Some(Fault::Hangs) => pending().await,
            Some(Fault::Lost) => {
                call();
                Err(ObjectFailure("internal error".to_owned()))
            }
            Some(Fault::Throttled | Fault::Refused) => Err(ObjectFailure("slow down".to_owned())),
        }
    }
}

impl ObjectStore for MemoryObjects {
    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers_end: Option<&ShardPosition>,
    ) -> Result<Created, ObjectFailure> {
        let put = || {
            let mut stored = self.stored();
            if stored.contains_key(key) {
                return Created::Existed;
            }
            stored.insert(key.to_owned(), FoundObject { bytes, covers_end: covers_end.cloned() });
            Created::New
        };
        self.call(format!("put {key}"), put).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        self.call(format!("put {key}"), || self.add(key, bytes)).await
    }

    async fn find(&self, key: &str) -> Result<Option<FoundObject>, ObjectFailure> {
        self.call(format!("find {key}"), || self.stored().get(key).cloned()).await
    }

    async fn get_range(
        &self,
        key: &str,
        offset: usize,
        length: usize,
    ) -> Result<Option<Bytes>, ObjectFailure> {
        let get = || {
            self.stored().get(key).map(|found| {
                let end = found.bytes.len().min(offset.saturating_add(length));
                found.bytes.slice(offset.min(end)..end)
            })
        };
        self.call(format!("range {key} {offset}+{length}"), get).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectFailure> {
        let get = || self.stored().get(key).map(|found| found.bytes.clone());
        self.call(format!("get {key}"), get).await
    }
}
