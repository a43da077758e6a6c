//! The stream: shards with ranges of hashes, records in order, and sequence numbers of 56 digits as in Kinesis.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use ingest_fn::publish::{EventStream, Put, StreamFailure, StreamRecord};
use md5::{Digest, Md5};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};
use shared::limits;
use shared::time::{Clock, Timestamp};

use super::database::{Database, unreadable};
use super::error::DatabaseError;
use crate::event_source_mapping::ports::{
    ReadLimit, RetainedRecord, ShardRead, ShardTail, StreamReader, StreamShard,
};

/// Writes to the stream.
#[derive(Clone)]
pub struct EmbeddedStream {
    database: Database,
    clock: Clock,
    /// While this file exists, the stream takes nothing.
    away: Option<PathBuf>,
}

/// Reads the stream, on a connection of its own, so that reads do not wait for puts.
#[derive(Clone)]
pub struct StreamRows(pub Database);

#[derive(Clone, Debug)]
struct OpenShard {
    id: String,
    first_hash: u128,
    last_hash: u128,
}

impl EmbeddedStream {
    /// Opens the stream. A new stream gets `shards` shards of equal width, at least 1.
    pub async fn open(database: Database, shards: u16, clock: Clock) -> Result<Self, DatabaseError> {
        database
            .write(move |transaction| {
                if count_shards(transaction)? == 0 {
                    create_evenly(transaction, u128::from(shards.max(1)))?;
                }
                Ok(())
            })
            .await?;
        Ok(Self { database, clock, away: None })
    }

    /// While `file` exists, nothing can be put, as if the stream were not available: to see the spill queue at work.
    pub fn away_while(self, file: PathBuf) -> Self {
        Self { away: Some(file), ..self }
    }

    /// The ids of the shards that take records.
    pub async fn open_shards(&self) -> Result<Vec<String>, DatabaseError> {
        let open = self.database.call(|connection| open_shards(connection)).await?;
        Ok(open.into_iter().map(|shard| shard.id).collect())
    }

    /// Splits an open shard in the middle. It takes no more records; its two children do. A put at the same time, even
    /// in another process, goes to the shard before the split or to a child.
    pub async fn split(&self, shard: &str) -> anyhow::Result<[String; 2]> {
        let shard = shard.to_owned();
        let split = self.database.write(move |transaction| {
            let Some(parent) = open_shards(transaction)?.into_iter().find(|open| open.id == shard) else {
                return Ok(Err(anyhow!("`{shard}` is not an open shard")));
            };
            let middle = parent.first_hash + (parent.last_hash - parent.first_hash) / 2;
            if middle == parent.last_hash {
                return Ok(Err(anyhow!("the range of `{shard}` is a single hash and cannot be split")));
            }
            let ids = [
                create(transaction, Some(&shard), parent.first_hash, middle)?,
                create(transaction, Some(&shard), middle + 1, parent.last_hash)?,
            ];
            transaction.execute("UPDATE shards SET closed = 1 WHERE id = ?1", [&shard])?;
            Ok(Ok(ids))
        });
        split.await?
    }
}

/// The open shard of a partition key. Call it in the transaction that puts the record: another process may split the
/// shard at any time, and a record that is put to a closed shard may never be read.
fn shard_of<'a>(open: &'a [OpenShard], partition_key: &str) -> &'a str {
    let hash = u128::from_be_bytes(Md5::digest(partition_key).into());
    let shard = open.iter().find(|shard| (shard.first_hash..=shard.last_hash).contains(&hash));
    &shard.expect("the open shards' ranges cover every hash").id
}

impl EventStream for EmbeddedStream {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        if let Some(file) = self.away.as_ref().filter(|file| file.exists()) {
            return Err(StreamFailure::Refused(format!("`{}` exists: the stream is away", file.display())));
        }
        let sizes = records.iter().map(|record| record.partition_key.len() + record.data.len());
        if let Some(bytes) = sizes.max().filter(|bytes| *bytes > limits::RECORD_BYTES) {
            // Like Kinesis, refuse the whole call.
            return Err(StreamFailure::Refused(format!(
                "a record of {bytes} bytes is over the limit of {} bytes",
                limits::RECORD_BYTES
            )));
        }
        let arrival = self.clock.now().unix_ms();
        let records = records.to_vec();
        let count = records.len();
        self.database
            .write(move |transaction| {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO records (shard, partition_key, arrival_ms, data) VALUES (?1, ?2, ?3, ?4)",
                )?;
                let open = open_shards(transaction)?;
                for StreamRecord { partition_key, data } in &records {
                    let shard = shard_of(&open, partition_key);
                    insert.execute(params![shard, partition_key, arrival, &data[..]])?;
                }
                Ok(())
            })
            .await
            .map_err(|error| match error {
                // The transaction did not start, or was rolled back.
                DatabaseError::Sqlite(_) | DatabaseError::Schema { .. } | DatabaseError::Create(_) => {
                    StreamFailure::Refused(error.to_string())
                }
                DatabaseError::Unfinished => StreamFailure::Ambiguous(error.to_string()),
            })?;
        Ok(std::iter::repeat_with(|| Put::Taken).take(count).collect())
    }
}

