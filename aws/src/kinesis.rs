//! Reads a Kinesis stream by `ListShards` and `GetRecords`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{self, ShardIteratorType, StreamDescriptionSummary};
use operate::deployment::Start;
use shared::time::Timestamp;
use tokio::time::Instant;

use local::event_source_mapping::ports::{
    ReadLimit, RetainedRecord, ShardRead, ShardTail, StreamReader, StreamShard,
};

use crate::error::described;

/// A shard serves five `GetRecords` calls a second, for all its readers together.
/// <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
const BETWEEN_READS: Duration = Duration::from_millis(200);
/// Most records of one call.
const CALL_RECORDS: usize = 10_000;

#[derive(Debug)]
pub struct KinesisReader {
    client: Client,
    stream: String,
    cursors: Mutex<HashMap<String, Cursor>>,
}

/// Saves a call for a new iterator.
#[derive(Debug)]
struct Cursor {
    /// Of the iterator.
    position: Start,
    /// `None` after it was used. It expires after five minutes.
    iterator: Option<String>,
    /// No read before this time.
    next_read: Instant,
}

impl KinesisReader {
    pub fn new(sdk: &SdkConfig, stream: String) -> Self {
        Self { client: Client::new(sdk), stream, cursors: Mutex::default() }
    }

    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Takes the iterator for `position`, if there is one, and the time when it may be used. An iterator is good for one
    /// read.
    fn take(&self, shard: &str, position: &Start) -> (Option<String>, Instant) {
        let mut cursors = self.cursors();
        let now = Instant::now();
        let Some(cursor) = cursors.get_mut(shard) else { return (None, now) };
        let next_read = cursor.next_read.max(now);
        cursor.next_read = next_read + BETWEEN_READS;
        let is_there = cursor.position == *position;
        (cursor.iterator.take().filter(|_| is_there), next_read)
    }

    fn keep(&self, shard: &str, position: Start, iterator: Option<String>) {
        let cursor = Cursor { position, iterator, next_read: Instant::now() + BETWEEN_READS };
        self.cursors().insert(shard.to_owned(), cursor);
    }

    fn cursors(&self) -> MutexGuard<'_, HashMap<String, Cursor>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, shard: &str, position: &Start) -> anyhow::Result<String> {
        let call = self.client.get_shard_iterator().stream_name(&self.stream).shard_id(shard);
        let call = match position {
            Start::After(after) => call
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(after),
            Start::At(time) => call
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(time.unix_ms())),
            Start::Oldest => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
        };
        let opened = call.send().await.map_err(described)?;
        opened.shard_iterator.with_context(|| format!("Kinesis returns no iterator for `{shard}`"))
    }

    /// `None` if the iterator has expired.
    async fn get(&self, iterator: &str, room: ReadLimit) -> anyhow::Result<Option<GetRecordsOutput>> {
        let limit = i32::try_from(room.records.clamp(1, CALL_RECORDS)).expect("at most 10,000");
        match self.client.get_records().shard_iterator(iterator).limit(limit).send().await {
            Ok(output) => Ok(Some(output)),
            Err(error)
                if error.as_service_error().is_some_and(GetRecordsError::is_expired_iterator_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(described(error)),
        }
    }

    /// The records from `position` on. An answer without records moves the iterator too: read from the same position again.
    pub async fn read_from(
        &self,
        shard: &str,
        position: Start,
        room: ReadLimit,
    ) -> anyhow::Result<ShardRead> {
        let (iterator, not_before) = self.take(shard, &position);
        tokio::time::sleep_until(not_before).await;
        let found = match iterator {
            Some(iterator) => self.get(&iterator, room).await?,
            None => None,
        };
        let output = if let Some(output) = found {
            output
        } else {
            let iterator = self.open(shard, &position).await?;
            self.get(&iterator, room).await?.context("a new iterator has already expired")?
        };
        let next = output.next_shard_iterator;
        let tail = tail(next.is_some(), output.millis_behind_latest);
        let (records, cut) = fit(output.records, room)?;
        let position = records
            .last()
            .map_or(position, |record: &RetainedRecord| Start::After(record.sequence_number.clone()));
        // After a cut the iterator is too far.
        self.keep(shard, position, next.filter(|_| !cut));
        Ok(ShardRead { records, tail: if cut { ShardTail::More } else { tail } })
    }
}

pub(crate) async fn describe(sdk: &SdkConfig, stream: &str) -> anyhow::Result<StreamDescriptionSummary> {
    let answer = Client::new(sdk).describe_stream_summary().stream_name(stream).send().await;
    let answer = answer.map_err(described);
    let answer = answer.with_context(|| format!("the stream `{stream}` cannot be described"))?;
    answer.stream_description_summary.context("Kinesis returns no description of the stream")
}

