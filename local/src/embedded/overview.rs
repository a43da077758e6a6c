//! What the page of the local run reads besides the functions' ports. Every list has a limit, and is read from its end by an index.

use operate::deployment::NotedRow;
use rusqlite::{Connection, OptionalExtension, Row, params};
use shared::format::key;
use shared::id::{EventId, TenantId};
use shared::time::Timestamp;

use super::backlog::ShardBacklog;
use super::database::Database;
use super::error::DatabaseError;
use super::ledger::noted;

/// On a connection of its own: nothing waits for it.
#[derive(Clone)]
pub(crate) struct Overview(pub(crate) Database);

/// An item in a list.
pub(crate) struct ListedItem {
    pub(crate) tenant: TenantId,
    pub(crate) id: EventId,
    pub(crate) tier: String,
    pub(crate) received_at: String,
    /// The first 200 characters of the transformed text, if the item has one.
    pub(crate) text: Option<String>,
}

/// A record that the stream still has.
pub(crate) struct StreamedRecord {
    pub(crate) arrival: Timestamp,
    pub(crate) bytes: u64,
}

impl Overview {
    pub(crate) async fn shards(&self) -> Result<Vec<ShardBacklog>, DatabaseError> {
        self.0.call(|connection| super::backlog::shards(connection)).await
    }

    /// The objects that were noted last, the last first.
    pub(crate) async fn objects(&self, limit: u32) -> Result<Vec<NotedRow>, DatabaseError> {
        let select = "SELECT * FROM manifest ORDER BY rowid DESC LIMIT ?1";
        self.rows(select, limit, |row| Ok(noted(row))).await
    }

    /// The number of the object that was noted last.
    pub(crate) async fn last_object(&self) -> Result<i64, DatabaseError> {
        let last = |connection: &mut Connection| {
            connection.query_row("SELECT coalesce(max(rowid), 0) FROM manifest", [], |row| row.get(0))
        };
        self.0.call(last).await
    }

    /// The objects that were noted after that one, each with its number, the first one first.
    pub(crate) async fn objects_after(
        &self,
        number: i64,
        limit: u32,
    ) -> Result<Vec<(i64, NotedRow)>, DatabaseError> {
        let list = move |connection: &mut Connection| {
            let select = "SELECT rowid AS row_id, * FROM manifest WHERE rowid > ?1 ORDER BY rowid LIMIT ?2";
            let read = |row: &Row<'_>| Ok((row.get("row_id")?, noted(row)));
            connection.prepare_cached(select)?.query_map(params![number, limit], read)?.collect()
        };
        self.0.call(list).await
    }

    /// The items that were inserted last, the last first.
    pub(crate) async fn items(&self, limit: u32) -> Result<Vec<ListedItem>, DatabaseError> {
        let select = "SELECT pk, sk, tier, received_at, substr(modified_data, 1, 200) FROM items
             ORDER BY rowid DESC LIMIT ?1";
        let items = self.rows(select, limit, |row| {
            let [pk, sk] = [row.get::<_, String>(0)?, row.get(1)?];
            let (tier, received_at, text) = (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok(key::item_name(&pk, &sk).map(|(tenant, id)| ListedItem {
                tenant,
                id,
                tier,
                received_at,
                text,
            }))
        });
        Ok(items.await?.into_iter().flatten().collect())
    }

    /// Tenants with items, in the order of their names. Each costs a look into the index, however many items it has.
    pub(crate) async fn tenants(&self, limit: u32) -> Result<Vec<TenantId>, DatabaseError> {
        let select = "WITH RECURSIVE tenants (pk) AS (SELECT min(pk) FROM items
             UNION ALL SELECT (SELECT min(pk) FROM items WHERE pk > tenants.pk) FROM tenants WHERE pk IS NOT NULL)
             SELECT pk FROM tenants WHERE pk IS NOT NULL LIMIT ?1";
        let partitions = self.rows(select, limit, |row| row.get::<_, String>(0)).await?;
        Ok(partitions.iter().filter_map(|partition| key::item_tenant(partition)).collect())
    }

    /// `None` if it expired.
    pub(crate) async fn record(
        &self,
        sequence_number: &str,
    ) -> Result<Option<StreamedRecord>, DatabaseError> {
        let sequence_number = sequence_number.to_owned();
        let find = move |connection: &mut Connection| {
            let mut select = connection.prepare_cached(
                "SELECT arrival_ms, length(data) FROM records WHERE sequence = CAST(substr(?1, 3) AS INTEGER)",
            )?;
            let record = |row: &Row<'_>| {
                let (arrival, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
                Ok(StreamedRecord { arrival: Timestamp::from_unix_ms(arrival), bytes: bytes.unsigned_abs() })
            };
            select.query_row(params![sequence_number], record).optional()
        };
        self.0.call(find).await
    }

    async fn rows<T: Send + 'static>(
        &self,
        select: &'static str,
        limit: u32,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, DatabaseError> {
        let list = move |connection: &mut Connection| {
            connection.prepare_cached(select)?.query_map([limit], read)?.collect()
        };
        self.0.call(list).await
    }
}
