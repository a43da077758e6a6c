//! The items table: inserts an item if it is absent, and takes an item over if its origin is unchanged.

use std::sync::Arc;

use consumer_fn::items::{Existing, Insert, Item, ItemStore, TakeOver, TakenOver};
use operate::deployment::{Attributes, ItemPage, NamedItem};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};
use shared::format::item::short;
use shared::format::key;
use shared::id::{EventId, TenantId};
use shared::origin::Origin;

use super::database::{Database, insert_row, unreadable};
use super::error::DatabaseError;
use super::ledger::attribute;

/// Items in one write. A transaction takes no more writes after 10 ms, and 250 items take 30 ms without optimisation.
const WRITE_ITEMS: usize = 250;

/// The item of a partition key and a sort key, for [`existing`].
const FIND: &str = "SELECT origin, admission, hash FROM items WHERE pk = ?1 AND sk = ?2";

#[derive(Clone)]
pub struct EmbeddedItems(pub Database);

impl ItemStore for EmbeddedItems {
    /// Writes that come at the same time share a transaction.
    const CALLS: usize = 4;

    async fn insert(&self, items: &[Arc<Item>]) -> Vec<Insert> {
        self.write_each(items, |transaction, item| insert(transaction, item), Insert::Failed).await
    }

    async fn take_over(&self, items: &[TakeOver]) -> Vec<TakenOver> {
        self.write_each(items, take_over, TakenOver::Failed).await
    }
}

impl EmbeddedItems {
    /// Writes the items, [`WRITE_ITEMS`] at a time. If one fails, all its items get the error.
    async fn write_each<I: Clone + Send + 'static, O: Send + 'static>(
        &self,
        items: &[I],
        write: fn(&Transaction<'_>, &I) -> rusqlite::Result<O>,
        failed: fn(String) -> O,
    ) -> Vec<O> {
        let mut outcomes = Vec::with_capacity(items.len());
        for chunk in items.chunks(WRITE_ITEMS) {
            let rows = chunk.to_vec();
            let written =
                self.0.write(move |transaction| rows.iter().map(|item| write(transaction, item)).collect());
            outcomes.extend(
                written.await.unwrap_or_else(|error| {
                    chunk.iter().map(|_| failed(error.to_string())).collect::<Vec<_>>()
                }),
            );
        }
        outcomes
    }

    /// The items with these names, in the same order; `None` if there is no such item that can be read.
    pub async fn find(
        &self,
        names: Vec<(TenantId, EventId)>,
    ) -> Result<Vec<Option<Existing>>, DatabaseError> {
        let find = move |connection: &mut Connection| {
            let mut select = connection.prepare_cached(FIND)?;
            let keys = names.iter().map(|(tenant, id)| (key::item_partition(tenant), key::item_sort(id)));
            let found = |row: &Row<'_>| Ok(existing(row).ok());
            keys.map(|(pk, sk)| Ok(select.query_row(params![pk, sk], found).optional()?.flatten())).collect()
        };
        self.0.call(find).await
    }

    /// The attributes of these items, under their names on AWS, in the same order; `None` if there is no such item.
    pub async fn attributes(
        &self,
        names: &[(TenantId, EventId)],
    ) -> Result<Vec<Option<Attributes>>, DatabaseError> {
        let keys: Vec<_> =
            names.iter().map(|(tenant, id)| (key::item_partition(tenant), key::item_sort(id))).collect();
        let read = move |connection: &mut Connection| {
            let mut select = connection.prepare_cached("SELECT * FROM items WHERE pk = ?1 AND sk = ?2")?;
            let columns: Vec<_> = select.column_names().map(str::to_owned).collect();
            let mut find = |key| select.query_row(key, |row| attributes(&columns, row)).optional();
            keys.into_iter().map(&mut find).collect()
        };
        self.0.call(read).await
    }

    /// At most `limit` items of a tenant, after the one with the sort key `after`, which is the cursor.
    pub async fn of_tenant(
        &self,
        tenant: &TenantId,
        after: Option<String>,
        limit: usize,
    ) -> Result<ItemPage, DatabaseError> {
        let pk = key::item_partition(tenant);
        let list = move |connection: &mut Connection| {
            let mut select = connection.prepare_cached(
                "SELECT pk, sk, origin, admission, hash, received_at, expires_at FROM items
                 WHERE pk = ?1 AND sk > ?2 ORDER BY sk LIMIT ?3",
            )?;
            let rows = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = select.query_map(params![pk, after.unwrap_or_default(), rows], |row| {
                Ok((NamedItem::read(|name| attribute(row, name)), row.get::<_, String>("sk")?))
            })?;
            let (read, keys): (Vec<_>, Vec<_>) = rows.collect::<Result<_, _>>()?;
            let last = keys.last().filter(|_| read.len() == limit);
            Ok(ItemPage::of(read, last.cloned()))
        };
        self.0.call(list).await
    }

    /// Deletes these items, those that still name this origin. Returns how many.
    pub async fn delete(&self, items: Vec<(TenantId, EventId, Origin)>) -> Result<usize, DatabaseError> {
        let delete = move |transaction: &Transaction<'_>| {
            let mut delete =
                transaction.prepare_cached("DELETE FROM items WHERE pk = ?1 AND sk = ?2 AND origin = ?3")?;
            let keys = items.iter().map(|(tenant, id, origin)| {
                (key::item_partition(tenant), key::item_sort(id), short::origin(origin))
            });
            keys.map(|key| delete.execute(key)).sum()
        };
        self.0.write(delete).await
    }