pub(crate) fn retention(summary: &StreamDescriptionSummary) -> Duration {
    Duration::from_hours(u64::try_from(summary.retention_period_hours).unwrap_or_default())
}

impl StreamReader for KinesisReader {
    async fn shards(&self) -> anyhow::Result<Vec<StreamShard>> {
        let mut listed = Vec::new();
        let mut call = self.client.list_shards().stream_name(&self.stream);
        loop {
            let page = call.send().await.map_err(described)?;
            listed.extend(page.shards.unwrap_or_default().into_iter().map(|shard| {
                let parents = shard.parent_shard_id.into_iter().chain(shard.adjacent_parent_shard_id);
                StreamShard { id: shard.shard_id, parents: parents.collect() }
            }));
            let Some(token) = page.next_token else { return Ok(listed) };
            // Kinesis refuses a call with both a token and a name.
            call = self.client.list_shards().next_token(token);
        }
    }

    async fn read(&self, shard: &str, after: Option<&str>, room: ReadLimit) -> anyhow::Result<ShardRead> {
        let position = after.map_or(Start::Oldest, |after| Start::After(after.to_owned()));
        self.read_from(shard, position, room).await
    }
}

fn tail(has_next: bool, milliseconds_behind: Option<i64>) -> ShardTail {
    match (has_next, milliseconds_behind) {
        (false, _) => ShardTail::Closed,
        (true, Some(0)) => ShardTail::Tip,
        // An empty answer before the tip is common: Kinesis searches a part of the shard at a time.
        (true, _) => ShardTail::More,
    }
}

/// The records up to the one that uses up the room's bytes, and whether any were left out. A call returns up to 10 MB,
/// whatever the room is.
fn fit(records: Vec<types::Record>, room: ReadLimit) -> anyhow::Result<(Vec<RetainedRecord>, bool)> {
    let given = records.len();
    let mut fitting = Vec::with_capacity(given);
    let mut bytes = 0;
    for record in records {
        if bytes >= room.bytes {
            break;
        }
        bytes += record.data.as_ref().len();
        fitting.push(our_record(record)?);
    }
    let cut = fitting.len() < given;
    Ok((fitting, cut))
}

fn our_record(record: types::Record) -> anyhow::Result<RetainedRecord> {
    let arrival =
        record.approximate_arrival_timestamp.context("Kinesis returned a record without its arrival time")?;
    Ok(RetainedRecord {
        sequence_number: record.sequence_number,
        // Missing if the producer lets Kinesis choose the shard.
        partition_key: record.partition_key.unwrap_or_default(),
        data: record.data.into_inner().into(),
        arrival: Timestamp::from_unix_ms(arrival.to_millis()?),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::primitives::Blob;

    use super::*;

    fn record(number: usize, bytes: usize) -> types::Record {
        types::Record::builder()
            .sequence_number(number.to_string())
            .partition_key("k")
            .data(Blob::new(vec![b'x'; bytes]))
            .approximate_arrival_timestamp(DateTime::from_millis(1_795_253_400_190))
            .build()
            .unwrap()
    }

    fn check(sizes: &[usize], bytes: usize, expected: (usize, bool)) {
        let records = sizes.iter().enumerate().map(|(number, size)| record(number, *size)).collect();
        let (records, cut) = fit(records, ReadLimit { records: 10_000, bytes }).unwrap();
        assert_eq!((records.len(), cut), expected, "{sizes:?} in {bytes}");
    }

    #[test]
    fn a_read_ends_with_the_record_by_which_the_room_is_used_up() {
        check(&[], 10, (0, false));
        check(&[20], 10, (1, false));
        check(&[5, 5, 5], 10, (2, true));
        check(&[5, 4, 5, 5], 10, (3, true));
        check(&[5, 5], 100, (2, false));
    }

    #[test]
    fn the_tail_says_whether_more_records_follow() {
        assert_eq!(tail(false, Some(0)), ShardTail::Closed);
        assert_eq!(tail(true, Some(0)), ShardTail::Tip);
        assert_eq!(tail(true, Some(5_000)), ShardTail::More);
        assert_eq!(tail(true, None), ShardTail::More);
    }

    #[test]
    fn a_record_is_read_with_its_arrival_to_the_millisecond() {
        let record = our_record(record(7, 1)).unwrap();
        assert_eq!((record.sequence_number.as_str(), record.arrival.unix_ms()), ("7", 1_795_253_400_190));
    }
}
