//! IAM: a role's policies.

use anyhow::Context;
use aws_config::SdkConfig;
use operate::doctor::facts::{Role, Statement};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

use super::policy::{list, texts};
use crate::query::{Members, Service, call};

pub(super) async fn read(sdk: &SdkConfig, name: &str) -> anyhow::Result<Role> {
    let role = ("RoleName", name);
    let listed: Policies = call(sdk, Service::Iam, "ListRolePolicies", &[role]).await?;
    let mut statements = Vec::new();
    for policy in listed.names.members {
        let found: InlinePolicy =
            call(sdk, Service::Iam, "GetRolePolicy", &[role, ("PolicyName", &policy)]).await?;
        let document = percent_decode_str(&found.document).decode_utf8_lossy();
        statements.extend(
            parse(&document)
                .with_context(|| format!("the policy `{policy}` of the role `{name}` cannot be read"))?,
        );
    }
    let attached: Attached = call(sdk, Service::Iam, "ListAttachedRolePolicies", &[role]).await?;
    let attached = attached.policies.members.into_iter().map(|policy| policy.arn).collect();
    Ok(Role { name: name.to_owned(), statements, attached })
}

#[derive(Debug, Deserialize)]
struct Policies {
    #[serde(rename = "PolicyNames", default)]
    names: Members<String>,
}

#[derive(Debug, Deserialize)]
struct InlinePolicy {
    #[serde(rename = "PolicyDocument")]
    document: String,
}

#[derive(Debug, Deserialize)]
struct Attached {
    #[serde(rename = "AttachedPolicies", default)]
    policies: Members<AttachedPolicy>,
}

#[derive(Debug, Deserialize)]
struct AttachedPolicy {
    #[serde(rename = "PolicyArn")]
    arn: String,
}

fn parse(document: &str) -> anyhow::Result<Vec<Statement>> {
    let document: Value = serde_json::from_str(document)?;
    let statements = document.get("Statement").context("it has no statement")?;
    let owned = |value: &Value| texts(value).map(str::to_owned).collect();
    let statement = |statement: &Value| Statement {
        allows: statement["Effect"] == "Allow",
        actions: owned(&statement["Action"]),
        resources: owned(&statement["Resource"]),
        is_conditional: ["Condition", "NotAction", "NotResource"]
            .iter()
            .any(|key| statement.get(key).is_some()),
    };
    Ok(list(statements).into_iter().map(statement).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_value_is_a_list_of_one() {
        let one = r#"{"Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}"#;
        let many = r#"{"Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["*"]}]}"#;
        let expected = Statement {
            allows: true,
            actions: vec!["s3:GetObject".to_owned()],
            resources: vec!["*".to_owned()],
            is_conditional: false,
        };
        let expected = [expected];
        assert_eq!(parse(one).unwrap(), expected);
        assert_eq!(parse(many).unwrap(), expected);
    }

    #[test]
    fn conditional_statements_are_marked() {
        let document = r#"{"Statement":[{"Effect":"Deny","NotAction":"s3:*","Resource":"*"},
            {"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}"#;
        let statements = parse(document).unwrap();
        assert!(statements.iter().all(|statement| statement.is_conditional));
        assert_eq!(statements.iter().map(|statement| statement.allows).collect::<Vec<_>>(), [false, true]);
        assert!(parse("{}").is_err());
    }
}
