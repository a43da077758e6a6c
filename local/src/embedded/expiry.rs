//! Deletes what has expired, in chunks: a deletion holds SQLite's write lock, for which every request with events waits.

use std::time::{Duration, Instant};

use rusqlite::{OptionalExtension, Transaction, params};
use shared::limits;
use shared::time::Clock;

use super::database::Database;
use super::error::DatabaseError;
use crate::guard::Guard;

/// The most rows of a transaction. 200 items of 1 KB events take some 30 ms, without optimisation.
const CHUNK: u32 = 200;
/// The shortest pause between two chunks. Waiting writers look for the lock once a millisecond.
const PAUSE: Duration = Duration::from_millis(10);

/// On a connection of its own: on another's, reads would wait too.
pub(crate) struct Expiry {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    /// Nothing is deleted while there is a fault: the clock may be wrong.
    pub(crate) guard: Guard,
}

/// A chunk of records that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunk {
    last: i64,
    /// Whether records after it may have expired.
    has_more: bool,
}

impl Expiry {
    /// Deletes processed records that are older than the retention time, and expired items.
    pub(crate) async fn run(&self) -> Result<(), DatabaseError> {
        let mut after = 0;
        loop {
            let started = self.begin().await;
            let Some(chunk) = self.records(after).await?.filter(|chunk| chunk.has_more) else { break };
            after = chunk.last;
            self.end(started).await;
        }
        loop {
            let started = self.begin().await;
            if self.items().await? < CHUNK as usize {
                return Ok(());
            }
            self.end(started).await;
        }
    }

    async fn begin(&self) -> Instant {
        self.guard.healthy().await;
        Instant::now()
    }

    /// Pauses as long as the chunk took, so that others get half of the time.
    async fn end(&self, started: Instant) {
        tokio::time::sleep(started.elapsed().max(PAUSE)).await;
    }

    /// Looks at the next chunk of records. `None` if there is none.
    async fn records(&self, after: i64) -> Result<Option<Chunk>, DatabaseError> {
        let retention = i64::try_from(limits::STREAM_RETENTION.as_millis()).unwrap_or(i64::MAX);
        let oldest = self.clock.now().unix_ms() - retention;
        self.database.write(move |transaction| delete_records(transaction, after, oldest)).await
    }

    /// Deletes a chunk of items. Returns how many.
    async fn items(&self) -> Result<usize, DatabaseError> {
        let now = self.clock.now().unix_ms() / 1_000;
        let delete = move |transaction: &Transaction<'_>| {
            let mut delete = transaction.prepare_cached(
                "DELETE FROM items WHERE rowid IN (SELECT rowid FROM items WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)",
            )?;
            delete.execute(params![now, CHUNK])
        };
        self.database.write(delete).await
    }
}

