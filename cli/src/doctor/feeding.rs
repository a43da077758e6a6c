//! How the functions are fed: the mapping from the stream, against the rules that the local run has too, and the one from
//! the spill queue.

use local::event_source_mapping::{Rules, STARTING_POSITION};

use super::facts::Deployment;
use super::report::Report;

/// The most messages that one invocation of the redriver is made for.
const SPILL_BATCH: usize = shared::limits::BATCH_MESSAGES;

pub(super) fn check(deployment: &Deployment, report: &mut Report) {
    let mapping = &deployment.mapping;
    let update =
        |option: String| format!("aws lambda update-event-source-mapping --uuid {} {option}", mapping.id);
    let anew = "this cannot be changed in place: delete the mapping and deploy it anew";
    let (is, should) = (&mapping.rules, Rules::default());
    let mut about = report.about("consumer's mapping");
    about.holds(
        "State",
        &mapping.state,
        mapping.state == "Enabled",
        "Enabled",
        update("--enabled".to_owned()),
    );
    about.equals("EventSourceArn", &mapping.source, &deployment.stream.arn, anew);
    let is_consumer = mapping.function == deployment.consumer.arn;
    about.holds(
        "FunctionArn",
        &mapping.function,
        is_consumer,
        &deployment.consumer.arn,
        update(format!("--function-name {}", deployment.consumer.name)),
    );
    about.holds(
        "StartingPosition",
        &mapping.starting_position,
        mapping.starting_position == STARTING_POSITION,
        format_args!("{STARTING_POSITION}: a mapping made anew must not skip what waits"),
        anew,
    );
    about.holds(
        "ParallelizationFactor",
        mapping.parallelization_factor,
        mapping.parallelization_factor == 1,
        "1: more interleaves a shard's sequence numbers, and the ledger cannot say how far it got",
        update("--parallelization-factor 1".to_owned()),
    );
    about.equals(
        "BatchSize",
        &is.batch_size,
        &should.batch_size,
        update(format!("--batch-size {}", should.batch_size)),
    );
    let (is_window, window) = (is.batching_window.as_secs(), should.batching_window.as_secs());
    about.equals(
        "MaximumBatchingWindowInSeconds",
        &is_window,
        &window,
        update(format!("--maximum-batching-window-in-seconds {window}")),
    );
    about.is_on(
        "BisectBatchOnFunctionError",
        is.bisect_on_error == should.bisect_on_error,
        update("--bisect-batch-on-function-error".to_owned()),
    );
    about.is_on(
        "ReportBatchItemFailures",
        is.report_batch_item_failures == should.report_batch_item_failures,
        update("--function-response-types ReportBatchItemFailures".to_owned()),
    );
    let endless = |number: Option<u64>| number.map_or("unlimited".to_owned(), |number| number.to_string());
    let retries = |rules: &Rules| endless(rules.maximum_retry_attempts.map(u64::from));
    about.equals(
        "MaximumRetryAttempts",
        &retries(is),
        &retries(&should),
        update(format!("--maximum-retry-attempts {}", retries(&should))),
    );
    let age = |rules: &Rules| endless(rules.maximum_record_age.map(|age| age.as_secs()));
    let below_retention = is.maximum_record_age.is_some_and(|age| age < deployment.stream.retention);
    about.holds(
        "MaximumRecordAgeInSeconds",
        age(is),
        is.maximum_record_age == should.maximum_record_age && below_retention,
        format_args!(
            "{}, and below the {} s for which the stream keeps records",
            age(&should),
            deployment.stream.retention.as_secs()
        ),
        update(format!("--maximum-record-age-in-seconds {}", age(&should))),
    );
    let bucket = format!("arn:aws:s3:::{}", deployment.bucket.name);
    let destination = mapping.on_failure.clone().unwrap_or_else(|| "not set".to_owned());
    about.holds(
        "DestinationConfig",
        &destination,
        destination.split_once(":s3:::").is_some_and(|(_, name)| name == deployment.bucket.name),
        format_args!("{bucket}: elsewhere a failed batch is not kept with its payload"),
        update(format!("--destination-config OnFailure={{Destination={bucket}}}")),
    );
    about.holds(
        "FilterCriteria",
        mapping.filters,
        mapping.filters == 0,
        "0: what is filtered out is lost",
        update("--filter-criteria '{}'".to_owned()),
    );

    let ours: Vec<_> =
        deployment.spill_mappings.iter().filter(|mapping| mapping.source == deployment.spill.arn).collect();
    let mut about = report.about("redriver's mapping");
    about.holds("mappings of the spill queue", ours.len(), ours.len() == 1, "1", "deploy the stack again");
    for mapping in ours {
        let update =
            |option: &str| format!("aws lambda update-event-source-mapping --uuid {} {option}", mapping.id);
        about.holds("State", &mapping.state, mapping.state == "Enabled", "Enabled", update("--enabled"));
        about.holds(
            "BatchSize",
            mapping.batch_size,
            mapping.batch_size <= SPILL_BATCH,
            format_args!("at most {SPILL_BATCH}"),
            update(&format!("--batch-size {SPILL_BATCH}")),
        );
        about.is_on(
            "ReportBatchItemFailures",
            mapping.report_batch_item_failures,
            update("--function-response-types ReportBatchItemFailures"),
        );
    }
}
