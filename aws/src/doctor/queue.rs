//! SQS: a queue's attributes, which are all text.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use operate::doctor::facts::{DeployedQueue, RedrivePolicy};
use serde::Deserialize;

pub(super) async fn read(sdk: &SdkConfig, url: &str) -> anyhow::Result<DeployedQueue> {
    let read = Client::new(sdk).get_queue_attributes().queue_url(url).attribute_names(Name::All).send().await;
    let answer = read.with_context(|| format!("the queue {url} cannot be read"))?;
    queue(url, &answer.attributes.unwrap_or_default())
        .with_context(|| format!("the queue {url} is not as SQS documents it"))
}

fn queue(url: &str, attributes: &HashMap<Name, String>) -> anyhow::Result<DeployedQueue> {
    let number = |name: Name| -> anyhow::Result<u64> {
        let text = attributes.get(&name).with_context(|| format!("it has no {}", name.as_str()))?;
        text.parse().with_context(|| format!("{} is `{text}`", name.as_str()))
    };
    let policy = attributes.get(&Name::RedrivePolicy).map(|policy| redrive_policy(policy));
    let is_on = |name: &Name| attributes.get(name).is_some_and(|value| value == "true");
    Ok(DeployedQueue {
        arn: attributes.get(&Name::QueueArn).context("it has no ARN")?.clone(),
        url: url.to_owned(),
        visibility: Duration::from_secs(number(Name::VisibilityTimeout)?),
        retention: Duration::from_secs(number(Name::MessageRetentionPeriod)?),
        message_bytes: usize::try_from(number(Name::MaximumMessageSize)?)?,
        is_encrypted: is_on(&Name::SqsManagedSseEnabled) || attributes.contains_key(&Name::KmsMasterKeyId),
        redrive: policy.transpose().context("its RedrivePolicy")?,
    })
}

/// Reads a queue's `RedrivePolicy`.
pub(crate) fn redrive_policy(json: &str) -> anyhow::Result<RedrivePolicy> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Policy {
        dead_letter_target_arn: String,
        max_receive_count: Count,
    }

    /// A number or its digits, as it was set.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Count {
        Number(u32),
        Digits(String),
    }

    let policy: Policy = serde_json::from_str(json)?;
    let receives = match policy.max_receive_count {
        Count::Number(number) => number,
        Count::Digits(digits) => digits.parse().context("its maxReceiveCount")?,
    };
    Ok(RedrivePolicy { target: policy.dead_letter_target_arn, receives })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_text_and_the_redrive_policy_is_json() {
        for count in ["500", r#""500""#] {
            let policy = format!(r#"{{"deadLetterTargetArn":"arn:dead","maxReceiveCount":{count}}}"#);
            let attributes: HashMap<_, _> = [
                (Name::QueueArn, "arn:spill"),
                (Name::VisibilityTimeout, "180"),
                (Name::MessageRetentionPeriod, "345600"),
                (Name::MaximumMessageSize, "1048576"),
                (Name::SqsManagedSseEnabled, "true"),
                (Name::RedrivePolicy, &policy),
            ]
            .map(|(name, value)| (name, value.to_owned()))
            .into();
            let queue = queue("https://q", &attributes).unwrap();
            assert_eq!((queue.visibility.as_secs(), queue.message_bytes), (180, 1_048_576));
            assert_eq!(queue.redrive, Some(RedrivePolicy { target: "arn:dead".to_owned(), receives: 500 }));
        }
    }

    #[test]
    fn an_attribute_that_is_missing_is_named() {
        let attributes = [(Name::QueueArn, "arn".to_owned())].into();
        let error = queue("https://q", &attributes).unwrap_err();
        assert_eq!(error.to_string(), "it has no VisibilityTimeout");
    }
}
