//! Stores in memory that fail by plan.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::Value;
use shared::format::manifest_row::ManifestRow;
use shared::gzip::{self, Cap};

use crate::items::{Existing, Insert, Item, ItemStore, TakeOver, TakenOver};
use crate::ledger::{Ledger, LedgerFailure, Progress, Written};
use crate::objects::{Created, Found, ObjectFailure, ObjectStore};
use crate::origin::ShardPosition;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing was done.
    Throttled,
    /// It was done, and the answer is an error.
    Lost,
    /// There is no answer.
    Hangs,
    /// It will never be done. (Items only.)
    Refused,
}

/// Says for each effect, named by its key, what goes wrong.
type Plan = Arc<Mutex<dyn FnMut(&str) -> Option<Fault> + Send>>;

fn no_faults() -> Plan {
    Arc::new(Mutex::new(|_: &str| None))
}

#[derive(Clone)]
pub(super) struct Items {
    stored: Arc<Mutex<BTreeMap<(String, String), Item>>>,
    calls: Arc<Mutex<Vec<usize>>>,
    plan: Plan,
}

impl Default for Items {
    fn default() -> Self {
        Self { stored: Arc::default(), calls: Arc::default(), plan: no_faults() }
    }
}

impl Items {
    /// From now on, what goes wrong with an event's item is what `plan` says for its id, or for `take over` and its id.
    pub(super) fn fail(&mut self, plan: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        self.plan = Arc::new(Mutex::new(plan));
    }

    pub(super) fn get(&self, tenant: &str, id: &str) -> Option<Item> {
        self.stored.lock().unwrap().get(&(tenant.to_owned(), id.to_owned())).cloned()
    }

    /// `tenant/id` of every item.
    pub(super) fn keys(&self) -> Vec<String> {
        self.stored.lock().unwrap().keys().map(|(tenant, id)| format!("{tenant}/{id}")).collect()
    }

    /// How many items each call had.
    pub(super) fn calls(&self) -> Vec<usize> {
        self.calls.lock().unwrap().clone()
    }

    fn insert_one(&self, item: &Item) -> Insert {
        let mut stored = self.stored.lock().unwrap();
        let key = (item.facts.tenant.to_string(), item.facts.id.to_string());
        if let Some(there) = stored.get(&key) {
            return Insert::Exists(Existing {
                origin: there.origin.clone(),
                admission_id: there.facts.admission_id,
                content_hash: there.content_hash.clone(),
            });
        }
        stored.insert(key, item.clone());
        Insert::Inserted
    }
}

impl ItemStore for Items {
    async fn insert(&self, items: &[Item]) -> Vec<Insert> {
        let mut keys: Vec<_> = items.iter().map(|item| (&item.facts.tenant, &item.facts.id)).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), items.len(), "two items with one key in one call");
        self.calls.lock().unwrap().push(items.len());

        let mut outcomes = Vec::new();
        for item in items {
            let fault = (self.plan.lock().unwrap())(item.facts.id.as_str());
            outcomes.push(match fault {
                None => self.insert_one(item),
                Some(Fault::Throttled) => Insert::Failed("throttled".to_owned()),
                Some(Fault::Refused) => Insert::Refused("validation".to_owned()),
                Some(Fault::Hangs) => pending().await,
                Some(Fault::Lost) => {
                    self.insert_one(item);
                    Insert::Failed("internal error".to_owned())
                }
            });
        }
        outcomes
    }

    async fn take_over(&self, items: &[TakeOver]) -> Vec<TakenOver> {
        let mut outcomes = Vec::new();
        for item in items {
            let fault = (self.plan.lock().unwrap())(&format!("take over {}", item.id));
            outcomes.push(match fault {
                None => self.take_over_one(item),
                Some(Fault::Throttled | Fault::Refused) => TakenOver::Failed("throttled".to_owned()),
                Some(Fault::Hangs) => pending().await,
                Some(Fault::Lost) => {
                    self.take_over_one(item);
                    TakenOver::Failed("internal error".to_owned())
                }
            });
        }
        outcomes
    }
}

impl Items {
    fn take_over_one(&self, item: &TakeOver) -> TakenOver {
        let mut stored = self.stored.lock().unwrap();
        match stored.get_mut(&(item.tenant.to_string(), item.id.to_string())) {
            Some(there) if there.origin == item.from => {
                there.origin = item.to.clone();
                TakenOver::Done
            }
            _ => TakenOver::Changed,
        }
    }
}

/// An object and its metadata.
type Stored = (Bytes, Option<ShardPosition>);

#[derive(Clone)]
pub(super) struct Objects {
    stored: Arc<Mutex<BTreeMap<String, Stored>>>,
    plan: Plan,
}

impl Default for Objects {
    fn default() -> Self {
        Self { stored: Arc::default(), plan: no_faults() }
    }
}

impl Objects {
    /// From now on, what goes wrong with an object is what `plan` says for `put key`, `get key` or `find key`.
    pub(super) fn fail(&mut self, plan: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        self.plan = Arc::new(Mutex::new(plan));
    }

    /// Puts an object there, whatever the plan.
    pub(super) fn add(&self, key: &str, bytes: impl Into<Bytes>) {
        self.stored.lock().unwrap().insert(key.to_owned(), (bytes.into(), None));
    }

