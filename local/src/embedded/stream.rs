//! The stream: shards with ranges of hashes, records in order, sequence numbers of 56 digits as Kinesis gives them.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use ingest_fn::publish::{EventStream, Put, StreamFailure, StreamRecord};
use md5::{Digest, Md5};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};
use shared::limits;
use shared::time::{Clock, Timestamp};

use super::{Database, DatabaseError};
use crate::event_source_mapping::ports::{ListedShard, Read, Record, Room, StreamReader, Tail};

/// How long records stay after they were processed. Unprocessed ones stay until they are.
const RETENTION: Duration = shared::limits::STREAM_RETENTION;

/// The stream, for writing.
#[derive(Clone, Debug)]
pub struct EmbeddedStream {
    database: Database,
    clock: Clock,
    open: Arc<RwLock<Vec<Shard>>>,
}

/// The stream, for reading: on a connection of its own, so that reads do not wait for puts.
#[derive(Clone, Debug)]
pub struct StreamRows(pub Database);

#[derive(Clone, Debug)]
struct Shard {
    id: String,
    first_hash: u128,
    last_hash: u128,
}

/// Why a shard cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// No open shard of that name.
    #[error("`{0}` is not an open shard")]
    NotOpen(String),
    /// It holds a single hash.
    #[error("`{0}` is too narrow to split")]
    TooNarrow(String),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl EmbeddedStream {
    /// The stream in `database`; if it has no shards yet, it gets `shards` of them, 1 or more, of equal width.
    pub async fn open(database: Database, shards: u16, clock: Clock) -> Result<Self, DatabaseError> {
        let open = database
            .write(move |transaction| {
                let existing: u32 =
                    transaction.query_row("SELECT count(*) FROM shards", [], |row| row.get(0))?;
                if existing == 0 {
                    create_evenly(transaction, u128::from(shards.max(1)))?;
                }
                open_shards(transaction)
            })
            .await?;
        Ok(Self { database, clock, open: Arc::new(RwLock::new(open)) })
    }

    /// The names of the shards that take records.
    pub fn open_shards(&self) -> Vec<String> {
        self.shards().into_iter().map(|shard| shard.id).collect()
    }

    /// Splits an open shard in the middle: it takes no more records, its two children do.
    pub async fn split(&self, shard: &str) -> Result<[String; 2], SplitError> {
        let parent = self.shards().into_iter().find(|open| open.id == shard);
        let parent = parent.ok_or_else(|| SplitError::NotOpen(shard.to_owned()))?;
        let middle = parent.first_hash + (parent.last_hash - parent.first_hash) / 2;
        if middle == parent.last_hash {
            return Err(SplitError::TooNarrow(parent.id));
        }
        let (children, open) = self
            .database
            .write(move |transaction| {
                let count: u128 = transaction
                    .query_row("SELECT count(*) FROM shards", [], |row| row.get::<_, u32>(0))?
                    .into();
                let ids = [shard_id(count), shard_id(count + 1)];
                let ranges = [(parent.first_hash, middle), (middle + 1, parent.last_hash)];
                for (id, (first, last)) in ids.iter().zip(ranges) {
                    create(transaction, id, Some(&parent.id), first, last)?;
                }
                transaction.execute("UPDATE shards SET closed = 1 WHERE id = ?1", [&parent.id])?;
                Ok((ids, open_shards(transaction)?))
            })
            .await?;
        *self.open.write().unwrap_or_else(std::sync::PoisonError::into_inner) = open;
        Ok(children)
    }

    /// Deletes records that were processed and are older than a day, and items past their time.
    pub async fn expire(&self) -> Result<(), DatabaseError> {
        let now = self.clock.now().unix_ms();
        let oldest = now - i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX);
        self.database
            .write(move |transaction| {
                transaction.execute(
                    "DELETE FROM records WHERE arrival_ms < ?1 AND sequence <= (SELECT CAST(substr(sequence_number, 3) AS INTEGER) FROM checkpoints WHERE checkpoints.shard = records.shard)",
                    [oldest],
                )?;
                transaction.execute("DELETE FROM items WHERE expires_at < ?1", [now / 1_000])?;
                Ok(())
            })
            .await
    }

    fn shards(&self) -> Vec<Shard> {
        self.open.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn shard_of(&self, partition_key: &str) -> String {
        let hash = u128::from_be_bytes(Md5::digest(partition_key).into());
        let shards = self.shards();
        let shard = shards.into_iter().find(|shard| (shard.first_hash..=shard.last_hash).contains(&hash));
        shard.expect("the open shards' ranges cover every hash").id
    }
}

