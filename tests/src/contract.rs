//! `cdk/contract.json`: the facts that the functions rely on, for the CDK.
//!
//! They come from the code that runs; only the names of binaries are stated here. `make contract` writes the file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use consumer_fn::environment as of_consumer;
use dispatch_fn::environment as of_dispatcher;
use ingest_fn::drain;
use operate::permissions as of_operators;
use serde_json::{Value, json};
use shared::config::{Archive, Consumer, Dispatch, ItemContent, Reads, Recipe};
use shared::format::archive_line::ArchiveLine;
use shared::format::quarantine_line::QuarantineLine;
use shared::format::{Column, key};
use shared::id::{EventId, TenantId};
use shared::mapping::{Rules, STARTING_POSITION};
use shared::metric::{DIMENSION, Metric, NAMESPACE};
use shared::permission::{BY_KEY, IN_VPC, On, Permission};
use shared::telemetry::CHECK;
use shared::{environment, health, limits, partition};

use crate::item_size;

/// Where the contract is stored.
pub fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../cdk/contract.json"))
}

/// The contract as text.
pub fn text() -> String {
    format!("{:#}\n", contract())
}

fn contract() -> Value {
    json!({
        "functions": {
            "ingest": function("ingest-fn", ingest_fn::environment::ENVIRONMENT, ingest_fn::environment::PERMISSIONS),
            "drain": function(
                "spill-drain",
                ingest_fn::environment::DRAIN_ENVIRONMENT,
                ingest_fn::environment::DRAIN_PERMISSIONS,
            ),
            "consumer": function(
                "consumer-fn",
                &consumer_fn::environment::ENVIRONMENT,
                consumer_fn::environment::PERMISSIONS,
            ),
            "dispatch": function(
                "dispatch-fn",
                dispatch_fn::environment::ENVIRONMENT,
                dispatch_fn::environment::PERMISSIONS,
            ),
        },
        // How a function is asked whether it would start.
        "configuration": { "variable": environment::CONFIG, "check": CHECK },
        // What an operator's role needs for the commands.
        "operators": {
            "read": of_operators::READ,
            "redrive": of_operators::REDRIVE,
            "erase": of_operators::ERASE,
            "verify": of_operators::VERIFY,
        },
        "reads": {
            "enabledVariable": Reads::VARIABLE,
            "variables": ingest_fn::environment::READS_ENVIRONMENT,
            "permissions": ingest_fn::environment::READS_PERMISSIONS.iter().map(permission).collect::<Vec<_>>(),
        },
        "dispatch": dispatch(),
        "ingest": { "memoryMb": limits::ingest_mb(limits::BODY_BYTES), "memoryRatio": limits::MEMORY_RATIO, "processMb": limits::PROCESS_MB, "answerSeconds": limits::ANSWER.as_secs() },
        // For the ingest function, where the configuration asks for credentials.
        "credentials": {
            "variables": ingest_fn::environment::CREDENTIALS_ENVIRONMENT,
            "permissions": permissions(ingest_fn::environment::CREDENTIALS_PERMISSIONS),
            "empty": r#"{"tenants":[]}"#,
        },
        "consumer": {
            "memoryMb": limits::PROCESSOR_MB,
            // Of `consumer.timeout_seconds`.
            "timeoutSeconds": {
                "default": Consumer::default().timeout_seconds,
                "least": Consumer::SHORTEST_TIMEOUT,
                "most": Consumer::LONGEST_TIMEOUT,
            },
        },
        "stream": { "retentionSeconds": limits::STREAM_RETENTION.as_secs() },
        "spill": {
            "messageBytes": limits::MESSAGE_BYTES,
            "batchMessages": limits::BATCH_MESSAGES,
            "visibilitySeconds": drain::VISIBILITY.as_secs(),
            "receives": drain::RECEIVES,
            "drainTimeoutSeconds": drain::TIMEOUT.as_secs(),
            "retentionSeconds": limits::SPILL_RETENTION.as_secs(),
            "deadLetterRetentionSeconds": limits::DEAD_LETTER_RETENTION.as_secs(),
        },
        "mapping": mapping(&Rules::default()),
        // What settings of a stage add to each role.
        "actions": { "inVpc": IN_VPC, "byKey": BY_KEY },
        "alarms": alarms(),
        "prefixes": { "archive": key::ARCHIVE, "temporary": key::TEMPORARY, "claims": key::CLAIMS },
        "tables": {
            "events": { "prefix": "events/", "columns": columns(ArchiveLine::COLUMNS) },
            "errors": { "prefix": key::QUARANTINE, "columns": columns(QuarantineLine::COLUMNS) },
        },
        "items": items(),
        "recipes": Recipe::ALL.map(|recipe| recipe.name),
        "metrics": { "namespace": NAMESPACE, "dimension": DIMENSION, "stageVariable": environment::STAGE, "all": metrics() },
    })
}

