//! SNS: a topic's attributes, of which its policy is one. The Query protocol is all that SNS speaks.

use crate::query::{Entries, Service, call};
use anyhow::Context;
use aws_config::SdkConfig;
use serde::Deserialize;
use serde_json::Value;

use operate::doctor::facts::Topic;

/// The action that a publisher is allowed, in small letters, as policies do not tell letters apart.
const PUBLISH: &str = "sns:publish";

/// The topic of that ARN.
pub(super) async fn read(sdk: &SdkConfig, arn: &str) -> anyhow::Result<Topic> {
    let read: Described = call(sdk, Service::Sns, "GetTopicAttributes", &[("TopicArn", arn)]).await?;
    let policy = read.attributes.get("Policy").with_context(|| format!("the topic `{arn}` has no policy"))?;
    let publishers =
        publishers(policy).with_context(|| format!("the policy of the topic `{arn}` is not understood"))?;
    Ok(Topic { arn: arn.to_owned(), publishers })
}

#[derive(Debug, Deserialize)]
struct Described {
    #[serde(rename = "Attributes", default)]
    attributes: Entries,
}

/// Whom a policy lets publish, under whatever conditions.
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

/// Whether a policy's action, which may end in `*`, is `action` or one more.
fn covers(pattern: &str, action: &str) -> bool {
    let pattern = pattern.to_lowercase();
    pattern.strip_suffix('*').map_or(pattern == action, |beginning| action.starts_with(beginning))
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    list(value).into_iter().filter_map(Value::as_str)
}

/// One of something may stand for a list of it, everywhere in a policy.
fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &str, expected: &[&str]) {
        assert_eq!(publishers(policy).unwrap(), expected, "{policy}");
    }

    #[test]
    fn whom_a_policy_lets_publish_is_read_from_every_form_of_it() {
        // SNS's own, which a policy of ours takes the place of.
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
    fn who_is_denied_or_may_do_something_else_is_no_publisher() {
        check(r#"{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sns:Publish"}]}"#, &[]);
        check(r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sns:Subscribe"}]}"#, &[]);
        assert!(publishers("{}").is_err());
    }
}
