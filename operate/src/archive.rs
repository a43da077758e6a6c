//! What the operator's commands have in common when they read the archive: spans of time, keys, and the manifest.

mod absent;

use std::collections::BTreeMap;

use shared::format::manifest_row::{ManifestRow, TenantIndex, TenantRange, sidecar_ranges};
use shared::objects::ObjectStore;
use shared::origin::ShardPosition;
use shared::time::{Clock, Timestamp};

use crate::deployment::{Deployment, ListedObject};

pub use absent::{Absent, gone};

/// The clocks of door and stream may differ by so much, in milliseconds.
pub const SKEW_MS: i64 = 300_000;

const HOUR_MS: i64 = 3_600_000;

/// A span of time, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first moment in it.
    pub from: Timestamp,
    /// The first moment behind it.
    pub to: Timestamp,
}

impl Default for Span {
    fn default() -> Self {
        Self::new(None, None)
    }
}

impl Span {
    /// Of all times, but for what the two say.
    pub fn new(from: Option<Timestamp>, to: Option<Timestamp>) -> Self {
        let end =
            |end: Option<Timestamp>, otherwise| end.unwrap_or_else(|| Timestamp::from_unix_ms(otherwise));
        Self { from: end(from, 0), to: end(to, i64::MAX) }
    }

    /// Whether a moment is in it.
    pub fn has(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }

    /// Whether anything between the two, inclusive, is in it.
    pub fn overlaps(&self, [oldest, youngest]: [Timestamp; 2]) -> bool {
        self.from <= youngest && oldest < self.to
    }
}

/// `time`, and `milliseconds` before.
pub fn earlier(time: Timestamp, milliseconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(time.unix_ms().saturating_sub(milliseconds))
}

/// What every archive object's key is behind whose first record arrived when events received at `from` may have: keys
/// have that record's hour, and no event arrives before it is received. An object from before may *end* with such
/// events: of those, [`manifest`] tells.
pub fn begin(from: Timestamp) -> String {
    format!("events/{}", earlier(from, SKEW_MS).hour_partition())
}

/// What an archive object's key says: its shard, and the first place it covers. `None` where it is no such key.
pub fn place(key: &str) -> Option<(&str, ShardPosition)> {
    let name = key.strip_prefix("events/")?.rsplit('/').next()?.strip_suffix(".ndjson.gz")?;
    let (rest, position) = name.rsplit_once('-')?;
    let (shard, sequence_number) = rest.rsplit_once('-')?;
    let is_number = !sequence_number.is_empty() && sequence_number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((shard, ShardPosition::new(sequence_number, position.parse().ok()?)))
}

/// Goes through the objects whose keys begin with `prefix` and are behind `after`, a page at a time.
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

