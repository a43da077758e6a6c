//! Reading the archive: spans of time, keys, and the manifest.

mod absent;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use shared::archive::{NotRead, TenantMembers, members_of};
use shared::format::manifest_row::ManifestRow;
use shared::id::TenantId;
use shared::objects::ObjectStore;
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use crate::deployment::{Deployment, ListedObject, ManifestPart};

pub use absent::{Absent, gone};

/// The clocks of ingest and stream may differ by this much.
pub const SKEW: Duration = Duration::from_mins(5);

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
}

impl Default for Span {
    fn default() -> Self {
        Self { from: Timestamp::default(), to: Timestamp::from_unix_ms(i64::MAX) }
    }
}

impl Span {
    /// Without a limit where there is none.
    pub fn new(from: Option<Timestamp>, to: Option<Timestamp>) -> Self {
        let all = Self::default();
        Self { from: from.unwrap_or(all.from), to: to.unwrap_or(all.to) }
    }

    pub fn has(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }

    /// It has a moment between the two, inclusive.
    pub fn overlaps(&self, [oldest, youngest]: [Timestamp; 2]) -> bool {
        self.from <= youngest && oldest < self.to
    }
}

/// `duration` before `time`.
pub fn earlier(time: Timestamp, duration: Duration) -> Timestamp {
    let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(time.unix_ms().saturating_sub(milliseconds))
}

/// A lower bound of keys: every archive object that *begins* with events received at or after `from` sorts after it. A key
/// has the hour of the first record's arrival, and no event arrives before it is received. An earlier object may *end*
/// with such events: [`manifest`] finds it.
pub fn begin(from: Timestamp) -> String {
    format!("events/{}", earlier(from, SKEW).hour_partition())
}

/// The shard and the first position in an archive object's key. `None` if it is another key.
pub fn key_start(key: &str) -> Option<(&str, ShardPosition)> {
    let name = key.strip_prefix("events/")?.rsplit('/').next()?.strip_suffix(".ndjson.gz")?;
    let (rest, position) = name.rsplit_once('-')?;
    let (shard, sequence_number) = rest.rsplit_once('-')?;
    let is_number = !sequence_number.is_empty() && sequence_number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((shard, ShardPosition::new(sequence_number, position.parse().ok()?)))
}

/// Calls `take` with each page of the objects whose keys begin with `prefix` and sort after `after`.
pub async fn each_page(
    deployment: &impl Deployment,
    prefix: &str,
    mut after: Option<String>,
    mut take: impl FnMut(Vec<ListedObject>),
) -> anyhow::Result<()> {
    loop {
        let page = deployment.list(prefix, after.as_deref()).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key.clone());
        take(page);
    }
}

/// The shards that may have archived events received at `from` or later: the stream's shards, and the shards in archive
/// keys. For each the first position in a key from `from` on, if there is one. `take` gets the objects of these keys, page
/// by page.
///
/// A shard that the stream no longer has is known by keys alone. Its last key may be older than `from` by as long as a
/// record can wait on the stream for its batch.
pub async fn shards(
    deployment: &impl Deployment,
    from: Timestamp,
    mut take: impl FnMut(Vec<ListedObject>),
) -> anyhow::Result<BTreeMap<String, Option<ShardPosition>>> {
    let streamed = deployment.shards().await?.into_iter().map(|shard| (shard, None));
    let mut shards: BTreeMap<String, Option<ShardPosition>> = streamed.collect();
    let retention = deployment.retention().await?;
    let remembered = earlier(deployment.clock().now(), retention.saturating_sub(SKEW));
    let begin = begin(from);
    let after = if from < remembered { self::begin(earlier(from, retention)) } else { begin.clone() };
    each_page(deployment, "events/", Some(after), |page| {
        for (key, (shard, first)) in
            page.iter().filter_map(|object| Some((&object.key, key_start(&object.key)?)))
        {
            let known = shards.entry(shard.to_owned()).or_default();
            if *key > begin && known.as_ref().is_none_or(|known| first < *known) {
                *known = Some(first);
            }
        }
        take(page.into_iter().filter(|object| object.key > begin).collect());
    })
    .await?;
    Ok(shards)
}

