//! The event source mappings: from the stream to the consumer, and from the spill queue to the drain.

use std::fmt::Display;
use std::time::Duration;

use shared::config::Config;
use shared::mapping::{Rules, STARTING_POSITION};
use uuid::Uuid;

use super::facts::{DeployedStack, StreamMapping};
use super::report::{About, DoctorReport, option};

/// Records that fail are retried at least so long: a shorter outage must not send them to the failure destination.
const SHORTEST_AGE: Duration = Duration::from_hours(1);

/// The drain is built for at most so many messages in one invocation.
const SPILL_BATCH: usize = shared::limits::BATCH_MESSAGES;

pub(super) fn check(deployment: &DeployedStack, config: &Config, report: &mut DoctorReport) {
    let mut about = report.about("consumer's mapping");
    ends(deployment, &mut about);
    rules(deployment, &Rules::new(config), &mut about);
    spill(deployment, &mut report.about("drain's mapping"));
}

fn update(id: impl Display, option: impl Display) -> String {
    format!("aws lambda update-event-source-mapping --uuid {id} {option}")
}

/// What the mapping connects, and whether it is on.
fn ends(deployment: &DeployedStack, about: &mut About<'_>) {
    let DeployedStack { mapping, consumer, bucket, .. } = deployment;
    let StreamMapping { id, state, source, function, failure_destination, .. } = mapping;
    let replace = "this cannot be changed in place: delete the mapping and deploy it again";
    about.equals("State", state, "Enabled", update(id, "--enabled"));
    about.equals("EventSourceArn", source, &deployment.stream.arn, replace);
    about.equals("FunctionArn", function, &consumer.arn, update(id, option("FunctionName", &consumer.name)));
    about.holds(
        "StartingPosition",
        &mapping.starting_position,
        mapping.starting_position == STARTING_POSITION,
        format_args!("{STARTING_POSITION}: a new mapping must not skip waiting records"),
        replace,
    );
    let is = failure_destination.as_deref().unwrap_or_default();
    let should = format!("arn:aws:s3:::{}", bucket.name);
    about.holds(
        "DestinationConfig",
        is,
        is.split_once(":s3:::").is_some_and(|(_, name)| name == bucket.name),
        format_args!("{should}: no other destination stores the payload of a failed batch"),
        update(id, format_args!("--destination-config OnFailure={{Destination={should}}}")),
    );
    about.holds(
        "FilterCriteria",
        mapping.filters,
        mapping.filters == 0,
        "0: filtered records are lost",
        update(id, "--filter-criteria '{}'"),
    );
}

/// How batches are made, and what a failure means.
fn rules(deployment: &DeployedStack, should: &Rules, about: &mut About<'_>) {
    let (mapping, retention) = (&deployment.mapping, deployment.stream.retention);
    let (id, is) = (mapping.id, &mapping.rules);
    about.holds(
        "ParallelizationFactor",
        mapping.parallelization_factor,
        mapping.parallelization_factor == 1,
        "1: the ledger needs a shard's batches one after the other",
        update(id, "--parallelization-factor 1"),
    );
    same(about, id, "BatchSize", is.batch_size, should.batch_size);
    let window = |rules: &Rules| rules.batching_window.as_secs();
    same(about, id, "MaximumBatchingWindowInSeconds", window(is), window(should));
    let bisect = "--bisect-batch-on-function-error";
    about.is_on("BisectBatchOnFunctionError", is.bisect_on_error, update(id, bisect));
    answers(about, id, is.report_batch_item_failures);
    let endless = |number: Option<u64>| number.map_or("unlimited".to_owned(), |number| number.to_string());
    let retries = |rules: &Rules| endless(rules.maximum_retry_attempts.map(u64::from));
    same(about, id, "MaximumRetryAttempts", retries(is), retries(should));
    let age = |rules: &Rules| endless(rules.maximum_record_age.map(|age| age.as_secs()));
    about.holds(
        "MaximumRecordAgeInSeconds",
        age(is),
        is.maximum_record_age.is_some_and(|age| (SHORTEST_AGE..retention).contains(&age)),
        format_args!(
            "{} or another number from {} to less than the {} s for which the stream retains records",
            age(should),
            SHORTEST_AGE.as_secs(),
            retention.as_secs()
        ),
        update(id, option("MaximumRecordAgeInSeconds", age(should))),
    );
}

fn same<T: PartialEq + Display>(about: &mut About<'_>, id: Uuid, setting: &str, is: T, should: T) {
    let change = update(id, option(setting, &should));
    about.equals(setting, is, should, change);
}

fn answers(about: &mut About<'_>, id: impl Display, is_on: bool) {
    let setting = "ReportBatchItemFailures";
    about.is_on(setting, is_on, update(id, option("FunctionResponseTypes", setting)));
}

fn spill(deployment: &DeployedStack, about: &mut About<'_>) {
    let of_the_queue = deployment.spill_mappings.iter();
    let ours: Vec<_> = of_the_queue.filter(|mapping| mapping.source == deployment.spill.arn).collect();
    about.equals("mappings of the spill queue", ours.len(), 1, "deploy the stack again");
    for mapping in ours {
        let id = &mapping.id;
        about.equals("State", &mapping.state, "Enabled", update(id, "--enabled"));
        about.holds(
            "BatchSize",
            mapping.batch_size,
            mapping.batch_size <= SPILL_BATCH,
            format_args!("at most {SPILL_BATCH}"),
            update(id, option("BatchSize", SPILL_BATCH)),
        );
        answers(about, id, mapping.report_batch_item_failures);
    }
}
