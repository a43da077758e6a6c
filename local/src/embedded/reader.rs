//! Reading events back: items, their index by time, and the manifest.

use ingest_fn::reads::port::{EventReader, IndexEntry, IndexQuery, ReadFailure, StoredEvent};
use operate::deployment::ManifestPart;
use rusqlite::{Connection, OptionalExtension, Row, params};
use shared::format::key;
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::origin::{Origin, ShardPosition};

use super::database::{Database, unreadable};
use super::ledger::{EmbeddedLedger, attribute};

/// On a connection of its own, so that reads do not wait for writes.
#[derive(Clone)]
pub struct EmbeddedReader(pub Database);

impl EventReader for EmbeddedReader {
    async fn entries(&self, query: &IndexQuery) -> Result<Vec<IndexEntry>, ReadFailure> {
        let query = query.clone();
        let list = move |connection: &mut Connection| {
            let mut select = connection.prepare_cached(
                "SELECT received_at, pk, sk FROM items
                 WHERE received_partition = ?1 AND received_at BETWEEN ?2 AND ?3 AND (?4 IS NULL OR (received_at, sk) < (?4, ?5))
                 ORDER BY received_at DESC, sk DESC LIMIT ?6",
            )?;
            let after = query.after.as_ref();
            let parameters = params![
                query.partition,
                query.from.to_string(),
                query.last.to_string(),
                after.map(|entry| entry.received_at.to_string()),
                after.map(|entry| key::item_sort(&entry.id)),
                i64::try_from(query.limit).unwrap_or(i64::MAX),
            ];
            select.query_map(parameters, entry)?.collect::<rusqlite::Result<_>>()
        };
        self.0.call(list).await.map_err(failure)
    }

    async fn find(&self, tenant: &TenantId, id: &EventId) -> Result<Option<StoredEvent>, ReadFailure> {
        Ok(self.find_all(tenant, std::slice::from_ref(id)).await?.pop().flatten())
    }

    async fn find_all(
        &self,
        tenant: &TenantId,
        ids: &[EventId],
    ) -> Result<Vec<Option<StoredEvent>>, ReadFailure> {
        let partition = key::item_partition(tenant);
        let sorts: Vec<_> = ids.iter().map(key::item_sort).collect();
        let find = move |connection: &mut Connection| {
            let mut select = connection.prepare_cached("SELECT * FROM items WHERE pk = ?1 AND sk = ?2")?;
            let mut find = |sort| select.query_row(params![partition, sort], event).optional();
            sorts.iter().map(&mut find).collect::<rusqlite::Result<_>>()
        };
        self.0.call(find).await.map_err(failure)
    }

    async fn archive_object(&self, origin: &Origin) -> Result<Option<ManifestRow>, ReadFailure> {
        let position = ShardPosition::from(origin);
        let ledger = EmbeddedLedger(self.0.clone());
        let rows = ledger.manifest(&origin.shard, ManifestPart::At(&position), 1).await.map_err(failure)?;
        let row = rows.into_iter().next().transpose().map_err(failure)?;
        Ok(row.filter(|row| position < row.end))
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<IndexEntry> {
    let (received_at, pk, sk): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let received_at = serde_json::from_value(received_at.into()).map_err(|error| unreadable(0, error))?;
    let (_, id) = key::item_name(&pk, &sk)
        .ok_or_else(|| unreadable(2, format!("`{pk} {sk}` is not as Tidegate writes it")))?;
    Ok(IndexEntry { received_at, id })
}

fn event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    StoredEvent::read(|name| attribute(row, name)).map_err(|error| unreadable(0, error))
}

fn failure(error: impl std::fmt::Display) -> ReadFailure {
    ReadFailure(error.to_string())
}

#[cfg(test)]
mod tests {
    use consumer_fn::ItemStore;
    use shared::time::Timestamp;

    use super::*;
    use shared::format::item::Item;

    fn tenant() -> TenantId {
        TenantId::parse("acme").unwrap()
    }

    fn id(id: &str) -> EventId {
        EventId::parse(id).unwrap()
    }

