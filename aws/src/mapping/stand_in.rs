//! What Lambda was told about a mapping of its own, and whether ours can stand in for it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use uuid::Uuid;

use super::settings::Rules;

/// The only starting position that our mapping has.
pub const STARTING_POSITION: &str = "TRIM_HORIZON";

/// A mapping as Lambda's API describes it.
#[derive(Clone, Debug)]
pub struct DeployedMapping {
    /// Its id. A mapping of ours in its place keeps it, so that failures lie where they would.
    pub id: Uuid,
    /// Lambda's word for what it does, such as `Enabled`.
    pub state: String,
    /// The ARN of what it reads.
    pub source: String,
    /// The ARN of the function it invokes.
    pub function: String,
    /// Where it begins on a shard that it has not read before.
    pub starting_position: String,
    /// How many batches of one shard are in flight at a time.
    pub parallelization_factor: u32,
    /// How long a window with state is; zero if there are none.
    pub tumbling_window: Duration,
    /// How many filters records have to pass.
    pub filters: usize,
    /// The ARN of where what failed for good is kept.
    pub on_failure: Option<String>,
    /// How batches are made, and what a failure means.
    pub rules: Rules,
}

/// What a mapping of ours needs to do the same.
#[derive(Clone, Debug)]
pub struct StandIn {
    /// The stream's name.
    pub stream: String,
    /// The function's ARN.
    pub function: String,
    /// The bucket for what fails for good.
    pub on_failure: String,
    /// How batches are made, and what a failure means.
    pub rules: Rules,
}

impl DeployedMapping {
    /// Lambda invokes the function, or is about to.
    pub fn is_on(&self) -> bool {
        !matches!(self.state.as_str(), "Disabled" | "Disabling")
    }

    /// What our own mapping does in its place; an error names the setting that it cannot follow.
    pub fn stand_in(&self) -> anyhow::Result<StandIn> {
        let factor = self.parallelization_factor;
        ensure!(
            factor == 1,
            "ParallelizationFactor is {factor}: only 1 is done here, and the ledger needs it"
        );
        ensure!(
            self.starting_position == STARTING_POSITION,
            "StartingPosition is {}: only {STARTING_POSITION} is done here",
            self.starting_position
        );
        ensure!(self.tumbling_window.is_zero(), "TumblingWindowInSeconds is set, which is not done here");
        ensure!(self.filters == 0, "FilterCriteria is set, which is not done here");
        let Some((_, stream)) =
            self.source.split_once(":stream/").filter(|(arn, _)| arn.contains(":kinesis:"))
        else {
            bail!("EventSourceArn is `{}`: only Kinesis streams are read here", self.source);
        };
        let destination = self.on_failure.as_deref();
        let destination =
            destination.context("DestinationConfig is not set: what fails for good would be lost")?;
        let bucket = destination.split_once(":s3:::").map(|(_, bucket)| bucket).with_context(|| {
            format!(
                "DestinationConfig is `{destination}`: only a bucket is done here, which keeps the payload"
            )
        })?;
        Ok(StandIn {
            stream: stream.to_owned(),
            function: self.function.clone(),
            on_failure: bucket.to_owned(),
            rules: self.rules.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_deployed() -> DeployedMapping {
        DeployedMapping {
            id: Uuid::nil(),
            state: "Disabled".to_owned(),
            source: "arn:aws:kinesis:eu-west-1:1:stream/events".to_owned(),
            function: "arn:aws:lambda:eu-west-1:1:function:consumer".to_owned(),
            starting_position: STARTING_POSITION.to_owned(),
            parallelization_factor: 1,
            tumbling_window: Duration::ZERO,
            filters: 0,
            on_failure: Some("arn:aws:s3:::archive".to_owned()),
            rules: Rules { batch_size: 200, ..Rules::default() },
        }
    }

    #[test]
    fn ours_does_what_lambda_was_told() {
        let stand_in = as_deployed().stand_in().unwrap();
        assert_eq!((stand_in.stream.as_str(), stand_in.on_failure.as_str()), ("events", "archive"));
        assert_eq!(stand_in.rules.batch_size, 200);
    }

    fn check(change: impl FnOnce(&mut DeployedMapping), expected: &str) {
        let mut mapping = as_deployed();
        change(&mut mapping);
        let error = mapping.stand_in().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_setting_that_cannot_be_followed_is_refused_by_its_name() {
        check(|mapping| mapping.parallelization_factor = 2, "ParallelizationFactor is 2");
        check(|mapping| mapping.starting_position = "LATEST".to_owned(), "StartingPosition is LATEST");
        check(|mapping| mapping.tumbling_window = Duration::from_secs(1), "TumblingWindowInSeconds");
        check(|mapping| mapping.filters = 1, "FilterCriteria");
        check(
            |mapping| mapping.source = "arn:aws:sqs:eu-west-1:1:queue".to_owned(),
            "EventSourceArn is `arn:aws:sqs",
        );
        check(|mapping| mapping.on_failure = None, "DestinationConfig is not set");
        check(|mapping| mapping.on_failure = Some("arn:aws:sqs:eu-west-1:1:q".to_owned()), "only a bucket");
    }

    #[test]
    fn a_mapping_is_off_only_when_lambda_says_so() {
        let is_on = |state: &str| DeployedMapping { state: state.to_owned(), ..as_deployed() }.is_on();
        assert_eq!(
            ["Enabled", "Creating", "Updating", "Disabled", "Disabling"].map(is_on),
            [true, true, true, false, false]
        );
    }
}