impl EventStream for EmbeddedStream {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        if let Some(large) = records
            .iter()
            .find(|record| record.partition_key.len() + record.data.len() > limits::RECORD_BYTES)
        {
            // As Kinesis does: the whole call is refused.
            let bytes = large.partition_key.len() + large.data.len();
            return Err(StreamFailure::Refused(format!(
                "a record of {bytes} bytes exceeds {}",
                limits::RECORD_BYTES
            )));
        }
        let arrival = self.clock.now().unix_ms();
        let rows: Vec<(String, String, Bytes)> = records
            .iter()
            .map(|record| {
                (self.shard_of(&record.partition_key), record.partition_key.clone(), record.data.clone())
            })
            .collect();
        let count = rows.len();
        self.database
            .write(move |transaction| {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO records (shard, partition_key, arrival_ms, data) VALUES (?1, ?2, ?3, ?4)",
                )?;
                for (shard, partition_key, data) in &rows {
                    insert.execute(params![shard, partition_key, arrival, &data[..]])?;
                }
                Ok(())
            })
            .await
            .map_err(|error| match error {
                // The transaction did not begin, or was rolled back.
                DatabaseError::Sqlite(_) | DatabaseError::Schema { .. } => {
                    StreamFailure::Refused(error.to_string())
                }
                DatabaseError::Unfinished => StreamFailure::Ambiguous(error.to_string()),
            })?;
        Ok(std::iter::repeat_with(|| Put::Taken).take(count).collect())
    }
}

impl StreamReader for StreamRows {
    async fn shards(&self) -> anyhow::Result<Vec<ListedShard>> {
        let listed = self.0.call(|connection| {
            let mut select = connection.prepare_cached("SELECT id, parent FROM shards ORDER BY id")?;
            let rows = select.query_map([], |row| {
                let parent: Option<String> = row.get(1)?;
                Ok(ListedShard { id: row.get(0)?, parents: parent.into_iter().collect() })
            })?;
            rows.collect()
        });
        Ok(listed.await?)
    }

    async fn read(&self, shard: &str, after: Option<&str>, room: Room) -> anyhow::Result<Read> {
        let shard = shard.to_owned();
        let after = after.map_or(Ok(0), sequence)?;
        Ok(self.0.call(move |connection| read(connection, &shard, after, room)).await?)
    }
}

fn read(connection: &Connection, shard: &str, after: i64, room: Room) -> rusqlite::Result<Read> {
    // Asked before the records: a shard that is closed now got its last record before.
    let closed: Option<bool> = connection
        .prepare_cached("SELECT closed FROM shards WHERE id = ?1")?
        .query_row([shard], |row| row.get(0))
        .optional()?;
    let mut select = connection.prepare_cached(
        "SELECT sequence, partition_key, arrival_ms, data FROM records WHERE shard = :shard AND sequence > :after ORDER BY sequence",
    )?;
    let mut rows = select.query(named_params! {":shard": shard, ":after": after})?;
    let mut records = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let record = record(row)?;
        bytes += record.data.len();
        records.push(record);
        if records.len() >= room.records || bytes >= room.bytes {
            return Ok(Read { records, tail: Tail::More });
        }
    }
    let tail = if closed.unwrap_or(true) { Tail::Closed } else { Tail::Tip };
    Ok(Read { records, tail })
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        sequence_number: sequence_number(row.get(0)?),
        partition_key: row.get(1)?,
        arrival: Timestamp::from_unix_ms(row.get(2)?),
        data: row.get::<_, Vec<u8>>(3)?.into(),
    })
}

/// 56 digits that begin with 49, as in Kinesis, so that nobody takes them for a number that fits 64 bits.
fn sequence_number(sequence: i64) -> String {
    format!("49{sequence:054}")
}

fn sequence(sequence_number: &str) -> anyhow::Result<i64> {
    let digits = sequence_number.strip_prefix("49").filter(|digits| digits.len() == 54);
    let sequence = digits.and_then(|digits| digits.parse().ok());
    sequence
        .ok_or_else(|| anyhow::anyhow!("`{sequence_number}` is not a sequence number of the embedded stream"))
}

fn shard_id(number: u128) -> String {
    format!("shardId-{number:012}")
}

fn create_evenly(transaction: &Transaction<'_>, shards: u128) -> rusqlite::Result<()> {
    let width = u128::MAX / shards;
    for number in 0..shards {
        let last = if number == shards - 1 { u128::MAX } else { (number + 1) * width - 1 };
        create(transaction, &shard_id(number), None, number * width, last)?;
    }
    Ok(())
}

fn create(
    transaction: &Transaction<'_>,
    id: &str,
    parent: Option<&str>,
    first_hash: u128,
    last_hash: u128,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO shards (id, parent, first_hash, last_hash) VALUES (?1, ?2, ?3, ?4)",
        params![id, parent, format!("{first_hash:032x}"), format!("{last_hash:032x}")],
    )?;
    Ok(())
}