/// The rows of a shard's manifest that may cover events received at `from` or later, in the shard's order.
///
/// Objects cover a shard one after the other, and a key has the hour in which the object's first record arrived. So of the
/// objects of earlier hours than `from` only the last can hold later records, however long its batch waited: the records
/// of the others arrived before *its* first record. Rows are read from the youngest back to that one.
pub async fn manifest(
    deployment: &impl Deployment,
    shard: &str,
    from: Timestamp,
) -> anyhow::Result<Vec<ManifestRow>> {
    let mut rows = Vec::new();
    backwards(deployment, shard, from, None, |row| rows.push(row)).await?;
    rows.reverse();
    Ok(rows)
}

/// Where the first row of [`manifest`] begins; `None` if that is the shard's first row. The search goes backwards from
/// `near`, a later position, or from the shard's end.
pub async fn first_row(
    deployment: &impl Deployment,
    shard: &str,
    from: Timestamp,
    near: Option<ShardPosition>,
) -> anyhow::Result<Option<ShardPosition>> {
    let mut first = None;
    let is_found = backwards(deployment, shard, from, near, |row| first = Some(row.first)).await?;
    Ok(first.filter(|_| is_found))
}

/// Gives the rows of [`manifest`] that begin before `end` to `take`, the last first. Returns whether an older row than
/// needed ended it.
async fn backwards(
    deployment: &impl Deployment,
    shard: &str,
    from: Timestamp,
    mut end: Option<ShardPosition>,
    mut take: impl FnMut(ManifestRow),
) -> anyhow::Result<bool> {
    let stop = stop(from);
    loop {
        let page = deployment.manifest(shard, ManifestPart::Before(end.as_ref())).await?;
        let Some(last) = page.last() else { return Ok(false) };
        end = Some(last.first.clone());
        for row in page {
            let is_last = row.key < stop;
            take(row);
            if is_last {
                return Ok(true);
            }
        }
    }
}

/// An upper bound of keys: the first record of every object that sorts before it arrived earlier than any event received at
/// `from`. It is an hour earlier, since the arrival times of a shard may be slightly out of order.
fn stop(from: Timestamp) -> String {
    begin(earlier(from, Duration::from_hours(1)))
}

/// The row of the object that covers an origin.
pub async fn covering(deployment: &impl Deployment, origin: &Origin) -> anyhow::Result<Option<ManifestRow>> {
    let position = ShardPosition::from(origin);
    let row = deployment.manifest(&origin.shard, ManifestPart::At(&position)).await?.pop();
    Ok(row.filter(|row| position < row.end))
}

/// The gzip members of an object: all in one piece, or `tenant`'s by range requests; and how many bytes of a sidecar were
/// read for them. `None` if they do not exist; then `absent` has the row.
pub async fn members(
    deployment: &impl Deployment,
    row: &ManifestRow,
    tenant: Option<&TenantId>,
    absent: &mut Absent,
) -> anyhow::Result<Option<(Vec<Bytes>, u64)>> {
    let objects = deployment.objects();
    let (found, sidecar_bytes) = match tenant {
        None => (objects.get(&row.key).await?.map(|object| vec![object]), 0),
        Some(tenant) => match members_of(objects, row, tenant).await {
            Ok(TenantMembers { members, sidecar_bytes }) => (members, sidecar_bytes),
            Err(NotRead::Unreadable(why)) => {
                absent.add(row, &why);
                return Ok(None);
            }
            Err(failure) => return Err(failure.into()),
        },
    };
    if found.is_none() {
        absent.add(row, &gone(row));
    }
    Ok(found.map(|members| (members, sidecar_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_objects_key_names_its_shard_and_first_position() {
        let at = Timestamp::from_unix_ms(1_704_937_370_234);
        let key = shared::format::key::archive_object("shardId-000000000002", "4951", 3, at);
        assert_eq!(key_start(&key), Some(("shardId-000000000002", ShardPosition::new("4951", 3))));
        for other in ["events/x", "events/dt=2024-01-11/hr=01/a-b-0.ndjson.gz", "errors/a-1-0.ndjson.gz"] {
            assert_eq!(key_start(other), None, "{other}");
        }
    }

    #[test]
    fn an_object_that_begins_after_a_time_sorts_after_its_lower_bound() {
        let at = Timestamp::from_unix_ms(1_704_937_370_234);
        let key = shared::format::key::archive_object("s", "1", 0, at);
        assert!(begin(at) < key);
        assert!(begin(at.plus(std::time::Duration::from_mins(4))) < key);
    }
}
