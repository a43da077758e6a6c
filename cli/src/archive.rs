//! What the operator's commands have in common when they read the archive: spans of time, keys, and the manifest.

use consumer_fn::manifest::{ManifestRow, TenantRange, Tenants, sidecar_ranges};
use consumer_fn::{Mark, ObjectStore};
use shared::time::Timestamp;

use crate::deployment::{Deployment, Listed};

/// The clocks of door and stream may differ by so much, in milliseconds.
pub const SKEW_MS: i64 = 300_000;

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

/// What every archive object's key is behind that holds events received at `from` or later: keys have the hour in which
/// an object's first record arrived, and no event arrives before it is received.
pub fn begin(from: Timestamp) -> String {
    format!("events/{}", earlier(from, SKEW_MS).hour_partition())
}

/// What an archive object's key says: its shard, and the first place it covers. `None` where it is no such key.
pub fn place(key: &str) -> Option<(&str, Mark)> {
    let name = key.strip_prefix("events/")?.rsplit('/').next()?.strip_suffix(".ndjson.gz")?;
    let (rest, position) = name.rsplit_once('-')?;
    let (shard, sequence_number) = rest.rsplit_once('-')?;
    let is_number = !sequence_number.is_empty() && sequence_number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((shard, Mark::new(sequence_number, position.parse().ok()?)))
}

/// Goes through the objects whose keys begin with `prefix` and are behind `after`, a page at a time.
pub async fn each_page(
    deployment: &impl Deployment,
    prefix: &str,
    mut after: Option<String>,
    mut take: impl FnMut(Vec<Listed>),
) -> anyhow::Result<()> {
    loop {
        let page = deployment.list(prefix, after.as_deref()).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key.clone());
        take(page);
    }
}

/// A shard's manifest, in the shard's order.
pub async fn manifest(deployment: &impl Deployment, shard: &str) -> anyhow::Result<Vec<ManifestRow>> {
    let mut rows: Vec<ManifestRow> = Vec::new();
    loop {
        let page = deployment.manifest(shard, rows.last().map(|row| &row.first)).await?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

/// The ranges of a row, and how many bytes beside the row had to be read for them; or why they cannot be had.
pub async fn ranges_of(
    deployment: &impl Deployment,
    row: &ManifestRow,
) -> anyhow::Result<Result<(Vec<TenantRange>, u64), String>> {
    let key = match &row.tenants {
        Tenants::Ranges(ranges) => return Ok(Ok((ranges.clone(), 0))),
        Tenants::Sidecar(key) => key,
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
        let key = shared::key::archive_object("shardId-000000000002", "4951", 3, at);
        assert_eq!(place(&key), Some(("shardId-000000000002", Mark::new("4951", 3))));
        for other in ["events/x", "events/dt=2024-01-11/hr=01/a-b-0.ndjson.gz", "errors/a-1-0.ndjson.gz"] {
            assert_eq!(place(other), None, "{other}");
        }
    }

    #[test]
    fn no_object_with_events_of_a_time_has_a_key_before_its_beginning() {
        let at = Timestamp::from_unix_ms(1_704_937_370_234);
        let key = shared::key::archive_object("s", "1", 0, at);
        assert!(begin(at) < key);
        assert!(begin(at.plus(std::time::Duration::from_mins(4))) < key);
    }
}