/// Records arrive in order, so it ends at the first chunk without an old one. If the clock was wrong in between, the next
/// passes delete the rest.
fn delete_records(transaction: &Transaction<'_>, after: i64, oldest: i64) -> rusqlite::Result<Option<Chunk>> {
    let found: Option<(Option<i64>, Option<i64>)> = transaction
        .prepare_cached(
            "SELECT max(sequence), min(arrival_ms) FROM (SELECT sequence, arrival_ms FROM records WHERE sequence > ?1 ORDER BY sequence LIMIT ?2)",
        )?
        .query_row(params![after, CHUNK], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((Some(last), Some(first_arrival))) = found else { return Ok(None) };
    if first_arrival >= oldest {
        return Ok(Some(Chunk { last, has_more: false }));
    }
    transaction
        .prepare_cached(
            "DELETE FROM records WHERE sequence > ?1 AND sequence <= ?2 AND arrival_ms < ?3
             AND sequence <= (SELECT CAST(substr(sequence_number, 3) AS INTEGER) FROM checkpoints WHERE checkpoints.shard = records.shard)",
        )?
        .execute(params![after, last, oldest])?;
    Ok(Some(Chunk { last, has_more: true }))
}

#[cfg(test)]
mod tests {
    use ingest_fn::publish::{EventStream, StreamRecord};
    use shared::time::Timestamp;

    use super::*;
    use crate::embedded::{EmbeddedCheckpoints, EmbeddedStream, StreamRows};
    use crate::event_source_mapping::ports::{Checkpoints, ReadLimit, StreamReader};

    const SHARD: &str = "shardId-000000000000";
    const DAY_MS: i64 = 86_400_000;

    struct Site {
        _folder: tempfile::TempDir,
        path: std::path::PathBuf,
    }

    impl Site {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let site = Self { path: folder.path().join("tidegate.sqlite"), _folder: folder };
            site.put(0, &[]).await;
            site
        }

        fn open(&self) -> Database {
            Database::open(&self.path).unwrap()
        }

        async fn put(&self, at_ms: i64, data: &[&'static str]) {
            let clock = Clock::fixed(Timestamp::from_unix_ms(at_ms));
            let stream = EmbeddedStream::open(self.open(), 1, clock).await.unwrap();
            let record =
                |data: &&'static str| StreamRecord { partition_key: "k".to_owned(), data: (*data).into() };
            stream.put(&data.iter().map(record).collect::<Vec<_>>()).await.unwrap();
        }

        async fn left(&self) -> Vec<bytes::Bytes> {
            let limit = ReadLimit { records: 10_000, bytes: 1_000_000 };
            let read = StreamRows(self.open()).read(SHARD, None, limit).await.unwrap();
            read.records.into_iter().map(|record| record.data).collect()
        }

        async fn processed(&self, record: usize) {
            let limit = ReadLimit { records: 10_000, bytes: 1_000_000 };
            let read = StreamRows(self.open()).read(SHARD, None, limit).await.unwrap();
            let checkpoints = EmbeddedCheckpoints(self.open());
            checkpoints.save(SHARD, &read.records[record].sequence_number).await.unwrap();
        }

        fn expiry(&self, now_ms: i64) -> Expiry {
            let clock = Clock::fixed(Timestamp::from_unix_ms(now_ms));
            let guard = Guard::new([], clock.clone(), || Duration::ZERO).unwrap();
            Expiry { database: self.open(), clock, guard }
        }

        /// Items that expire at these seconds.
        async fn items(&self, expire_at: impl Iterator<Item = i64> + Send + 'static) {
            let insert = move |transaction: &Transaction<'_>| {
                for (number, expires_at) in expire_at.enumerate() {
                    transaction.execute(
                        "INSERT INTO items (pk, sk, source, tier, received_at, processed_at, origin, admission, hash, expires_at)
                         VALUES ('p', ?1, '', '', '', '', '', '', '', ?2)",
                        params![number.to_string(), expires_at],
                    )?;
                }
                Ok(())
            };
            self.open().write(insert).await.unwrap();
        }

        async fn count_items(&self) -> u32 {
            let count = |connection: &mut rusqlite::Connection| {
                connection.query_row("SELECT count(*) FROM items", [], |row| row.get(0))
            };
            self.open().call(count).await.unwrap()
        }
    }

    #[tokio::test]
    async fn only_processed_records_that_are_old_expire() {
        let site = Site::new().await;
        site.put(0, &["processed", "not yet"]).await;
        site.processed(0).await;
        site.expiry(2 * DAY_MS).run().await.unwrap();
        assert_eq!(site.left().await, ["not yet"]);

        site.put(2 * DAY_MS, &["young"]).await;
        site.processed(1).await;
        site.expiry(2 * DAY_MS).run().await.unwrap();
        assert_eq!(site.left().await, ["young"]);
    }

    /// Before, one transaction deleted everything, and every request waited for it.
    #[tokio::test]
    async fn a_transaction_deletes_at_most_a_chunk_and_the_lock_is_free_between() {
        let site = Site::new().await;
        site.items((0..500).map(|_| 10)).await;
        let expiry = site.expiry(20_000);
        for left in [300, 100, 0, 0] {
            let before = site.count_items().await;
            assert_eq!(expiry.items().await.unwrap(), (before - left) as usize);
            assert_eq!(site.count_items().await, left);
            site.put(0, &["a put in between"]).await;
        }
    }

    #[tokio::test]
    async fn all_chunks_are_deleted_and_items_that_do_not_expire_yet_stay() {
        let site = Site::new().await;
        site.items((0..1_700).map(|number| if number % 10 == 0 { 30 } else { 10 })).await;
        site.put(0, &vec!["old"; 1_200]).await;
        site.put(2 * DAY_MS, &["young"; 3]).await;
        site.processed(1_202).await;
        site.expiry(20_000).run().await.unwrap();
        assert_eq!((site.count_items().await, site.left().await.len()), (170, 1_203));
        site.expiry(2 * DAY_MS).run().await.unwrap();
        assert_eq!((site.count_items().await, site.left().await.len()), (0, 3));
    }
}
