//! What is stored, in memory. Reads fail if the test says so.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ingest_fn::reads::port::{EventReader, IndexEntry, IndexQuery, ReadFailure, StoredEvent};
use shared::format::facts::Source;
use shared::format::item::Item;
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

#[derive(Clone, Default)]
pub(crate) struct MemoryReader(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    items: BTreeMap<(TenantId, EventId), StoredEvent>,
    rows: Vec<ManifestRow>,
    fails: bool,
    hangs: bool,
    queries: Vec<IndexQuery>,
}

impl MemoryReader {
    pub(crate) fn add(&self, event: StoredEvent) {
        let facts = &event.item.facts;
        self.0.lock().unwrap().items.insert((facts.tenant.clone(), facts.id.clone()), event);
    }

    /// Deletes an item, but not its entry in the index, which DynamoDB deletes later.
    pub(crate) fn change(&self, tenant: &str, id: &str, change: impl FnOnce(&mut Item)) {
        let name = (TenantId::parse(tenant).unwrap(), EventId::parse(id).unwrap());
        change(&mut self.0.lock().unwrap().items.get_mut(&name).unwrap().item);
    }

    pub(crate) fn archive(&self, row: ManifestRow) {
        self.0.lock().unwrap().rows.push(row);
    }

    pub(crate) fn fail(&self) {
        self.0.lock().unwrap().fails = true;
    }

    pub(crate) fn hang(&self) {
        self.0.lock().unwrap().hangs = true;
    }

    /// The queries so far.
    pub(crate) fn queries(&self) -> Vec<IndexQuery> {
        self.0.lock().unwrap().queries.clone()
    }

    async fn call<T>(&self, call: impl FnOnce(&mut Stored) -> T) -> Result<T, ReadFailure> {
        if self.0.lock().unwrap().hangs {
            std::future::pending::<()>().await;
        }
        let mut stored = self.0.lock().unwrap();
        if stored.fails {
            Err(ReadFailure("table x of account 12".to_owned()))
        } else {
            Ok(call(&mut stored))
        }
    }
}

/// The order of the index among events of one time: not that of ids, as in DynamoDB.
fn rank(id: &EventId) -> Reverse<String> {
    Reverse(id.as_str().chars().rev().collect())
}

impl EventReader for MemoryReader {
    async fn entries(&self, query: &IndexQuery) -> Result<Vec<IndexEntry>, ReadFailure> {
        assert!(query.from <= query.last, "{query:?}");
        if let Some(after) = &query.after {
            // DynamoDB refuses a start that is outside of the query.
            assert!((query.from..=query.last).contains(&after.received_at), "{query:?}");
        }
        let list = |stored: &mut Stored| {
            stored.queries.push(query.clone());
            let in_partition = stored.items.values().filter(|event| {
                event.item.received_partition.as_ref() == Some(&query.partition)
                    && (query.from..=query.last).contains(&event.item.facts.received_at)
            });
            let mut entries: Vec<_> = in_partition
                .map(|event| IndexEntry {
                    received_at: event.item.facts.received_at,
                    id: event.item.facts.id.clone(),
                })
                .collect();
            let order = |entry: &IndexEntry| (Reverse(entry.received_at), rank(&entry.id));
            entries.sort_by_key(order);
            entries.retain(|entry| query.after.as_ref().is_none_or(|after| order(entry) > order(after)));
            entries.truncate(query.limit);
            entries
        };
        self.call(list).await
    }

    async fn find(&self, tenant: &TenantId, id: &EventId) -> Result<Option<StoredEvent>, ReadFailure> {
        self.call(|stored| stored.items.get(&(tenant.clone(), id.clone())).cloned()).await
    }

    async fn find_all(
        &self,
        tenant: &TenantId,
        ids: &[EventId],
    ) -> Result<Vec<Option<StoredEvent>>, ReadFailure> {
        assert!((1..=100).contains(&ids.len()), "DynamoDB takes 1 to 100 keys: {}", ids.len());
        let find = |stored: &mut Stored| {
            ids.iter().map(|id| stored.items.get(&(tenant.clone(), id.clone())).cloned()).collect()
        };
        self.call(find).await
    }

    async fn archive_object(&self, origin: &Origin) -> Result<Option<ManifestRow>, ReadFailure> {
        let at = ShardPosition::from(origin);
        self.call(|stored| stored.rows.iter().find(|row| row.first <= at && at < row.end).cloned()).await
    }
}

/// An event of a tenant, received at this time, in this partition of the index.
pub(crate) fn event(tenant: &str, id: &str, received_at: i64, partition: &str) -> StoredEvent {
    let received_at = Timestamp::from_unix_ms(received_at);
    let mut item = Item::smallest().with_texts("User 555-0199", "User [REDACTED]");
    let facts = &mut item.facts;
    (facts.tenant, facts.id) = (TenantId::parse(tenant).unwrap(), EventId::parse(id).unwrap());
    (facts.source, facts.received_at) = (Source::JsonUpload, received_at);
    item.processed_at = received_at;
    item.origin = Origin { shard: "shardId-0".into(), sequence_number: "495".into(), position: 1 };
    item.received_partition = Some(partition.to_owned());
    StoredEvent { item, dispatch_status: None }
}
