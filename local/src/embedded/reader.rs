//! Reading events back: items, their index by time, and the manifest.

use ingest_fn::reads::port::{EventReader, IndexEntry, IndexQuery, ReadFailure, StoredEvent};
use operate::deployment::ManifestPart;
use rusqlite::{Connection, OptionalExtension, Row, params};
use shared::format::item::{Attribute, Item};
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
        Ok(rows.into_iter().find(|row| position < row.end))
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
    let item = Item::read(|name| attribute(row, name)).map_err(|error| unreadable(0, error))?;
    // The column is there only where events are dispatched.
    let dispatch_status = match attribute(row, "dispatch_status") {
        Some(Attribute::Text(status)) => Some(status),
        _ => None,
    };
    Ok(StoredEvent { item, dispatch_status })
}

fn failure(error: impl std::fmt::Display) -> ReadFailure {
    ReadFailure(error.to_string())
}
