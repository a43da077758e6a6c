//! What holds the data: stream, tables, bucket.

use std::collections::BTreeMap;
use std::time::Duration;

use consumer_fn::items::{BY_RECEIVED_AT, RECEIVED_AT, RECEIVED_PARTITION};
use shared::config::Config;
use shared::format::key;
use shared::limits;

use super::facts::{Bucket, Deployment, Index, Table};
use super::report::Report;

const DAY: u64 = 86_400;

pub(super) fn check(deployment: &Deployment, config: &Config, report: &mut Report) {
    stream(deployment, config, report);
    items(deployment, config, report);
    let mut ledger = report.about("ledger table");
    ledger.holds(
        "time to live",
        deployment.ledger.expires_by.as_deref().unwrap_or("off"),
        deployment.ledger.expires_by.is_none(),
        "off: without its rows events are archived a second time",
        format!(
            "aws dynamodb update-time-to-live --table-name {} --time-to-live-specification Enabled=false,AttributeName={}",
            name(&deployment.ledger.arn),
            deployment.ledger.expires_by.as_deref().unwrap_or_default()
        ),
    );
    table("ledger table", &deployment.ledger, report);
    bucket(&deployment.bucket, report);
}

fn stream(deployment: &Deployment, config: &Config, report: &mut Report) {
    let stream = &deployment.stream;
    let name = name(&stream.arn);
    let hours = shared::limits::STREAM_RETENTION.as_secs() / 3_600;
    let mut about = report.about("stream");
    about.holds("StreamStatus", &stream.status, stream.status == "ACTIVE", "ACTIVE", "wait; else ask AWS");
    about.holds(
        "RetentionPeriodHours",
        stream.retention.as_secs() / 3_600,
        stream.retention >= shared::limits::STREAM_RETENTION,
        format_args!("at least {hours}"),
        format!("aws kinesis increase-stream-retention-period --stream-name {name} --retention-period-hours {hours}"),
    );
    about.is_on(
        "encryption",
        stream.is_encrypted,
        format!("aws kinesis start-stream-encryption --stream-name {name} --encryption-type KMS --key-id alias/aws/kinesis"),
    );
    let keys = config.tenants.spread.values().copied().max().unwrap_or(1);
    let shards = usize::from(keys.min(2));
    about.holds(
        "shards",
        format_args!("{} ({})", stream.shards, stream.mode),
        stream.shards >= shards,
        format_args!("at least {shards}: tidegate.toml spreads a tenant over {keys} partition keys"),
        format!("aws kinesis update-shard-count --stream-name {name} --target-shard-count {shards} --scaling-type UNIFORM_SCALING"),
    );
}

fn items(deployment: &Deployment, config: &Config, report: &mut Report) {
    let items = &deployment.items;
    let attribute = consumer_fn::items::EXPIRES_AT;
    // Deduplication rests on the items: they must outlive whatever may still be delivered.
    let again = deployment.stream.retention + deployment.spill.retention + deployment.dead_letters.retention;
    let days = again.as_secs().div_ceil(DAY);
    let shortest = config.items.days_to_live.values().copied().min();
    let mut about = report.about("items table");
    about.holds(
        "time to live",
        items.expires_by.as_deref().unwrap_or("off"),
        items.expires_by.as_deref() == Some(attribute),
        format_args!("by `{attribute}`"),
        format!(
            "aws dynamodb update-time-to-live --table-name {} --time-to-live-specification Enabled=true,AttributeName={attribute}",
            name(&items.arn)
        ),
    );
    about.holds(
        "days to live",
        shortest.map_or("unlimited".to_owned(), |days| days.to_string()),
        shortest.is_none_or(|shortest| Duration::from_secs(u64::from(shortest) * DAY) >= again),
        format_args!(
            "at least {days}: stream, spill queue and dead letters may deliver an event again for so long"
        ),
        "raise items.days_to_live in tidegate.toml, or lower what the queues keep",
    );
    table("items table", items, report);
    index(items.indexes.get(BY_RECEIVED_AT), report);
}

