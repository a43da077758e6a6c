//! The items table, and its insert-if-absent.

use consumer_fn::Origin;
use consumer_fn::items::{Existing, Insert, Item, ItemStore};
use rusqlite::{CachedStatement, Row, Transaction, named_params, params};
use shared::id::AdmissionId;
use shared::key;
use uuid::Uuid;

use super::{Database, DatabaseError};

/// Items in one transaction. Puts of the door wait for a transaction to end, and have 120 ms for an attempt.
const TRANSACTION_ITEMS: usize = 250;

/// Items in the database.
#[derive(Clone, Debug)]
pub struct EmbeddedItems(pub Database);

impl ItemStore for EmbeddedItems {
    async fn insert(&self, items: &[Item]) -> Vec<Insert> {
        let mut outcomes = Vec::with_capacity(items.len());
        for chunk in items.chunks(TRANSACTION_ITEMS) {
            let rows = chunk.to_vec();
            let inserted =
                self.0.write(move |transaction| rows.iter().map(|item| insert(transaction, item)).collect());
            match inserted.await {
                Ok(inserted) => {
                    let inserted: Vec<Insert> = inserted;
                    outcomes.extend(inserted);
                }
                Err(error) => outcomes.extend(chunk.iter().map(|_| failed(&error))),
            }
        }
        outcomes
    }
}

fn failed(error: &DatabaseError) -> Insert {
    Insert::Failed(error.to_string())
}

fn insert(transaction: &Transaction<'_>, item: &Item) -> rusqlite::Result<Insert> {
    let (pk, sk) = (key::item_partition(&item.tenant), key::item_sort(&item.id));
    let json = |value: &Option<shared::blob::BlobRef>| {
        value.as_ref().map(|blob| serde_json::to_string(blob).expect("a reference always serialises"))
    };
    let mut insert: CachedStatement<'_> = transaction.prepare_cached(
        "INSERT INTO items VALUES (:pk, :sk, :source, :original_text, :modified_data, :processed_at, :received_at, :event_time, :tier, :fields, :original_ref, :modified_ref, :fields_ref, :shard, :sequence_number, :position, :admission_id, :content_hash, :expires_at) ON CONFLICT DO NOTHING",
    )?;
    let inserted = insert.execute(named_params! {
        ":pk": pk,
        ":sk": sk,
        ":source": item.source.as_str(),
        ":original_text": item.original_text,
        ":modified_data": item.modified_data,
        ":processed_at": item.processed_at.to_string(),
        ":received_at": item.received_at.to_string(),
        ":event_time": item.event_time.map(|time| time.to_string()),
        ":tier": item.tier.as_str(),
        ":fields": item.fields.as_json(),
        ":original_ref": json(&item.original_ref),
        ":modified_ref": json(&item.modified_ref),
        ":fields_ref": json(&item.fields_ref),
        ":shard": &*item.origin.shard,
        ":sequence_number": &*item.origin.sequence_number,
        ":position": item.origin.position,
        ":admission_id": item.admission_id.to_string(),
        ":content_hash": item.content_hash,
        ":expires_at": item.expires_at,
    })?;
    if inserted == 1 {
        return Ok(Insert::Inserted);
    }
    transaction
        .prepare_cached(
            "SELECT shard, sequence_number, position, admission_id, content_hash FROM items WHERE pk = ?1 AND sk = ?2",
        )?
        .query_row(params![pk, sk], |row| existing(row).map(Insert::Exists))
}

fn existing(row: &Row<'_>) -> rusqlite::Result<Existing> {
    let admission: String = row.get(3)?;
    let admission = Uuid::parse_str(&admission).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, error.into())
    })?;
    let (shard, sequence_number): (String, String) = (row.get(0)?, row.get(1)?);
    Ok(Existing {
        origin: Origin {
            shard: shard.into(),
            sequence_number: sequence_number.into(),
            position: row.get(2)?,
        },
        admission_id: AdmissionId(admission),
        content_hash: row.get(4)?,
    })
}
