//! SNS: the policy of a topic, which is one of its attributes.

use anyhow::Context;
use aws_config::SdkConfig;
use operate::doctor::facts::Topic;
use serde::Deserialize;
use serde_json::Value;

use super::policy::{list, texts};
use crate::query::{Entries, Service, call};

/// In lower case, since policies ignore case.
const PUBLISH: &str = "sns:publish";

pub(super) async fn read(sdk: &SdkConfig, arn: &str) -> anyhow::Result<Topic> {
    let read: TopicAttributes = call(sdk, Service::Sns, "GetTopicAttributes", &[("TopicArn", arn)]).await?;
    let policy = read.attributes.get("Policy").with_context(|| format!("the topic `{arn}` has no policy"))?;
    let publishers =
        publishers(policy).with_context(|| format!("the policy of the topic `{arn}` cannot be read"))?;
    Ok(Topic { arn: arn.to_owned(), publishers })
}

#[derive(Debug, Deserialize)]
struct TopicAttributes {
    #[serde(rename = "Attributes", default)]
    attributes: Entries,
}

/// The principals that a policy allows to publish, with or without conditions.
fn publishers(policy: &str) -> anyhow::Result<Vec<String>> {
    let policy: Value = serde_json::from_str(policy)?;
    let statements = list(policy.get("Statement").context("it has no statement")?);
    let allows = |statement: &&Value| {
        statement["Effect"] == "Allow" && texts(&statement["Action"]).any(|action| covers(action, PUBLISH))
    };
    let principals = statements.iter().copied().filter(allows).flat_map(|statement| {
        let principal = &statement["Principal"];
        // `*`, or an object of services and accounts.
        let named = principal.as_object().into_iter().flat_map(|kinds| kinds.values()).flat_map(texts);
        principal.as_str().into_iter().chain(named).map(str::to_owned)
    });
    Ok(principals.collect())
}

/// `pattern` is a policy's action. It may end in `*`.
fn covers(pattern: &str, action: &str) -> bool {
    let pattern = pattern.to_lowercase();
    pattern.strip_suffix('*').map_or(pattern == action, |beginning| action.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &str, expected: &[&str]) {
        assert_eq!(publishers(policy).unwrap(), expected, "{policy}");
    }

    #[test]
    fn publishers_are_read_from_every_form_of_a_policy() {
        // SNS's default policy.
        check(
            r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["SNS:Subscribe","SNS:Publish"],
                "Resource":"arn","Condition":{"StringEquals":{"AWS:SourceOwner":"1"}}}]}"#,
            &["*"],
        );
        check(
            r#"{"Statement":{"Effect":"Allow","Principal":{"Service":["a.amazonaws.com","b.amazonaws.com"]},"Action":"sns:*"}}"#,
            &["a.amazonaws.com", "b.amazonaws.com"],
        );
        check(r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*"}]}"#, &["*"]);
    }

    #[test]
    fn denied_principals_and_other_actions_do_not_count() {
        check(r#"{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sns:Publish"}]}"#, &[]);
        check(r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sns:Subscribe"}]}"#, &[]);
        assert!(publishers("{}").is_err());
    }
}
