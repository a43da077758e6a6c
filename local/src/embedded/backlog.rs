//! What is on the stream and not done, for health.

use rusqlite::Connection;
use shared::time::Timestamp;

use super::database::Database;
use super::error::DatabaseError;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Records that are neither processed nor discarded.
    pub(crate) waiting: u64,
    /// The arrival of the oldest of them, and its shard.
    pub(crate) oldest: Option<(Timestamp, String)>,
}

/// One shard's part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardBacklog {
    pub(crate) shard: String,
    pub(crate) waiting: u64,
    /// The arrival of the oldest.
    pub(crate) oldest: Option<Timestamp>,
}

impl Backlog {
    /// Reads no record but each shard's first: the count is of the index.
    pub(crate) async fn read(database: &Database) -> Result<Self, DatabaseError> {
        let shards = database.call(|connection| shards(connection)).await?;
        let waiting = shards.iter().map(|shard| shard.waiting).sum();
        let oldest = shards.into_iter().filter_map(|shard| Some((shard.oldest?, shard.shard))).min();
        Ok(Self { waiting, oldest })
    }
}

pub(super) fn shards(connection: &Connection) -> rusqlite::Result<Vec<ShardBacklog>> {
    let mut select = connection.prepare_cached(
        "SELECT id,
         (SELECT count(*) FROM records WHERE shard = id AND sequence > done),
         (SELECT arrival_ms FROM records WHERE shard = id AND sequence > done ORDER BY sequence LIMIT 1)
         FROM (SELECT id, coalesce((SELECT CAST(substr(sequence_number, 3) AS INTEGER) FROM checkpoints WHERE shard = id), 0) AS done FROM shards)",
    )?;
    let rows = select.query_map([], |row| {
        let (waiting, oldest): (i64, Option<i64>) = (row.get(1)?, row.get(2)?);
        Ok(ShardBacklog {
            shard: row.get(0)?,
            waiting: waiting.unsigned_abs(),
            oldest: oldest.map(Timestamp::from_unix_ms),
        })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use ingest_fn::publish::{EventStream, StreamRecord};
    use shared::time::Clock;

    use super::*;
    use crate::embedded::{EmbeddedCheckpoints, EmbeddedStream, StreamRows};
    use crate::event_source_mapping::ports::{Checkpoints, ReadLimit, StreamReader};

    #[tokio::test]
    async fn the_oldest_record_after_each_shards_checkpoint_counts() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Database::open(&folder.path().join("stream.sqlite")).unwrap();
        let put = async |ms: i64, key: &str| {
            let clock = Clock::fixed(Timestamp::from_unix_ms(ms));
            let stream = EmbeddedStream::open(open(), 2, clock).await.unwrap();
            let record = StreamRecord { partition_key: key.to_owned(), data: "x".into() };
            stream.put(&[record]).await.unwrap();
        };
        put(5, "t0").await;
        put(6, "t0").await;
        for n in 1..20 {
            put(10 + n, &format!("t{n}")).await;
        }
        let backlog = Backlog::read(&open()).await.unwrap();
        let (oldest, shard) = backlog.oldest.unwrap();
        assert_eq!((backlog.waiting, oldest.unix_ms()), (21, 5));

        let limit = ReadLimit { records: 100, bytes: 1_000 };
        let records = StreamRows(open()).read(&shard, None, limit).await.unwrap().records;
        let checkpoints = EmbeddedCheckpoints(open());
        checkpoints.save(&shard, &records[0].sequence_number).await.unwrap();
        let backlog = Backlog::read(&open()).await.unwrap();
        assert_eq!((backlog.waiting, backlog.oldest.unwrap().0.unix_ms()), (20, 6));
        checkpoints.save(&shard, &records.last().unwrap().sequence_number).await.unwrap();
        let backlog = Backlog::read(&open()).await.unwrap();
        assert_eq!(backlog.waiting, 21 - records.len() as u64);
        assert_ne!(backlog.oldest.unwrap().1, shard);
    }
}
