//! What became of an event's dispatch, noted on its item.

use dispatch_fn::DispatchItems;
use dispatch_fn::items::{ItemFailure, Noted};
use dispatch_fn::standing::{Standing, Status};
use rusqlite::{OptionalExtension, Row, named_params, params};
use shared::format::item::{DELIVERED, FAILED};
use shared::format::key;
use shared::id::{EventId, TenantId};

use super::error::DatabaseError;
use super::items::EmbeddedItems;

const READ: &str =
    "SELECT dispatch_status, coalesce(dispatch_attempts, 0) FROM items WHERE pk = ?1 AND sk = ?2";

/// A row that is not delivered. The attempts are those that are given, or one more than before.
const UPDATE: &str = "UPDATE items SET dispatch_status = :status, dispatch_reason = :reason, dispatch_attempts = coalesce(:attempts, dispatch_attempts + 1, 1)
     WHERE pk = :pk AND sk = :sk AND dispatch_status IS NOT 'delivered'";

impl EmbeddedItems {
    async fn note(
        &self,
        tenant: &TenantId,
        id: &EventId,
        status: Option<&'static str>,
        reason: Option<&str>,
        attempts: Option<u32>,
    ) -> Result<Noted, ItemFailure> {
        let (pk, sk) = (key::item_partition(tenant), key::item_sort(id));
        let reason = reason.map(str::to_owned);
        let noted = self.0.write(move |transaction| {
            let values =
                named_params! {":status": status, ":reason": reason, ":attempts": attempts, ":pk": pk, ":sk": sk};
            let changed = transaction.prepare_cached(UPDATE)?.execute(values)?;
            let found = transaction.prepare_cached(READ)?.query_row(params![pk, sk], standing).optional()?;
            Ok(match found {
                None => Noted::Gone,
                Some(found) if changed == 1 => Noted::Attempts(found.attempts),
                Some(_) => Noted::Delivered,
            })
        });
        noted.await.map_err(|error| failure(&error))
    }
}

impl DispatchItems for EmbeddedItems {
    async fn read(&self, tenant: &TenantId, id: &EventId) -> Result<Option<Standing>, ItemFailure> {
        let (pk, sk) = (key::item_partition(tenant), key::item_sort(id));
        let read = self.0.call(move |connection| {
            connection.prepare_cached(READ)?.query_row(params![pk, sk], standing).optional()
        });
        read.await.map_err(|error| failure(&error))
    }

    async fn delivered(&self, tenant: &TenantId, id: &EventId) -> Result<Noted, ItemFailure> {
        self.note(tenant, id, Some(DELIVERED), None, None).await
    }

    async fn attempt_failed(
        &self,
        tenant: &TenantId,
        id: &EventId,
        reason: &str,
    ) -> Result<Noted, ItemFailure> {
        self.note(tenant, id, None, Some(reason), None).await
    }

    async fn failed(
        &self,
        tenant: &TenantId,
        id: &EventId,
        reason: &str,
        attempts: u32,
    ) -> Result<Noted, ItemFailure> {
        self.note(tenant, id, Some(FAILED), Some(reason), Some(attempts)).await
    }
}

fn standing(row: &Row<'_>) -> rusqlite::Result<Standing> {
    let status: Option<String> = row.get(0)?;
    Ok(Standing { status: status.and_then(|status| Status::parse(&status)), attempts: row.get(1)? })
}

fn failure(error: &DatabaseError) -> ItemFailure {
    ItemFailure(error.to_string())
}

#[cfg(test)]
mod tests {
    use consumer_fn::items::{Insert, ItemStore};

    use super::*;
    use crate::embedded::database::Database;
    use shared::format::item::Item;

    #[tokio::test]
    async fn notes_change_an_item_until_it_is_delivered() {
        let folder = tempfile::tempdir().unwrap();
        let items = EmbeddedItems(Database::open(&folder.path().join("items.sqlite")).unwrap());
        let (tenant, id) = (Item::example().facts.tenant, Item::example().facts.id);
        assert_eq!(items.read(&tenant, &id).await.unwrap(), None);
        assert_eq!(items.delivered(&tenant, &id).await.unwrap(), Noted::Gone);
        assert_eq!(items.insert(&[Item::example().into()]).await, [Insert::Inserted]);
        let check = async |status, attempts| {
            assert_eq!(items.read(&tenant, &id).await.unwrap(), Some(Standing { status, attempts }));
        };
        check(None, 0).await;
        assert_eq!(items.attempt_failed(&tenant, &id, "503").await.unwrap(), Noted::Attempts(1));
        assert_eq!(items.attempt_failed(&tenant, &id, "503").await.unwrap(), Noted::Attempts(2));
        check(None, 2).await;
        assert_eq!(items.failed(&tenant, &id, "400", 1).await.unwrap(), Noted::Attempts(1));
        check(Some(Status::Failed), 1).await;
        assert_eq!(items.attempt_failed(&tenant, &id, "503").await.unwrap(), Noted::Attempts(2));
        check(None, 2).await;
        assert_eq!(items.delivered(&tenant, &id).await.unwrap(), Noted::Attempts(3));
        assert_eq!(items.failed(&tenant, &id, "400", 3).await.unwrap(), Noted::Delivered);
        check(Some(Status::Delivered), 3).await;
    }
}