/// The shards that may have archived events received at `from` or later: those of the stream, and those that are in
/// archive keys. With each the first place that a key from `from` on names, if one does. `take` gets the objects of these
/// keys, page by page.
///
/// A shard that the stream has forgotten is known by keys alone; and the last of them may be as much older than `from`
/// as a record can wait on the stream for the batch that archives it.
pub async fn shards(
    deployment: &impl Deployment,
    from: Timestamp,
    mut take: impl FnMut(Vec<ListedObject>),
) -> anyhow::Result<BTreeMap<String, Option<ShardPosition>>> {
    let streamed = deployment.shards().await?.into_iter().map(|shard| (shard, None));
    let mut shards: BTreeMap<String, Option<ShardPosition>> = streamed.collect();
    let retention = i64::try_from(deployment.retention().await?.as_millis()).unwrap_or(i64::MAX);
    let remembered = earlier(Clock::system().now(), retention.saturating_sub(SKEW_MS));
    let begin = begin(from);
    let after = if from < remembered { self::begin(earlier(from, retention)) } else { begin.clone() };
    each_page(deployment, "events/", Some(after), |page| {
        for (key, (shard, first)) in page.iter().filter_map(|object| Some((&object.key, place(&object.key)?)))
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

/// The rows of a shard's manifest that may tell of events received at `from` or later, in the shard's order.
///
/// Objects cover a shard one behind the other, and a key has the hour in which its object's first record arrived. So of the
/// objects of earlier hours than `from` only the last can hold what arrived later, however long its batch took to come
/// about: what the others hold arrived before *its* first record did. Rows are read from the youngest back to that one.
pub async fn manifest(
    deployment: &impl Deployment,
    shard: &str,
    from: Timestamp,
) -> anyhow::Result<Vec<ManifestRow>> {
    let mut rows: Vec<ManifestRow> = Vec::new();
    let stop = stop(from);
    loop {
        let page = deployment.manifest_before(shard, rows.last().map(|row| &row.first)).await?;
        let end = page.iter().position(|row| row.key < stop);
        let is_last = page.is_empty() || end.is_some();
        let wanted = end.map_or(page.len(), |end| end + 1);
        rows.extend(page.into_iter().take(wanted));
        if is_last {
            rows.reverse();
            return Ok(rows);
        }
    }
}

/// The first place of the first row that [`manifest`] would give; `None` if that is the shard's first row. Looked for
/// from `near` back, a place that is behind it, or from the shard's end.
pub async fn first_row(
    deployment: &impl Deployment,
    shard: &str,
    from: Timestamp,
    near: Option<ShardPosition>,
) -> anyhow::Result<Option<ShardPosition>> {
    let stop = stop(from);
    let mut before = near;
    loop {
        let page = deployment.manifest_before(shard, before.as_ref()).await?;
        let Some(last) = page.last().map(|row| row.first.clone()) else { return Ok(None) };
        if let Some(row) = page.into_iter().find(|row| row.key < stop) {
            return Ok(Some(row.first));
        }
        before = Some(last);
    }
}

/// What the keys of objects are before whose first record arrived surely earlier than any event received at `from`: by
/// an hour, since records of one shard may bear times that are a little out of order.
fn stop(from: Timestamp) -> String {
    begin(earlier(from, HOUR_MS))
}

/// The ranges of a row, and how many bytes beside the row had to be read for them; or why they cannot be had.
pub async fn ranges_of(
    deployment: &impl Deployment,
    row: &ManifestRow,
) -> anyhow::Result<Result<(Vec<TenantRange>, u64), String>> {
    let key = match &row.tenants {
        TenantIndex::Ranges(ranges) => return Ok(Ok((ranges.clone(), 0))),
        TenantIndex::Sidecar(key) => key,
    };
    let Some(sidecar) = deployment.objects().get(key).await? else {
        return Ok(Err(format!("its tenants' ranges should be in `{key}`, which is not there")));
    };
    let ranges = sidecar_ranges(&sidecar).map(|ranges| (ranges, sidecar.len() as u64));
    Ok(ranges.map_err(|why| format!("`{key}` cannot be read: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_objects_key_names_its_shard_and_its_first_place() {
        let at = Timestamp::from_unix_ms(1_704_937_370_234);
        let key = shared::format::key::archive_object("shardId-000000000002", "4951", 3, at);
        assert_eq!(place(&key), Some(("shardId-000000000002", ShardPosition::new("4951", 3))));
        for other in ["events/x", "events/dt=2024-01-11/hr=01/a-b-0.ndjson.gz", "errors/a-1-0.ndjson.gz"] {
            assert_eq!(place(other), None, "{other}");
        }
    }

    #[test]
    fn no_object_with_events_of_a_time_has_a_key_before_its_beginning() {
        let at = Timestamp::from_unix_ms(1_704_937_370_234);
        let key = shared::format::key::archive_object("s", "1", 0, at);
        assert!(begin(at) < key);
        assert!(begin(at.plus(std::time::Duration::from_mins(4))) < key);
    }
}