/// The index by time. By other keys the events of a tenant that is spread would all be written to one partition of it,
/// and what that refuses is refused of the items as well.
fn index(index: Option<&Index>, report: &mut Report) {
    let mut about = report.about(format!("index {BY_RECEIVED_AT}"));
    let status = index.map_or("none", |index| index.status.as_str());
    about.holds("IndexStatus", status, status == "ACTIVE", "ACTIVE", "wait; else deploy the stack again");
    let Some(index) = index else { return };
    about.equals(
        "KeySchema",
        &index.keys.join(", "),
        &format!("{RECEIVED_PARTITION}, {RECEIVED_AT}"),
        "an index keeps its keys: deploy a new table",
    );
    about.equals(
        "Projection",
        &index.projection,
        &"KEYS_ONLY".to_owned(),
        "more costs more write units, and an index keeps what it holds: deploy a new table",
    );
}

fn table(title: &str, table: &Table, report: &mut Report) {
    let name = name(&table.arn);
    let mut about = report.about(title);
    about.holds("TableStatus", &table.status, table.status == "ACTIVE", "ACTIVE", "wait; else ask AWS");
    about.equals(
        "KeySchema",
        &table.keys.join(", "),
        &"pk, sk".to_owned(),
        "this cannot be changed: deploy a new table",
    );
    about.is_on(
        "point-in-time recovery",
        table.is_restorable,
        format!("aws dynamodb update-continuous-backups --table-name {name} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"),
    );
    about.is_on(
        "encryption by KMS",
        table.is_encrypted,
        format!("aws dynamodb update-table --table-name {name} --sse-specification Enabled=true,SSEType=KMS"),
    );
}

fn bucket(bucket: &Bucket, report: &mut Report) {
    let Bucket { name, lifecycle, .. } = bucket;
    let mut about = report.about("bucket");
    about.is_on(
        "public access block",
        bucket.is_private,
        format!("aws s3api put-public-access-block --bucket {name} --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"),
    );
    about.is_on("encryption", bucket.is_encrypted, format!("aws s3api put-bucket-encryption --bucket {name} --server-side-encryption-configuration '{{\"Rules\":[{{\"ApplyServerSideEncryptionByDefault\":{{\"SSEAlgorithm\":\"AES256\"}}}}]}}'"));
    about.is_on(
        "TLS only",
        bucket.is_tls_only,
        "deploy the stack again: its policy refuses requests without TLS",
    );
    let again = "deploy the stack again: it sets the bucket's lifecycle";
    // A rule for the whole bucket is one for each prefix.
    let expiry = |prefix: &str| {
        let rules = lifecycle.iter().filter(|rule| prefix.starts_with(&rule.prefix));
        rules.filter_map(|rule| rule.expires_after_days).min()
    };
    let shown = |days: Option<u32>| days.map_or("never".to_owned(), |days| format!("after {days} days"));
    let kept: BTreeMap<_, _> = key::KEPT_TOGETHER.map(|prefix| (prefix, expiry(prefix))).into();
    let listed =
        kept.iter().map(|(prefix, days)| format!("{prefix} {}", shown(*days))).collect::<Vec<_>>().join(", ");
    let mut ends: Vec<_> = kept.into_values().collect();
    ends.dedup();
    about.holds(
        "lifecycle: expiry of what is kept together",
        listed,
        ends.len() == 1,
        "the same: an archive line may refer to a text",
        again,
    );
    for prefix in key::TEMPORARY {
        let days = expiry(prefix);
        about.holds(
            &format!("lifecycle: expiry of {prefix}"),
            shown(days),
            days.is_some(),
            "set: else it grows for ever",
            again,
        );
    }
    let [claims, longest] = [
        expiry(key::CLAIMS),
        key::TEMPORARY.into_iter().filter(|prefix| *prefix != key::CLAIMS).filter_map(expiry).max(),
    ];
    let least = longest.map(|days| u64::from(days) + limits::CLAIM_EXTRA_DAYS);
    about.holds(
        &format!("lifecycle: {} outlives what may ask for it", key::CLAIMS),
        shown(claims),
        claims.is_none() || claims.map(u64::from) >= least,
        format!("{} days longer than the other temporary prefixes", limits::CLAIM_EXTRA_DAYS),
        again,
    );
    let aborts =
        lifecycle.iter().any(|rule| rule.prefix.is_empty() && rule.aborts_uploads_after_days.is_some());
    about.is_on("lifecycle: unfinished uploads are removed", aborts, again);
}

fn name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
