//! Stores in memory that fail by plan.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use shared::format::dispatch_message::DispatchMessage;
use shared::gzip::{self, Cap};
use shared::limits;
pub(super) use shared::objects::memory::Fault;
use shared::objects::memory::{MemoryObjects, Plan, no_faults};

use crate::dispatch::{DispatchFailure, DispatchQueue, OutgoingDispatch};
use crate::items::{Insert, Item, ItemStore, TakeOver, TakenOver};
use crate::ledger::{Ledger, LedgerFailure, Progress, Written};
use shared::format::manifest_row::ManifestRow;

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
    /// From now on, calls for an event's item fail as `plan` says for its id, or for `take over` and its id.
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
            return Insert::Exists(there.into());
        }
        stored.insert(key, item.clone());
        Insert::Inserted
    }
}

impl ItemStore for Items {
    async fn insert(&self, items: &[Arc<Item>]) -> Vec<Insert> {
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

/// The dispatch queue.
#[derive(Clone)]
pub(super) struct DispatchMessages {
    sent: Arc<Mutex<Vec<OutgoingDispatch>>>,
    plan: Plan,
}

impl Default for DispatchMessages {
    fn default() -> Self {
        Self { sent: Arc::default(), plan: no_faults() }
    }
}

impl DispatchMessages {
    /// From now on, messages fail as `plan` says for their tenant.
    pub(super) fn fail(&mut self, plan: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        self.plan = Arc::new(Mutex::new(plan));
    }

    /// Takes the messages that were sent.
    pub(super) fn take(&self) -> Vec<DispatchMessage> {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        sent.iter().map(|message| DispatchMessage::read(&message.body).unwrap()).collect()
    }
}

impl DispatchQueue for DispatchMessages {
    async fn send(&self, messages: &[OutgoingDispatch]) -> Vec<Result<(), DispatchFailure>> {
        let bytes: usize = messages.iter().map(|message| message.body.len()).sum();
        assert!(messages.len() <= limits::BATCH_MESSAGES && bytes <= limits::MESSAGE_BYTES);
        let mut answers = Vec::new();
        for message in messages {
            let fault = (self.plan.lock().unwrap())(message.tenant.as_str());
            if !matches!(fault, Some(Fault::Throttled | Fault::Refused | Fault::Hangs)) {
                self.sent.lock().unwrap().push(message.clone());
            }
            answers.push(match fault {
                None => Ok(()),
                Some(Fault::Hangs) => pending().await,
                Some(_) => Err(DispatchFailure("internal error".to_owned())),
            });
        }
        answers
    }
}

/// Readers of what the consumer writes to the bucket.
pub(super) trait WrittenLines {
    /// The lines of all archive objects, in the order of their keys.
    fn archived(&self) -> Vec<Value>;

    /// The lines of all quarantine objects.
    fn quarantined(&self) -> Vec<Value>;

    /// `tenant/id` of every archived line, sorted.
    fn archived_keys(&self) -> Vec<String> {
        let key =
            |line: &Value| format!("{}/{}", line["tenant"].as_str().unwrap(), line["id"].as_str().unwrap());
        let mut keys: Vec<_> = self.archived().iter().map(key).collect();
        keys.sort();
        keys
    }
}

impl WrittenLines for MemoryObjects {
    fn archived(&self) -> Vec<Value> {
        let cap = Cap { bytes: 1 << 30, ratio: 2_000 };
        let text = |key: &String| gzip::inflate(&self.bytes(key), cap).unwrap();
        self.keys("events/").iter().flat_map(|key| lines(&text(key))).collect()
    }

    fn quarantined(&self) -> Vec<Value> {
        self.keys("errors/").iter().flat_map(|key| lines(&self.bytes(key))).collect()
    }
}

fn lines(object: &[u8]) -> Vec<Value> {
    let lines = object.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
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
    /// From now on, calls fail as `plan` says for `read`, `write` or `note`.
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
                Err(LedgerFailure::NoAnswer("internal error".to_owned()))
            }
            Some(Fault::Throttled | Fault::Refused) => Err(LedgerFailure::NoAnswer("throttled".to_owned())),
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
