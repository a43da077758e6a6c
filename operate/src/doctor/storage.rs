//! Stream, tables and bucket.

use std::collections::BTreeMap;
use std::time::Duration;

use consumer_fn::items::{BY_RECEIVED_AT, RECEIVED_AT, RECEIVED_PARTITION};
use shared::config::Config;
use shared::format::key;
use shared::limits;

use super::facts::{DeployedBucket, DeployedStack, DeployedTable, Index};
use super::report::DoctorReport;

const DAY: u64 = 86_400;

pub(super) fn check(deployment: &DeployedStack, config: &Config, report: &mut DoctorReport) {
    stream(deployment, config, report);
    items(deployment, config, report);
    let mut ledger = report.about("ledger table");
    ledger.holds(
        "time to live",
        deployment.ledger.expires_by.as_deref().unwrap_or("off"),
        deployment.ledger.expires_by.is_none(),
        "off: without its rows events are archived twice",
        format!(
            "aws dynamodb update-time-to-live --table-name {} --time-to-live-specification Enabled=false,AttributeName={}",
            name(&deployment.ledger.arn),
            deployment.ledger.expires_by.as_deref().unwrap_or_default()
        ),
    );
    table("ledger table", &deployment.ledger, report);
    bucket(&deployment.bucket, report);
}

fn stream(deployment: &DeployedStack, config: &Config, report: &mut DoctorReport) {
    let stream = &deployment.stream;
    let name = name(&stream.arn);
    let hours = shared::limits::STREAM_RETENTION.as_secs() / 3_600;
    let mut about = report.about("stream");
    about.holds("StreamStatus", &stream.status, stream.status == "ACTIVE", "ACTIVE", "wait, or ask AWS");
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

fn items(deployment: &DeployedStack, config: &Config, report: &mut DoctorReport) {
    let items = &deployment.items;
    let attribute = consumer_fn::items::EXPIRES_AT;
    // Deduplication needs the items: they must outlive every redelivery.
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
            "at least {days}: stream, spill queue and dead letters can deliver an event again until then"
        ),
        "raise items.days_to_live in tidegate.toml, or shorten the retention of the queues",
    );
    table("items table", items, report);
    index(items.indexes.get(BY_RECEIVED_AT), report);
}

/// With other keys all events of a spread tenant would go to one partition of the index. If the index throttles, the
/// table does too.
fn index(index: Option<&Index>, report: &mut DoctorReport) {
    let mut about = report.about(format!("index {BY_RECEIVED_AT}"));
    let status = index.map_or("none", |index| index.status.as_str());
    about.holds("IndexStatus", status, status == "ACTIVE", "ACTIVE", "wait, or deploy the stack again");
    let Some(index) = index else { return };
    about.equals(
        "KeySchema",
        &index.keys.join(", "),
        &format!("{RECEIVED_PARTITION}, {RECEIVED_AT}"),
        "the keys of an index cannot be changed: deploy a new table",
    );
    about.equals(
        "Projection",
        &index.projection,
        &"KEYS_ONLY".to_owned(),
        "more attributes cost more write units, and this cannot be changed: deploy a new table",
    );
}

fn table(title: &str, table: &DeployedTable, report: &mut DoctorReport) {
    let name = name(&table.arn);
    let mut about = report.about(title);
    about.holds("TableStatus", &table.status, table.status == "ACTIVE", "ACTIVE", "wait, or ask AWS");
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

fn bucket(bucket: &DeployedBucket, report: &mut DoctorReport) {
    let DeployedBucket { name, lifecycle, .. } = bucket;
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
    // A rule for the whole bucket counts for each prefix.
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
            "set: otherwise it grows without limit",
            again,
        );
    }
    let [claims, longest] = [
        expiry(key::CLAIMS),
        key::TEMPORARY.into_iter().filter(|prefix| *prefix != key::CLAIMS).filter_map(expiry).max(),
    ];
    let least = longest.map(|days| u64::from(days) + limits::DELIVERY_DAYS);
    about.holds(
        &format!("lifecycle: {} outlives what may ask for it", key::CLAIMS),
        shown(claims),
        claims.is_none() || claims.map(u64::from) >= least,
        format!("{} days longer than the other temporary prefixes", limits::DELIVERY_DAYS),
        again,
    );
    let aborts =
        lifecycle.iter().any(|rule| rule.prefix.is_empty() && rule.aborts_uploads_after_days.is_some());
    about.is_on("lifecycle: unfinished uploads are removed", aborts, again);
}

fn name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