impl StreamRows {
    /// The last sequence number of `shard` before the first record that arrived at or after `time`. A read after it
    /// starts with that record.
    pub async fn last_before(&self, shard: &str, time: Timestamp) -> Result<Option<String>, DatabaseError> {
        let shard = shard.to_owned();
        let found: Option<i64> = self
            .0
            .call(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT max(sequence) FROM records WHERE shard = ?1
                         AND sequence < coalesce((SELECT min(sequence) FROM records WHERE shard = ?1 AND arrival_ms >= ?2), ?3)",
                    )?
                    .query_row(params![shard, time.unix_ms(), i64::MAX], |row| row.get(0))
            })
            .await?;
        Ok(found.map(sequence_number))
    }
}

impl StreamReader for StreamRows {
    async fn shards(&self) -> anyhow::Result<Vec<StreamShard>> {
        let listed = self.0.call(|connection| {
            let mut select = connection.prepare_cached("SELECT id, parent FROM shards ORDER BY id")?;
            let rows = select.query_map([], |row| {
                let parent: Option<String> = row.get(1)?;
                Ok(StreamShard { id: row.get(0)?, parents: parent.into_iter().collect() })
            })?;
            rows.collect()
        });
        Ok(listed.await?)
    }

    async fn read(&self, shard: &str, after: Option<&str>, limit: ReadLimit) -> anyhow::Result<ShardRead> {
        let shard = shard.to_owned();
        let after = after.map_or(Ok(0), sequence)?;
        Ok(self.0.call(move |connection| read(connection, &shard, after, limit)).await?)
    }
}

fn read(connection: &Connection, shard: &str, after: i64, limit: ReadLimit) -> rusqlite::Result<ShardRead> {
    // Read this before the records: a shard that is closed now has its last record already.
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
        if records.len() >= limit.records || bytes >= limit.bytes {
            return Ok(ShardRead { records, tail: ShardTail::More });
        }
    }
    let tail = if closed.unwrap_or(true) { ShardTail::Closed } else { ShardTail::Tip };
    Ok(ShardRead { records, tail })
}

fn record(row: &Row<'_>) -> rusqlite::Result<RetainedRecord> {
    Ok(RetainedRecord {
        sequence_number: sequence_number(row.get(0)?),
        partition_key: row.get(1)?,
        arrival: Timestamp::from_unix_ms(row.get(2)?),
        data: row.get::<_, Vec<u8>>(3)?.into(),
    })
}

/// 56 digits that begin with 49, as in Kinesis, so that no code can treat it as a number of 64 bits.
fn sequence_number(sequence: i64) -> String {
    format!("49{sequence:054}")
}

fn sequence(sequence_number: &str) -> anyhow::Result<i64> {
    let digits = sequence_number.strip_prefix("49").filter(|digits| digits.len() == 54);
    digits
        .and_then(|digits| digits.parse().ok())
        .with_context(|| format!("`{sequence_number}` is not a sequence number of the embedded stream"))
}

/// Shards are never deleted, so their number is that of the next shard.
fn count_shards(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("SELECT count(*) FROM shards", [], |row| row.get(0))
}

fn create_evenly(transaction: &Transaction<'_>, shards: u128) -> rusqlite::Result<()> {
    let width = u128::MAX / shards;
    for number in 0..shards {
        let last = if number == shards - 1 { u128::MAX } else { (number + 1) * width - 1 };
        create(transaction, None, number * width, last)?;
    }
    Ok(())
}

/// Creates the next shard and returns its id.
fn create(
    transaction: &Transaction<'_>,
    parent: Option<&str>,
    first_hash: u128,
    last_hash: u128,
) -> rusqlite::Result<String> {
    let id = format!("shardId-{:012}", count_shards(transaction)?);
    transaction.execute(
        "INSERT INTO shards (id, parent, first_hash, last_hash) VALUES (?1, ?2, ?3, ?4)",
        params![id, parent, format!("{first_hash:032x}"), format!("{last_hash:032x}")],
    )?;
    Ok(id)
}

