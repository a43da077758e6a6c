//! Stream, tables and bucket.

use consumer_fn::items::{BY_RECEIVED_AT, EXPIRES_AT, RECEIVED_AT, RECEIVED_PARTITION};
use shared::config::Config;
use shared::format::key;
use shared::limits;

use super::facts::{DeployedBucket, DeployedStack, DeployedTable, Index};
use super::report::{About, DoctorReport};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

pub(super) fn check(deployment: &DeployedStack, config: &Config, report: &mut DoctorReport) {
    stream(deployment, config, &mut report.about("stream"));
    items(deployment, config, report);
    let DeployedTable { arn, expires_by, .. } = &deployment.ledger;
    let mut ledger = report.about("ledger table");
    ledger.holds(
        "time to live",
        expires_by.as_deref().unwrap_or("off"),
        expires_by.is_none(),
        "off: without its rows events are archived twice",
        set_time_to_live(arn, false, expires_by.as_deref().unwrap_or_default()),
    );
    table(&deployment.ledger, &mut ledger);
    bucket(&deployment.bucket, &mut report.about("bucket"));
}

fn set_time_to_live(arn: &str, is_on: bool, attribute: &str) -> String {
    let table = name(arn);
    format!(
        "aws dynamodb update-time-to-live --table-name {table} --time-to-live-specification Enabled={is_on},AttributeName={attribute}"
    )
}

fn stream(deployment: &DeployedStack, config: &Config, about: &mut About<'_>) {
    let stream = &deployment.stream;
    let name = name(&stream.arn);
    let hours = limits::STREAM_RETENTION.as_secs() / HOUR;
    about.equals("StreamStatus", &stream.status, "ACTIVE", "wait, or ask AWS");
    about.at_least(
        "RetentionPeriodHours",
        stream.retention.as_secs() / HOUR,
        hours,
        "",
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
    // Deduplication needs the items: they must outlive every redelivery.
    let again = deployment.stream.retention + deployment.spill.retention + deployment.dead_letters.retention;
    let days = again.as_secs().div_ceil(DAY);
    let shortest = config.items.days_to_live.values().copied().min();
    let mut about = report.about("items table");
    about.holds(
        "time to live",
        items.expires_by.as_deref().unwrap_or("off"),
        items.expires_by.as_deref() == Some(EXPIRES_AT),
        format_args!("by `{EXPIRES_AT}`"),
        set_time_to_live(&items.arn, true, EXPIRES_AT),
    );
    about.holds(
        "days to live",
        shortest.map_or("unlimited".to_owned(), |days| days.to_string()),
        shortest.is_none_or(|shortest| u64::from(shortest) >= days),
        format_args!(
            "at least {days}: stream, spill queue and dead letters can deliver an event again until then"
        ),
        "raise items.days_to_live in tidegate.toml, or shorten the retention of the queues",
    );
    table(items, &mut about);
    index(items.indexes.get(BY_RECEIVED_AT), &mut report.about(format!("index {BY_RECEIVED_AT}")));
}

/// With other keys all events of a spread tenant would go to one partition of the index. If the index throttles, the
/// table does too.
fn index(index: Option<&Index>, about: &mut About<'_>) {
    let status = index.map_or("none", |index| index.status.as_str());
    about.equals("IndexStatus", status, "ACTIVE", "wait, or deploy the stack again");
    let Some(index) = index else { return };
    about.equals(
        "KeySchema",
        index.keys.join(", "),
        format!("{RECEIVED_PARTITION}, {RECEIVED_AT}"),
        "the keys of an index cannot be changed: deploy a new table",
    );
    about.equals(
        "Projection",
        &index.projection,
        "KEYS_ONLY",
        "more attributes cost more write units, and this cannot be changed: deploy a new table",
    );
}

fn table(table: &DeployedTable, about: &mut About<'_>) {
    let name = name(&table.arn);
    about.equals("TableStatus", &table.status, "ACTIVE", "wait, or ask AWS");
    let keys = table.keys.join(", ");
    about.equals("KeySchema", keys, "pk, sk", "this cannot be changed: deploy a new table");
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

fn bucket(bucket: &DeployedBucket, about: &mut About<'_>) {
    let DeployedBucket { name, lifecycle, .. } = bucket;
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
    let ends = key::ARCHIVE.map(expiry);
    about.holds(
        "lifecycle: expiry of the archive",
        key::ARCHIVE.map(|prefix| format!("{prefix} {}", shown(expiry(prefix)))).join(", "),
        ends.iter().all(|end| *end == ends[0]),
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
    let claims = expiry(key::CLAIMS);
    let others = key::TEMPORARY.into_iter().filter(|prefix| *prefix != key::CLAIMS);
    let longest = others.filter_map(expiry).max();
    let least = longest.map(|days| u64::from(days) + limits::DELIVERY_DAYS);
    about.holds(
        &format!("lifecycle: expiry of {} after the others", key::CLAIMS),
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