fn open_shards(connection: &Connection) -> rusqlite::Result<Vec<Shard>> {
    let hash = |row: &Row<'_>, column| {
        let digits: String = row.get(column)?;
        u128::from_str_radix(&digits, 16).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
        })
    };
    let mut select = connection
        .prepare("SELECT id, first_hash, last_hash FROM shards WHERE closed = 0 ORDER BY first_hash")?;
    let rows = select.query_map([], |row| {
        Ok(Shard { id: row.get(0)?, first_hash: hash(row, 1)?, last_hash: hash(row, 2)? })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Room = Room { records: 100, bytes: 1_000_000 };

    async fn stream(shards: u16) -> (tempfile::TempDir, EmbeddedStream, StreamRows) {
        let folder = tempfile::tempdir().unwrap();
        let open = || Database::open(&folder.path().join("stream.sqlite")).unwrap();
        let clock = Clock::fixed(Timestamp::from_unix_ms(1_000));
        let stream = EmbeddedStream::open(open(), shards, clock).await.unwrap();
        let rows = StreamRows(open());
        (folder, stream, rows)
    }

    fn record(partition_key: &str, data: &'static str) -> StreamRecord {
        StreamRecord { partition_key: partition_key.to_owned(), data: Bytes::from_static(data.as_bytes()) }
    }

    async fn read(rows: &StreamRows, shard: &str, after: Option<&str>, room: Room) -> (Vec<Record>, Tail) {
        let read = rows.read(shard, after, room).await.unwrap();
        (read.records, read.tail)
    }

    #[tokio::test]
    async fn records_come_back_in_order_behind_a_sequence_number() {
        let (_folder, stream, rows) = stream(1).await;
        for data in ["one", "two", "three"] {
            assert_eq!(stream.put(&[record("acme", data)]).await.unwrap(), [Put::Taken]);
        }
        let shard = &stream.open_shards()[0];
        let (records, tail) = read(&rows, shard, None, EVERYTHING).await;
        assert_eq!(tail, Tail::Tip);
        assert_eq!(records.iter().map(|r| &r.data[..]).collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);
        assert_eq!((records[0].sequence_number.len(), records[0].arrival.unix_ms()), (56, 1_000));

        let (behind, _) = read(&rows, shard, Some(&records[1].sequence_number), EVERYTHING).await;
        assert_eq!(behind, records[2..]);
        let (first, tail) = read(&rows, shard, None, Room { records: 100, bytes: 1 }).await;
        assert_eq!((first.len(), tail), (1, Tail::More));
    }

    #[tokio::test]
    async fn a_partition_key_stays_in_its_shard_and_keys_use_every_shard() {
        let (_folder, stream, _rows) = stream(4).await;
        let shards: std::collections::BTreeSet<_> =
            (0..100).map(|n| stream.shard_of(&format!("t{n}"))).collect();
        assert_eq!(shards.len(), 4);
        assert_eq!(stream.shard_of("acme"), stream.shard_of("acme"));
    }

    #[tokio::test]
    async fn a_split_closes_the_parent_and_its_children_take_its_keys() {
        let (_folder, stream, rows) = stream(1).await;
        stream.put(&[record("acme", "before")]).await.unwrap();
        let children = stream.split("shardId-000000000000").await.unwrap();
        stream.put(&[record("acme", "behind")]).await.unwrap();

        let (records, tail) = read(&rows, "shardId-000000000000", None, EVERYTHING).await;
        assert_eq!((records.len(), tail), (1, Tail::Closed));
        let (records, tail) = read(&rows, &stream.shard_of("acme"), None, EVERYTHING).await;
        assert_eq!((records.len(), tail), (1, Tail::Tip));
        let listed = rows.shards().await.unwrap();
        assert_eq!(
            listed[1],
            ListedShard { id: children[0].clone(), parents: vec!["shardId-000000000000".to_owned()] }
        );
        assert!(matches!(stream.split("shardId-000000000000").await, Err(SplitError::NotOpen(_))));
    }

    #[tokio::test]
    async fn a_record_over_the_limit_refuses_the_whole_call() {
        let (_folder, stream, rows) = stream(1).await;
        let large = StreamRecord { partition_key: "k".into(), data: vec![0; limits::RECORD_BYTES].into() };
        assert!(matches!(stream.put(&[record("k", "x"), large]).await, Err(StreamFailure::Refused(_))));
        assert_eq!(read(&rows, "shardId-000000000000", None, EVERYTHING).await.0, []);
    }

    #[tokio::test]
    async fn only_processed_records_expire() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Database::open(&folder.path().join("stream.sqlite")).unwrap();
        let put_at = |ms| Clock::fixed(Timestamp::from_unix_ms(ms));
        let stream = EmbeddedStream::open(open(), 1, put_at(0)).await.unwrap();
        stream.put(&[record("k", "processed")]).await.unwrap();
        stream.put(&[record("k", "not yet")]).await.unwrap();
        let (shard, rows) = ("shardId-000000000000", StreamRows(open()));
        let first = read(&rows, shard, None, EVERYTHING).await.0.remove(0);
        let checkpoints = super::super::EmbeddedCheckpoints(open());
        crate::event_source_mapping::ports::Checkpoints::save(&checkpoints, shard, &first.sequence_number)
            .await
            .unwrap();

        let later = EmbeddedStream::open(open(), 1, put_at(2 * 86_400_000)).await.unwrap();
        later.expire().await.unwrap();
        let left: Vec<_> = read(&rows, shard, None, EVERYTHING).await.0.into_iter().map(|r| r.data).collect();
        assert_eq!(left, ["not yet"]);
    }
}