    pub(super) fn bytes(&self, key: &str) -> Bytes {
        self.stored.lock().unwrap()[key].0.clone()
    }

    /// The keys below `prefix`.
    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        self.stored.lock().unwrap().keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// The lines of all archive objects, in the order of their keys.
    pub(super) fn archived(&self) -> Vec<Value> {
        let cap = Cap { bytes: 1 << 30, ratio: 2_000 };
        let text = |key: &String| gzip::inflate(&self.bytes(key), cap).unwrap();
        self.keys("events/").iter().flat_map(|key| lines(&text(key))).collect()
    }

    /// `tenant/id` of every archived line, sorted.
    pub(super) fn archived_keys(&self) -> Vec<String> {
        let key =
            |line: &Value| format!("{}/{}", line["tenant"].as_str().unwrap(), line["id"].as_str().unwrap());
        let mut keys: Vec<_> = self.archived().iter().map(key).collect();
        keys.sort();
        keys
    }

    /// The lines of all quarantine objects.
    pub(super) fn quarantined(&self) -> Vec<Value> {
        self.keys("errors/").iter().flat_map(|key| lines(&self.bytes(key))).collect()
    }

    async fn run<T>(&self, effect: String, run: impl FnOnce() -> T) -> Result<T, ObjectFailure> {
        let fault = (self.plan.lock().unwrap())(&effect);
        match fault {
            None => Ok(run()),
            Some(Fault::Hangs) => pending().await,
            Some(Fault::Lost) => {
                run();
                Err(ObjectFailure("internal error".to_owned()))
            }
            Some(Fault::Throttled | Fault::Refused) => Err(ObjectFailure("slow down".to_owned())),
        }
    }
}

fn lines(object: &[u8]) -> Vec<Value> {
    let lines = object.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

impl ObjectStore for Objects {
    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers_before: Option<&ShardPosition>,
    ) -> Result<Created, ObjectFailure> {
        let put = || {
            let mut stored = self.stored.lock().unwrap();
            if stored.contains_key(key) {
                return Created::Existed;
            }
            stored.insert(key.to_owned(), (bytes, covers_before.cloned()));
            Created::New
        };
        self.run(format!("put {key}"), put).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        let put = || {
            self.stored.lock().unwrap().insert(key.to_owned(), (bytes, None));
        };
        self.run(format!("put {key}"), put).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectFailure> {
        let get = || self.stored.lock().unwrap().get(key).map(|(bytes, _)| bytes.clone());
        self.run(format!("get {key}"), get).await
    }

    async fn find(&self, key: &str) -> Result<Option<Found>, ObjectFailure> {
        let find = || {
            let stored = self.stored.lock().unwrap();
            stored.get(key).cloned().map(|(bytes, covers_before)| Found { bytes, covers_before })
        };
        self.run(format!("find {key}"), find).await
    }
}

#[derive(Clone)]
pub(super) struct FakeLedger {
    progress: Arc<Mutex<Progress>>,
    rows: Arc<Mutex<BTreeMap<String, ManifestRow>>>,
    calls: Arc<Mutex<Vec<&'static str>>>,
    plan: Plan,
}

impl Default for FakeLedger {
    fn default() -> Self {
        Self { progress: Arc::default(), rows: Arc::default(), calls: Arc::default(), plan: no_faults() }
    }
}

impl FakeLedger {
    /// From now on, what goes wrong is what `plan` says for `read`, `write` or `note`.
    pub(super) fn fail(&mut self, plan: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        self.plan = Arc::new(Mutex::new(plan));
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.lock().unwrap().clone()
    }

    /// The manifest, by key.
    pub(super) fn rows(&self) -> BTreeMap<String, ManifestRow> {
        self.rows.lock().unwrap().clone()
    }

    /// What was called since the last time.
    pub(super) fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    async fn run<T>(&self, call: &'static str, run: impl FnOnce() -> T) -> Result<T, LedgerFailure> {
        self.calls.lock().unwrap().push(call);
        let fault = (self.plan.lock().unwrap())(call);
        match fault {
            None => Ok(run()),
            Some(Fault::Hangs) => pending().await,
            Some(Fault::Lost) => {
                run();
                Err(LedgerFailure("internal error".to_owned()))
            }
            Some(Fault::Throttled | Fault::Refused) => Err(LedgerFailure("throttled".to_owned())),
        }
    }
}

impl Ledger for FakeLedger {
    async fn read(&self, _shard: &str) -> Result<Progress, LedgerFailure> {
        self.run("read", || self.progress()).await
    }

    async fn write(&self, _shard: &str, progress: &Progress) -> Result<Written, LedgerFailure> {
        let write = || {
            let mut now = self.progress.lock().unwrap();
            if now.version + 1 != progress.version {
                return Written::Conflict;
            }
            *now = progress.clone();
            Written::Done
        };
        self.run("write", write).await
    }

    async fn note(&self, _shard: &str, row: &ManifestRow) -> Result<(), LedgerFailure> {
        let note = || {
            self.rows.lock().unwrap().insert(row.key.clone(), row.clone());
        };
        self.run("note", note).await
    }
}