/// What is deployed only where dispatch is on.
fn dispatch() -> Value {
    let more = |variable: &str, permissions: &[Permission]| {
        let permissions: Vec<_> = permissions.iter().map(permission).collect();
        json!({ "variables": [variable], "permissions": permissions })
    };
    json!({
        "messageBytes": limits::MESSAGE_BYTES,
        "batchMessages": limits::BATCH_MESSAGES,
        "batchSeconds": dispatch_fn::BATCH_SECONDS,
        "concurrency": dispatch_fn::CONCURRENCY,
        "visibilitySeconds": dispatch_fn::VISIBILITY.as_secs(),
        "receives": dispatch_fn::RECEIVES,
        "timeoutSeconds": dispatch_fn::TIMEOUT.as_secs(),
        "retentionSeconds": limits::DISPATCH_RETENTION.as_secs(),
        "deadLetterRetentionSeconds": limits::DEAD_LETTER_RETENTION.as_secs(),
        "urlVariable": Dispatch::URL_VARIABLE,
        "rateKey": dispatch_fn::slots::PARTITION_KEY,
        "ofConsumer": more(environment::DISPATCH_QUEUE, of_consumer::DISPATCH_PERMISSIONS),
        "withSecret": more(environment::DISPATCH_SECRET_ARN, of_dispatcher::SECRET_PERMISSIONS),
    })
}

fn function(binary: &str, variables: &[&str], permissions: &[Permission]) -> Value {
    json!({ "binary": binary, "variables": variables, "permissions": self::permissions(permissions) })
}

fn permissions(permissions: &[Permission]) -> Vec<Value> {
    permissions.iter().map(permission).collect()
}

fn permission(Permission { action, on }: &Permission) -> Value {
    let on = match on {
        On::Objects(prefix) => return json!({ "action": action, "on": "objects", "prefix": prefix }),
        On::Stream => "stream",
        On::Items => "items",
        On::ItemsByTime => "itemsByTime",
        On::Ledger => "ledger",
        On::Bucket => "bucket",
        On::SpillQueue => "spillQueue",
        On::DispatchQueue => "dispatchQueue",
        On::DispatchDeadLetters => "dispatchDeadLetters",
        On::Rate => "rate",
        On::TargetSecret => "targetSecret",
        On::Credentials => "credentials",
        On::Logs => "logs",
        On::Everything => "everything",
    };
    json!({ "action": action, "on": on })
}

/// The rules of the event source mapping. The local run follows them, and the mapping on AWS is configured with them.
fn mapping(rules: &Rules) -> Value {
    json!({
        "startingPosition": STARTING_POSITION,
        "batchSize": rules.batch_size,
        // Of `archive.window_seconds`.
        "windowSeconds": {
            "default": rules.batching_window.as_secs(),
            "least": Archive::SHORTEST_WINDOW,
            "most": Archive::LONGEST_WINDOW,
        },
        "retryAttempts": rules.maximum_retry_attempts,
        "recordAgeSeconds": rules.maximum_record_age.map(|age| age.as_secs()),
        "bisectOnError": rules.bisect_on_error,
        "reportFailures": rules.report_batch_item_failures,
        "failurePrefix": key::FAILURE_DESTINATION,
    })
}

/// The numbers that `GET /health` goes by, too.
fn alarms() -> Value {
    json!({
        "freshnessSeconds": health::FRESHNESS.as_secs(),
        "lagSeconds": health::LAG.as_secs(),
        "stuckMinutes": health::STUCK.as_secs() / 60,
        "slowPercent": health::SLOW_PERCENT,
        "slowMarginSeconds": health::SLOW_MARGIN.as_secs(),
        "backlogSeconds": health::BACKLOG.as_secs(),
    })
}

fn columns(columns: &[Column]) -> Vec<Value> {
    let column =
        |(name, sql_type, comment): &Column| json!({ "name": name, "type": sql_type, "comment": comment });
    columns.iter().map(column).collect()
}

/// The attributes of the items table for its keys, its index and its expiry; the partitions of one tenant; and the size of the item
/// of an event of so many bytes.
fn items() -> Value {
    let (tenant, id) =
        (TenantId::parse("TENANT").expect("a valid id"), EventId::parse("1").expect("a valid id"));
    let spread = BTreeMap::from([(tenant.clone(), 1)]);
    let pattern = |partition: String| partition.replace("TENANT", "{tenant}");
    json!({
        "partitionKey": key::PARTITION_ATTRIBUTE,
        "sortKey": key::SORT_ATTRIBUTE,
        "expiresAt": consumer_fn::items::EXPIRES_AT,
        "eventBytes": item_size::EVENT_BYTES,
        "bytes": {
            "both": item_size::item_bytes(ItemContent::Both),
            "changed": item_size::item_bytes(ItemContent::Changed),
            "reference": item_size::item_bytes(ItemContent::Reference),
        },
        "partitions": [pattern(key::item_partition(&tenant))],
        "index": {
            "name": consumer_fn::items::BY_RECEIVED_AT,
            "partitionKey": consumer_fn::items::RECEIVED_PARTITION,
            "sortKey": consumer_fn::items::RECEIVED_AT,
            // Spread over one key, the partition ends in that key's number.
            "partitions": [
                pattern(partition::received_partition(&tenant, &id, &BTreeMap::new())),
                pattern(partition::received_partition(&tenant, &id, &spread)).replace("#0", "#{key}"),
            ],
        },
    })
}

fn metrics() -> Vec<Value> {
    let metric = |metric: &Metric| {
        let statistic = if metric.is_distribution() { "distribution" } else { "sum" };
        json!({
            "name": metric.name(),
            "unit": metric.unit(),
            "kind": statistic,
            "meaning": metric.meaning(),
            "ofDispatch": metric.is_of_dispatch(),
        })
    };
    Metric::ALL.iter().map(metric).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_contract_that_the_cdk_reads_is_current() {
        let stored = std::fs::read_to_string(super::file()).unwrap_or_default();
        assert!(stored == super::text(), "cdk/contract.json is out of date: run `make contract`");
    }
}
