//! Where reading the manifest begins.

use std::time::Duration;

use consumer_fn::Ledger;
use local::adapters::Plain;
use local::data::DataFolder;
use local::embedded::EmbeddedStream;
use operate::archive::{earlier, first_row, manifest};
use operate::deployment::Deployment;
use shared::format::manifest_row::{ManifestRow, TenantIndex};
use shared::origin::ShardPosition;
use shared::time::{Clock, Timestamp};

const SHARD: &str = "shardId-000000000000";
const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// A deployment whose manifest has an object for each minute of 11 January 2024.
async fn of_a_day() -> (tempfile::TempDir, impl Deployment, Vec<ManifestRow>) {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    EmbeddedStream::open(data.database().unwrap(), 1, Clock::system()).await.unwrap();
    let deployment = local::deployment::open(folder.path(), &Plain).await.unwrap();
    let midnight = Timestamp::from_unix_ms(1_704_931_200_000);
    let row = |minute: u32| {
        let at = midnight.plus(Duration::from_mins(minute.into()));
        let first = ShardPosition::new((1_000 + minute).to_string(), 0);
        ManifestRow {
            key: shared::format::key::archive_object(SHARD, &first.sequence_number, 0, at),
            end: ShardPosition::new(first.sequence_number.clone(), 9),
            first,
            bytes: 1,
            sha256: "ab".to_owned(),
            lines: 1,
            received_at: [at, at],
            tenants: TenantIndex::Ranges(Vec::new()),
        }
    };
    let rows: Vec<_> = (0..24 * 60).map(row).collect();
    for row in &rows {
        deployment.ledger().note(SHARD, row).await.unwrap();
    }
    (folder, deployment, rows)
}

#[tokio::test]
async fn a_manifest_is_read_from_the_last_object_that_may_hold_events_of_the_span() {
    let (_folder, deployment, rows) = of_a_day().await;
    let midnight = rows[0].received_at[0];
    let near = |minute: usize| rows.get(minute).map(|row| row.first.clone());
    // Of the objects up to 18:59 only the last can hold an event received at 20:10, if its batch began then and waited.
    for (from, begin, near) in [
        (HOUR * 20 + MINUTE * 10, 19 * 60 - 1, near(21 * 60)),
        (HOUR * 20 + MINUTE * 10, 19 * 60 - 1, near(19 * 60)),
        // More than a page.
        (HOUR * 2 + MINUTE * 10, 59, None),
        (HOUR * 48, 24 * 60 - 1, None),
    ] {
        let from = midnight.plus(from);
        let of_the_time = manifest(&deployment, SHARD, from).await.unwrap();
        assert!(of_the_time == rows[begin..], "{from}: {} rows", of_the_time.len());
        let first = first_row(&deployment, SHARD, from, near).await.unwrap();
        assert_eq!(first.as_ref(), Some(&rows[begin].first));
    }
    let before = earlier(midnight, Duration::from_hours(24));
    assert!(manifest(&deployment, SHARD, before).await.unwrap() == rows);
    assert_eq!(first_row(&deployment, SHARD, before, None).await.unwrap(), None);
    assert_eq!(manifest(&deployment, "shardId-000000000001", midnight).await.unwrap(), []);
}