    /// A table with items of these ids and times, in one partition of the index, or in none.
    async fn table(items: &[(&str, i64, Option<&str>)]) -> (tempfile::TempDir, EmbeddedReader) {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("tidegate.sqlite")).unwrap();
        let items: Vec<_> = items
            .iter()
            .map(|(name, at, partition)| {
                let mut item = Item::example();
                item.facts.id = id(name);
                item.facts.received_at = Timestamp::from_unix_ms(*at);
                item.received_partition = partition.map(str::to_owned);
                item.into()
            })
            .collect();
        crate::embedded::EmbeddedItems(database.clone()).insert(&items).await;
        (folder, EmbeddedReader(database))
    }

    async fn walk(reader: &EmbeddedReader, from: i64, last: i64, limit: usize) -> Vec<String> {
        let at = Timestamp::from_unix_ms;
        let (from, last, partition) = (at(from), at(last), "tenants/acme".to_owned());
        let mut query = IndexQuery { tenant: tenant(), partition, from, last, after: None, limit };
        let mut all = Vec::new();
        loop {
            let entries = reader.entries(&query).await.unwrap();
            let is_last = entries.len() < limit;
            query.after = entries.last().cloned();
            all.extend(entries.into_iter().map(|entry| entry.id.as_str().to_owned()));
            if is_last {
                return all;
            }
        }
    }

    #[tokio::test]
    async fn a_partition_is_walked_newest_first_also_among_equal_times_whatever_the_limit() {
        let own = Some("tenants/acme");
        let items = [("a", 1, own), ("b/1", 2, own), ("ü", 2, own), ("d", 2, own), ("e", 3, own)];
        let others = [("x", 2, Some("tenants/acme#1")), ("y", 2, None)];
        let (_folder, reader) = table(&[&items[..], &others].concat()).await;
        let whole = walk(&reader, 0, 9, 100).await;
        assert_eq!((whole.len(), whole[0].as_str(), whole[4].as_str()), (5, "e", "a"));
        for limit in 1..6 {
            assert_eq!(walk(&reader, 0, 9, limit).await, whole, "{limit}");
        }
        assert_eq!(walk(&reader, 2, 2, 2).await.len(), 3);
        assert_eq!(walk(&reader, 3, 9, 2).await, ["e"]);
    }

    #[tokio::test]
    async fn the_index_is_used_and_holds_only_items_with_a_partition() {
        let (_folder, reader) = table(&[("a", 1, Some("tenants/acme")), ("b", 1, None)]).await;
        let plan = |connection: &mut Connection| {
            let mut explain = connection.prepare(
                "EXPLAIN QUERY PLAN SELECT received_at, pk, sk FROM items
                 WHERE received_partition = 'tenants/acme' AND received_at BETWEEN '1' AND '2' ORDER BY received_at DESC, sk DESC",
            )?;
            explain.query_map([], |row| row.get::<_, String>(3))?.collect::<rusqlite::Result<Vec<_>>>()
        };
        let plan = reader.0.call(plan).await.unwrap();
        assert!(plan.len() == 1 && plan[0].contains("items_by_received_at"), "{plan:?}");
    }

    #[tokio::test]
    async fn items_are_read_as_they_were_written_with_the_status_of_their_dispatch() {
        let (_folder, reader) = table(&[("a", 1, None)]).await;
        let found = reader.find_all(&tenant(), &[id("b"), id("a")]).await.unwrap();
        assert!(found[0].is_none());
        let event = found[1].clone().unwrap();
        let expected = {
            let mut item = Item::example();
            (item.facts.id, item.facts.received_at) = (id("a"), Timestamp::from_unix_ms(1));
            item.received_partition = None;
            item
        };
        assert_eq!((event.item, event.dispatch_status), (expected, None));
        assert_eq!(reader.find(&TenantId::parse("beta").unwrap(), &id("a")).await, Ok(None));

        let set = |connection: &mut Connection| {
            connection.execute("UPDATE items SET dispatch_status = 'delivered'", [])
        };
        assert_eq!(reader.0.call(set).await.unwrap(), 1);
        let event = reader.find(&tenant(), &id("a")).await.unwrap().unwrap();
        assert_eq!(event.dispatch_status.as_deref(), Some("delivered"));
    }
}
