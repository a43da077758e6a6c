//! The event source mappings: from the stream to the consumer, and from the spill queue to the drain.

use shared::mapping::{Rules, STARTING_POSITION};

use super::facts::{DeployedStack, StreamMapping};
use super::report::DoctorReport;

/// The drain is built for at most so many messages in one invocation.
const SPILL_BATCH: usize = shared::limits::BATCH_MESSAGES;
const CONSUMERS: &str = "consumer's mapping";

pub(super) fn check(deployment: &DeployedStack, report: &mut DoctorReport) {
    ends(deployment, report);
    rules(deployment, report);
    spill(deployment, report);
}

fn update(id: impl std::fmt::Display, option: impl std::fmt::Display) -> String {
    format!("aws lambda update-event-source-mapping --uuid {id} {option}")
}

/// What the mapping connects, and whether it is on.
fn ends(deployment: &DeployedStack, report: &mut DoctorReport) {
    let DeployedStack { mapping, consumer, bucket, .. } = deployment;
    let StreamMapping { id, state, source, function, failure_destination, .. } = mapping;
    let replace = "this cannot be changed in place: delete the mapping and deploy it again";
    let mut about = report.about(CONSUMERS);
    about.holds("State", state, state == "Enabled", "Enabled", update(id, "--enabled"));
    about.equals("EventSourceArn", source, &deployment.stream.arn, replace);
    let renamed = update(id, format_args!("--function-name {}", consumer.name));
    about.equals("FunctionArn", function, &consumer.arn, renamed);
    about.holds(
        "StartingPosition",
        &mapping.starting_position,
        mapping.starting_position == STARTING_POSITION,
        format_args!("{STARTING_POSITION}: a new mapping must not skip waiting records"),
        replace,
    );
    let is = failure_destination.as_deref().unwrap_or("not set");
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
fn rules(deployment: &DeployedStack, report: &mut DoctorReport) {
    let (mapping, retention) = (&deployment.mapping, deployment.stream.retention);
    let (id, is, should) = (mapping.id, &mapping.rules, Rules::default());
    let mut about = report.about(CONSUMERS);
    about.holds(
        "ParallelizationFactor",
        mapping.parallelization_factor,
        mapping.parallelization_factor == 1,
        "1: the ledger needs a shard's batches one after the other",
        update(id, "--parallelization-factor 1"),
    );
    let size = should.batch_size;
    about.equals("BatchSize", &is.batch_size, &size, update(id, format_args!("--batch-size {size}")));
    let (window, should_window) = (is.batching_window.as_secs(), should.batching_window.as_secs());
    about.equals(
        "MaximumBatchingWindowInSeconds",
        &window,
        &should_window,
        update(id, format_args!("--maximum-batching-window-in-seconds {should_window}")),
    );
    about.is_on(
        "BisectBatchOnFunctionError",
        is.bisect_on_error,
        update(id, "--bisect-batch-on-function-error"),
    );
    about.is_on(
        "ReportBatchItemFailures",
        is.report_batch_item_failures,
        update(id, "--function-response-types ReportBatchItemFailures"),
    );
    let endless = |number: Option<u64>| number.map_or("unlimited".to_owned(), |number| number.to_string());
    let retries = |rules: &Rules| endless(rules.maximum_retry_attempts.map(u64::from));
    about.equals(
        "MaximumRetryAttempts",
        &retries(is),
        &retries(&should),
        update(id, format_args!("--maximum-retry-attempts {}", retries(&should))),
    );
    let age = |rules: &Rules| endless(rules.maximum_record_age.map(|age| age.as_secs()));
    let is_below_retention = is.maximum_record_age.is_some_and(|age| age < retention);
    about.holds(
        "MaximumRecordAgeInSeconds",
        age(is),
        is.maximum_record_age == should.maximum_record_age && is_below_retention,
        format_args!(
            "{}, and less than the {} s for which the stream retains records",
            age(&should),
            retention.as_secs()
        ),
        update(id, format_args!("--maximum-record-age-in-seconds {}", age(&should))),
    );
}

fn spill(deployment: &DeployedStack, report: &mut DoctorReport) {
    let of_the_queue = deployment.spill_mappings.iter();
    let ours: Vec<_> = of_the_queue.filter(|mapping| mapping.source == deployment.spill.arn).collect();
    let mut about = report.about("drain's mapping");
    about.holds("mappings of the spill queue", ours.len(), ours.len() == 1, "1", "deploy the stack again");
    for mapping in ours {
        let id = &mapping.id;
        about.holds("State", &mapping.state, mapping.state == "Enabled", "Enabled", update(id, "--enabled"));
        about.holds(
            "BatchSize",
            mapping.batch_size,
            mapping.batch_size <= SPILL_BATCH,
            format_args!("at most {SPILL_BATCH}"),
            update(id, format_args!("--batch-size {SPILL_BATCH}")),
        );
        about.is_on(
            "ReportBatchItemFailures",
            mapping.report_batch_item_failures,
            update(id, "--function-response-types ReportBatchItemFailures"),
        );
    }
}
