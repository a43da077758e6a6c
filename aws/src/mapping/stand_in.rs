//! Whether our own mapping can replace a mapping of Lambda, and with which settings.

use anyhow::{Context, bail, ensure};
use operate::doctor::facts::StreamMapping;
use shared::mapping::{Rules, STARTING_POSITION};

/// Our own mapping, which replaces one of Lambda.
#[derive(Clone, Debug)]
pub struct StandIn {
    /// The name.
    pub stream: String,
    /// The ARN or the name.
    pub function: String,
    /// The bucket of the failure destination.
    pub failures: String,
    pub rules: Rules,
}

impl StandIn {
    /// An error names the setting that our own mapping does not support.
    pub fn of(mapping: &StreamMapping) -> anyhow::Result<Self> {
        let factor = mapping.parallelization_factor;
        ensure!(
            factor == 1,
            "ParallelizationFactor is {factor}: only 1 is supported, and the ledger needs it"
        );
        ensure!(
            mapping.starting_position == STARTING_POSITION,
            "StartingPosition is {}: only {STARTING_POSITION} is supported",
            mapping.starting_position
        );
        ensure!(mapping.tumbling_window.is_zero(), "TumblingWindowInSeconds is set, which is not supported");
        ensure!(mapping.filters == 0, "FilterCriteria is set, which is not supported");
        let Some((_, stream)) =
            mapping.source.split_once(":stream/").filter(|(arn, _)| arn.contains(":kinesis:"))
        else {
            bail!("EventSourceArn is `{}`: only Kinesis streams are supported", mapping.source);
        };
        let destination = mapping.failure_destination.as_deref();
        let destination = destination
            .context("DestinationConfig is not set: batches that failed permanently would be lost")?;
        let bucket = destination.split_once(":s3:::").map(|(_, bucket)| bucket).with_context(|| {
            format!("DestinationConfig is `{destination}`: only a bucket is supported, it stores the payload")
        })?;
        Ok(Self {
            stream: stream.to_owned(),
            function: mapping.function.clone(),
            failures: bucket.to_owned(),
            rules: mapping.rules.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    fn as_deployed() -> StreamMapping {
        StreamMapping {
            id: Uuid::nil(),
            state: "Disabled".to_owned(),
            source: "arn:aws:kinesis:eu-west-1:1:stream/events".to_owned(),
            function: "arn:aws:lambda:eu-west-1:1:function:consumer".to_owned(),
            starting_position: STARTING_POSITION.to_owned(),
            parallelization_factor: 1,
            tumbling_window: Duration::ZERO,
            filters: 0,
            failure_destination: Some("arn:aws:s3:::archive".to_owned()),
            rules: Rules { batch_size: 200, ..Rules::default() },
        }
    }

    #[test]
    fn our_mapping_has_the_settings_of_lambdas() {
        let stand_in = StandIn::of(&as_deployed()).unwrap();
        assert_eq!((stand_in.stream.as_str(), stand_in.failures.as_str()), ("events", "archive"));
        assert_eq!(stand_in.rules.batch_size, 200);
    }

    fn check(change: impl FnOnce(&mut StreamMapping), expected: &str) {
        let mut mapping = as_deployed();
        change(&mut mapping);
        let error = StandIn::of(&mapping).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn an_unsupported_setting_is_refused_by_its_name() {
        check(|mapping| mapping.parallelization_factor = 2, "ParallelizationFactor is 2");
        check(|mapping| mapping.starting_position = "LATEST".to_owned(), "StartingPosition is LATEST");
        check(|mapping| mapping.tumbling_window = Duration::from_secs(1), "TumblingWindowInSeconds");
        check(|mapping| mapping.filters = 1, "FilterCriteria");
        check(
            |mapping| mapping.source = "arn:aws:sqs:eu-west-1:1:queue".to_owned(),
            "EventSourceArn is `arn:aws:sqs",
        );
        check(|mapping| mapping.failure_destination = None, "DestinationConfig is not set");
        check(
            |mapping| mapping.failure_destination = Some("arn:aws:sqs:eu-west-1:1:q".to_owned()),
            "only a bucket",
        );
    }

    #[test]
    fn a_mapping_is_off_only_when_lambda_says_so() {
        let is_on = |state: &str| StreamMapping { state: state.to_owned(), ..as_deployed() }.is_on();
        assert_eq!(
            ["Enabled", "Creating", "Updating", "Disabled", "Disabling"].map(is_on),
            [true, true, true, false, false]
        );
    }
}