fn open_shards(connection: &Connection) -> rusqlite::Result<Vec<OpenShard>> {
    let hash = |row: &Row<'_>, column| {
        let digits: String = row.get(column)?;
        u128::from_str_radix(&digits, 16).map_err(|error| unreadable(column, error))
    };
    let mut select = connection.prepare_cached(
        "SELECT id, first_hash, last_hash FROM shards WHERE closed = 0 ORDER BY first_hash",
    )?;
    let rows = select.query_map([], |row| {
        Ok(OpenShard { id: row.get(0)?, first_hash: hash(row, 1)?, last_hash: hash(row, 2)? })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const EVERYTHING: ReadLimit = ReadLimit { records: 100, bytes: 1_000_000 };

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

    async fn read(
        rows: &StreamRows,
        shard: &str,
        after: Option<&str>,
        room: ReadLimit,
    ) -> (Vec<RetainedRecord>, ShardTail) {
        let read = rows.read(shard, after, room).await.unwrap();
        (read.records, read.tail)
    }

    #[tokio::test]
    async fn records_are_read_in_order_after_a_sequence_number() {
        let (_folder, stream, rows) = stream(1).await;
        for data in ["one", "two", "three"] {
            assert_eq!(stream.put(&[record("acme", data)]).await.unwrap(), [Put::Taken]);
        }
        let shard = &stream.open_shards().await.unwrap()[0];
        let (records, tail) = read(&rows, shard, None, EVERYTHING).await;
        assert_eq!(tail, ShardTail::Tip);
        assert_eq!(records.iter().map(|r| &r.data[..]).collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);
        assert_eq!((records[0].sequence_number.len(), records[0].arrival.unix_ms()), (56, 1_000));

        let (rest, _) = read(&rows, shard, Some(&records[1].sequence_number), EVERYTHING).await;
        assert_eq!(rest, records[2..]);
        let (first, tail) = read(&rows, shard, None, ReadLimit { records: 100, bytes: 1 }).await;
        assert_eq!((first.len(), tail), (1, ShardTail::More));
    }

    #[tokio::test]
    async fn reading_starts_with_the_first_record_at_or_after_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Database::open(&folder.path().join("stream.sqlite")).unwrap();
        let (shard, rows) = ("shardId-000000000000", StreamRows(open()));
        for ms in [1_000, 2_000, 3_000] {
            let clock = Clock::fixed(Timestamp::from_unix_ms(ms));
            EmbeddedStream::open(open(), 1, clock).await.unwrap().put(&[record("k", "x")]).await.unwrap();
        }
        for (from, expected) in [(0, 3), (1_000, 3), (1_001, 2), (3_000, 1), (3_001, 0)] {
            let after = rows.last_before(shard, Timestamp::from_unix_ms(from)).await.unwrap();
            let (records, _) = read(&rows, shard, after.as_deref(), EVERYTHING).await;
            assert_eq!(records.len(), expected, "from {from}");
        }
    }

    #[tokio::test]
    async fn a_partition_key_stays_in_its_shard_and_keys_use_every_shard() {
        let (_folder, stream, _rows) = stream(4).await;
        let open = stream.database.call(|connection| open_shards(connection)).await.unwrap();
        let shards: std::collections::BTreeSet<_> =
            (0..100).map(|n| shard_of(&open, &format!("t{n}")).to_owned()).collect();
        assert_eq!(shards.len(), 4);
        assert_eq!(shard_of(&open, "acme"), shard_of(&open, "acme"));
    }

    #[tokio::test]
    async fn a_split_closes_the_parent_and_its_children_take_its_keys() {
        let (_folder, stream, rows) = stream(1).await;
        stream.put(&[record("acme", "before")]).await.unwrap();
        let children = stream.split("shardId-000000000000").await.unwrap();
        stream.put(&[record("acme", "after")]).await.unwrap();

        let (records, tail) = read(&rows, "shardId-000000000000", None, EVERYTHING).await;
        assert_eq!((records.len(), tail), (1, ShardTail::Closed));
        let open = stream.database.call(|connection| open_shards(connection)).await.unwrap();
        let (records, tail) = read(&rows, shard_of(&open, "acme"), None, EVERYTHING).await;
        assert_eq!((records.len(), tail), (1, ShardTail::Tip));
        let listed = rows.shards().await.unwrap();
        assert_eq!(
            listed[1],
            StreamShard { id: children[0].clone(), parents: vec!["shardId-000000000000".to_owned()] }
        );
        let error = stream.split("shardId-000000000000").await.unwrap_err();
        assert_eq!(error.to_string(), "`shardId-000000000000` is not an open shard");
    }

    #[tokio::test]
    async fn a_writer_that_was_open_before_a_split_puts_to_the_children() {
        let (folder, stream, rows) = stream(1).await;
        let other = Database::open(&folder.path().join("stream.sqlite")).unwrap();
        let other = EmbeddedStream::open(other, 1, Clock::system()).await.unwrap();
        other.split("shardId-000000000000").await.unwrap();
        stream.put(&[record("acme", "after")]).await.unwrap();
        assert_eq!(read(&rows, "shardId-000000000000", None, EVERYTHING).await, (vec![], ShardTail::Closed));
        assert_eq!(stream.open_shards().await.unwrap(), other.open_shards().await.unwrap());
    }

    #[tokio::test]
    async fn a_record_over_the_limit_refuses_the_whole_call() {
        let (_folder, stream, rows) = stream(1).await;
        let large = StreamRecord { partition_key: "k".into(), data: vec![0; limits::RECORD_BYTES].into() };
        assert!(matches!(stream.put(&[record("k", "x"), large]).await, Err(StreamFailure::Refused(_))));
        assert_eq!(read(&rows, "shardId-000000000000", None, EVERYTHING).await.0, []);
    }
}