    /// At most `limit` items after the row `after`. The cursor is the last row's number.
    pub async fn list(&self, after: Option<i64>, limit: usize) -> Result<ItemPage, DatabaseError> {
        let list = move |connection: &mut Connection| {
            let mut select = connection.prepare_cached(
                "SELECT pk, sk, origin, admission, hash, received_at, expires_at, rowid FROM items
                 WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
            )?;
            let rows = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = select.query_map(params![after.unwrap_or(i64::MIN), rows], |row| {
                Ok((NamedItem::read(|name| attribute(row, name)), row.get::<_, i64>("rowid")?))
            })?;
            let (read, numbers): (Vec<_>, Vec<_>) = rows.collect::<Result<_, _>>()?;
            let last = numbers.last().filter(|_| read.len() == limit);
            Ok(ItemPage::of(read, last.map(i64::to_string)))
        };
        self.0.call(list).await
    }
}

/// The columns that are not null.
fn attributes(names: &[String], row: &Row<'_>) -> rusqlite::Result<Attributes> {
    let mut attributes = Attributes::new();
    for (index, name) in names.iter().enumerate() {
        let value = match row.get_ref(index)? {
            ValueRef::Text(_) => row.get::<_, String>(index)?.into(),
            // SQLite has no flags.
            ValueRef::Integer(flag) if name == "truncated" => (flag != 0).into(),
            ValueRef::Integer(number) => number.into(),
            _ => continue,
        };
        attributes.insert(name.clone(), value);
    }
    Ok(attributes)
}

fn insert(transaction: &Transaction<'_>, item: &Item) -> rusqlite::Result<Insert> {
    if insert_row(transaction, "INSERT INTO items", item.attributes(), "ON CONFLICT DO NOTHING")? == 1 {
        return Ok(Insert::Inserted);
    }
    let (pk, sk) = (key::item_partition(&item.facts.tenant), key::item_sort(&item.facts.id));
    let mut find = transaction.prepare_cached(FIND)?;
    find.query_row(params![pk, sk], |row| existing(row).map(Insert::Exists))
}

fn take_over(transaction: &Transaction<'_>, item: &TakeOver) -> rusqlite::Result<TakenOver> {
    let TakeOver { tenant, id, from, to } = item;
    let mut update = transaction
        .prepare_cached("UPDATE items SET origin = :to WHERE pk = :pk AND sk = :sk AND origin = :from")?;
    let changed = update.execute(named_params! {
        ":pk": key::item_partition(tenant),
        ":sk": key::item_sort(id),
        ":from": short::origin(from),
        ":to": short::origin(to),
    })?;
    Ok(if changed == 1 { TakenOver::Done } else { TakenOver::Changed })
}

fn existing(row: &Row<'_>) -> rusqlite::Result<Existing> {
    Existing::read(|name| attribute(row, name)).map_err(|error| unreadable(0, error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rusqlite::types::Value;
    use shared::format::item::{DISPATCH_ATTEMPTS, DISPATCH_REASON, DISPATCH_STATUS};

    use super::*;
    use crate::embedded::database::value;

    #[tokio::test]
    async fn a_row_has_the_columns_and_values_of_the_items_attributes() {
        let folder = tempfile::tempdir().unwrap();
        let items = EmbeddedItems(Database::open(&folder.path().join("tidegate.sqlite")).unwrap());
        assert_eq!(items.insert(&[Item::example().into()]).await, [Insert::Inserted]);
        let row = |connection: &mut Connection| {
            let mut select = connection.prepare("SELECT * FROM items")?;
            let names: Vec<_> = select.column_names().map(str::to_owned).collect();
            let columns = |row: &Row<'_>| (0..names.len()).map(|column| row.get(column)).collect();
            let values: Vec<Value> = select.query_row([], columns)?;
            Ok(names.into_iter().zip(values).collect::<BTreeMap<_, _>>())
        };
        let attribute = |(name, attribute): (&str, _)| (name.to_owned(), value(attribute));
        let mut expected: BTreeMap<_, _> = Item::example().attributes().into_iter().map(attribute).collect();
        for of_dispatch in [DISPATCH_STATUS, DISPATCH_ATTEMPTS, DISPATCH_REASON] {
            expected.insert(of_dispatch.to_owned(), Value::Null);
        }
        assert_eq!(items.0.call(row).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn an_item_is_read_back_under_its_attributes_names() {
        use consumer_fn::Attribute::{Flag, Number, Text};
        let folder = tempfile::tempdir().unwrap();
        let items = EmbeddedItems(Database::open(&folder.path().join("tidegate.sqlite")).unwrap());
        let item = Arc::new(Item::example());
        let name = (item.facts.tenant.clone(), item.facts.id.clone());
        let names = [(name.0.clone(), EventId::parse("other").unwrap()), name];
        assert_eq!(items.attributes(&names).await.unwrap(), [None, None]);
        assert_eq!(items.insert(std::slice::from_ref(&item)).await, [Insert::Inserted]);
        let plain = |(name, attribute): (&str, _)| {
            let value = match attribute {
                Text(text) => text.into(),
                Number(number) => number.into(),
                Flag(flag) => flag.into(),
            };
            (name.to_owned(), value)
        };
        let expected: Attributes = item.attributes().into_iter().map(plain).collect();
        assert_eq!(items.attributes(&names).await.unwrap(), [None, Some(expected)]);
    }
}
