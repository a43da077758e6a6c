//! Reads a Kinesis stream by `ListShards` and `GetRecords`.

mod pace;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{self, ShardIteratorType, StreamDescriptionSummary};
use operate::deployment::Start;
use shared::time::Timestamp;
use tokio::time::Instant;

use local::event_source_mapping::ports::{
    ReadLimit, RetainedRecord, ShardRead, ShardTail, StreamReader, StreamShard,
};

use self::pace::Pace;
pub use self::pace::Share;
use crate::error::described;
use crate::patience::{is_throttled, wait};

/// A wait is said after this time, and then each time after `SAY_AGAIN`.
const SAY_FIRST: Duration = Duration::from_secs(10);
const SAY_AGAIN: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub struct KinesisReader {
    client: Client,
    stream: String,
    share: Share,
    say: fn(&str),
    cursors: Mutex<HashMap<String, Cursor>>,
}

/// Of a shard.
#[derive(Debug)]
struct Cursor {
    /// It saves a call for a new one, is used once, and expires after five minutes.
    iterator: Option<(Start, String)>,
    pace: Pace,
}

/// How long a call has waited for its shard.
#[derive(Debug)]
struct Waits {
    begun: Instant,
    failures: u32,
    say_at: Instant,
}

impl Waits {
    fn begin() -> Self {
        let begun = Instant::now();
        Self { begun, failures: 0, say_at: begun + SAY_FIRST }
    }
}

impl KinesisReader {
    pub fn new(sdk: &SdkConfig, stream: String, share: Share) -> Self {
        Self { client: Client::new(sdk), stream, share, say: |_| {}, cursors: Mutex::default() }
    }

    /// Says by `say` that it waits for a shard.
    #[must_use]
    pub fn saying(mut self, say: fn(&str)) -> Self {
        self.say = say;
        self
    }

    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Takes the iterator for `position`, if there is one; and the most records of the next call, and when it may be made.
    fn take(&self, shard: &str, position: &Start) -> (Option<String>, (usize, Instant)) {
        self.with_cursor(shard, |cursor| {
            let iterator = cursor.iterator.take().filter(|(of, _)| of == position);
            (iterator.map(|(_, iterator)| iterator), cursor.pace.take())
        })
    }

    fn with_cursor<T>(&self, shard: &str, used: impl FnOnce(&mut Cursor) -> T) -> T {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Cursor { iterator: None, pace: Pace::new(self.share) };
        used(cursors.entry(shard.to_owned()).or_insert_with(new))
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
        let mut waits = Waits::begin();
        loop {
            let opened = match call.clone().send().await {
                Err(error) if self.waits(shard, &mut waits, error.code()).await => continue,
                opened => opened.map_err(described)?,
            };
            let iterator = opened.shard_iterator;
            return iterator.with_context(|| format!("Kinesis returns no iterator for `{shard}`"));
        }
    }

    /// `None` if the iterator has expired.
    async fn get(
        &self,
        shard: &str,
        iterator: &str,
        records: usize,
    ) -> anyhow::Result<Option<GetRecordsOutput>> {
        let limit = i32::try_from(records).expect("at most 10,000");
        let call = self.client.get_records().shard_iterator(iterator).limit(limit);
        let expired = GetRecordsError::is_expired_iterator_exception;
        let mut waits = Waits::begin();
        loop {
            match call.clone().send().await {
                Ok(output) => return Ok(Some(output)),
                Err(error) if error.as_service_error().is_some_and(expired) => return Ok(None),
                Err(error) if self.waits(shard, &mut waits, error.code()).await => {}
                Err(error) => return Err(described(error)),
            }
        }
    }

    /// Whether a call that failed is made again, after a wait: beside the mapping, as long as the shard throttles. Our own mapping repeats
    /// what fails itself, and logs it.
    async fn waits(&self, shard: &str, so_far: &mut Waits, code: Option<&str>) -> bool {
        if self.share == Share::Whole || !is_throttled(code) {
            return false;
        }
        so_far.failures += 1;
        wait(so_far.failures).await;
        if Instant::now() >= so_far.say_at {
            let seconds = so_far.begun.elapsed().as_secs();
            (self.say)(&format!(
                "the shard `{shard}` gives no more to read since {seconds} s: others read it, too; waiting"
            ));
            so_far.say_at = Instant::now() + SAY_AGAIN;
        }
        true
    }

    /// The records from `position` on. An answer without records moves the iterator too: read from the same position again.
    pub async fn read_from(
        &self,
        shard: &str,
        position: Start,
        room: ReadLimit,
    ) -> anyhow::Result<ShardRead> {
        let (iterator, (most, not_before)) = self.take(shard, &position);
        let most = room.records.clamp(1, most);
        tokio::time::sleep_until(not_before).await;
        let found = match iterator {
            Some(iterator) => self.get(shard, &iterator, most).await?,
            None => None,
        };
        let output = if let Some(output) = found {
            output
        } else {
            let iterator = self.open(shard, &position).await?;
            self.get(shard, &iterator, most).await?.context("a new iterator has already expired")?
        };
        let next = output.next_shard_iterator;
        let tail = tail(next.is_some(), output.millis_behind_latest);
        let count = output.records.len();
        let bytes = output.records.iter().map(|record| record.data.as_ref().len()).sum();
        let (records, cut) = fit(output.records, room)?;
        let position = records
            .last()
            .map_or(position, |record: &RetainedRecord| Start::After(record.sequence_number.clone()));
        self.with_cursor(shard, |cursor| {
            cursor.pace.read(count, bytes);
            // After a cut it is too far.
            cursor.iterator = next.filter(|_| !cut).map(|iterator| (position, iterator));
        });
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
