//! Reads an event source mapping of Lambda.

use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::get_event_source_mapping::GetEventSourceMappingOutput;
use aws_sdk_lambda::types::{EventSourcePosition, FunctionResponseType};
use uuid::Uuid;

use operate::doctor::facts::StreamMapping;
use shared::mapping::Rules;

pub async fn deployed_mapping(sdk: &SdkConfig, id: Uuid) -> anyhow::Result<StreamMapping> {
    let found = Client::new(sdk).get_event_source_mapping().uuid(id.to_string()).send().await;
    let found = found.with_context(|| format!("the event source mapping {id} cannot be read"))?;
    ours(id, found).with_context(|| format!("the event source mapping {id} is not as Lambda documents it"))
}

/// A missing setting has Lambda's default.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>
fn ours(id: Uuid, found: GetEventSourceMappingOutput) -> anyhow::Result<StreamMapping> {
    // -1 is unlimited.
    let seconds = |value: i32| u64::try_from(value).ok().map(Duration::from_secs);
    let on_failure = found.destination_config.and_then(|config| config.on_failure);
    let window = |value: Option<i32>| seconds(value.unwrap_or(0)).context("a negative window");
    Ok(StreamMapping {
        id,
        state: found.state.unwrap_or_default(),
        source: found.event_source_arn.context("it names no event source")?,
        function: found.function_arn.context("it names no function")?,
        starting_position: found
            .starting_position
            .as_ref()
            .map_or("not set", EventSourcePosition::as_str)
            .to_owned(),
        parallelization_factor: u32::try_from(found.parallelization_factor.unwrap_or(1))?,
        tumbling_window: window(found.tumbling_window_in_seconds)?,
        filters: found.filter_criteria.map_or(0, |criteria| criteria.filters().len()),
        failure_destination: on_failure.and_then(|on_failure| on_failure.destination),
        rules: Rules {
            batch_size: usize::try_from(found.batch_size.unwrap_or(100))?,
            batching_window: window(found.maximum_batching_window_in_seconds)?,
            maximum_retry_attempts: u32::try_from(found.maximum_retry_attempts.unwrap_or(-1)).ok(),
            maximum_record_age: seconds(found.maximum_record_age_in_seconds.unwrap_or(-1)),
            bisect_on_error: found.bisect_batch_on_function_error.unwrap_or(false),
            report_batch_item_failures: found
                .function_response_types
                .is_some_and(|types| types.contains(&FunctionResponseType::ReportBatchItemFailures)),
            ..Rules::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::{DestinationConfig, OnFailure};

    use super::*;

    fn named()
    -> aws_sdk_lambda::operation::get_event_source_mapping::builders::GetEventSourceMappingOutputBuilder {
        let arn = "arn:aws:kinesis:eu-west-1:1:stream/events";
        GetEventSourceMappingOutput::builder().event_source_arn(arn).function_arn("arn:function")
    }

    #[test]
    fn settings_are_read_as_lambda_has_them() {
        let destination = OnFailure::builder().destination("arn:aws:s3:::archive").build();
        let found = named()
            .state("Enabled")
            .starting_position(EventSourcePosition::TrimHorizon)
            .batch_size(200)
            .maximum_batching_window_in_seconds(7)
            .parallelization_factor(2)
            .maximum_retry_attempts(4)
            .maximum_record_age_in_seconds(600)
            .bisect_batch_on_function_error(true)
            .function_response_types(FunctionResponseType::ReportBatchItemFailures)
            .destination_config(DestinationConfig::builder().on_failure(destination).build());
        let mapping = ours(Uuid::nil(), found.build()).unwrap();
        assert_eq!((mapping.starting_position.as_str(), mapping.parallelization_factor), ("TRIM_HORIZON", 2));
        assert_eq!(mapping.failure_destination.as_deref(), Some("arn:aws:s3:::archive"));
        let rules = mapping.rules;
        assert_eq!((rules.batch_size, rules.batching_window), (200, Duration::from_secs(7)));
        assert_eq!(rules.maximum_retry_attempts, Some(4));
        assert_eq!(rules.maximum_record_age, Some(Duration::from_mins(10)));
        assert!(rules.bisect_on_error && rules.report_batch_item_failures);
    }

    #[test]
    fn missing_settings_have_lambdas_defaults() {
        let mapping = ours(Uuid::nil(), named().build()).unwrap();
        assert_eq!((mapping.starting_position.as_str(), mapping.parallelization_factor), ("not set", 1));
        let rules = mapping.rules;
        assert_eq!((rules.batch_size, rules.batching_window), (100, Duration::ZERO));
        assert_eq!((rules.maximum_retry_attempts, rules.maximum_record_age), (None, None));
        assert!(!rules.bisect_on_error && !rules.report_batch_item_failures);
    }
}
