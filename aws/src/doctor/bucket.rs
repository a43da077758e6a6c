//! S3: access to the bucket, encryption, and the lifecycle of objects.

use std::error::Error;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule as Rule};
use operate::doctor::facts::{DeployedBucket, LifecycleRule};
use serde_json::Value;

/// S3's answers where nothing is set. None of them is in the model of its API.
const NOT_SET: [&str; 4] = [
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
    "NoSuchBucketPolicy",
    "NoSuchLifecycleConfiguration",
];

pub(super) async fn read(sdk: &SdkConfig, name: &str) -> anyhow::Result<DeployedBucket> {
    let client = Client::new(sdk);
    let block = set(name, "public access block", client.get_public_access_block().bucket(name).send());
    let block = block.await?.and_then(|block| block.public_access_block_configuration);
    let encryption = set(name, "encryption", client.get_bucket_encryption().bucket(name).send());
    let encryption = encryption.await?.and_then(|found| found.server_side_encryption_configuration);
    let policy = set(name, "policy", client.get_bucket_policy().bucket(name).send());
    let policy = policy.await?.and_then(|policy| policy.policy);
    let lifecycle = set(name, "lifecycle", client.get_bucket_lifecycle_configuration().bucket(name).send());
    let lifecycle = lifecycle.await?.and_then(|lifecycle| lifecycle.rules);

    let is_yes = |flag: Option<bool>| flag == Some(true);
    Ok(DeployedBucket {
        name: name.to_owned(),
        is_private: block.is_some_and(|block| {
            is_yes(block.block_public_acls)
                && is_yes(block.ignore_public_acls)
                && is_yes(block.block_public_policy)
                && is_yes(block.restrict_public_buckets)
        }),
        is_encrypted: encryption.is_some_and(|encryption| !encryption.rules.is_empty()),
        is_tls_only: policy.is_some_and(|policy| refuses_plain(&policy)),
        lifecycle: lifecycle.unwrap_or_default().into_iter().filter_map(rule).collect(),
    })
}

/// A setting of the bucket. `None` if it is not set.
async fn set<T, E: ProvideErrorMetadata + Error + Send + Sync + 'static>(
    bucket: &str,
    setting: &str,
    call: impl Future<Output = Result<T, SdkError<E>>>,
) -> anyhow::Result<Option<T>> {
    match call.await {
        Err(error) if error.code().is_some_and(|code| NOT_SET.contains(&code)) => Ok(None),
        answer => {
            let found = answer.map(Some);
            found.with_context(|| format!("the {setting} of the bucket `{bucket}` cannot be read"))
        }
    }
}

fn refuses_plain(policy: &str) -> bool {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = policy["Statement"].as_array().cloned().unwrap_or_default();
    statements.iter().any(|statement| {
        let flag = &statement["Condition"]["Bool"]["aws:SecureTransport"];
        statement["Effect"] == "Deny" && statement["Action"] == "s3:*" && (flag == "false" || flag == false)
    })
}

fn rule(rule: Rule) -> Option<LifecycleRule> {
    if rule.status != ExpirationStatus::Enabled {
        return None;
    }
    let days = |days: Option<i32>| days.and_then(|days| u32::try_from(days).ok());
    #[expect(deprecated, reason = "S3 still answers with the older form for rules that were set by it")]
    let older = rule.prefix;
    let prefix = rule.filter.and_then(|filter| filter.prefix.or(filter.and.and_then(|and| and.prefix)));
    Some(LifecycleRule {
        prefix: prefix.or(older).unwrap_or_default(),
        expires_after_days: days(rule.expiration.and_then(|expiration| expiration.days)),
        aborts_uploads_after_days: days(
            rule.abort_incomplete_multipart_upload.and_then(|abort| abort.days_after_initiation),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_denies_plain_http_is_recognised() {
        let policy = |effect: &str, flag: &str| {
            format!(
                r#"{{"Statement":[{{"Effect":"{effect}","Action":"s3:*","Condition":{{"Bool":{{"aws:SecureTransport":{flag}}}}}}}]}}"#
            )
        };
        assert!(refuses_plain(&policy("Deny", r#""false""#)));
        assert!(refuses_plain(&policy("Deny", "false")));
        assert!(!refuses_plain(&policy("Allow", r#""false""#)));
        assert!(!refuses_plain(&policy("Deny", r#""true""#)));
        assert!(!refuses_plain("no JSON"));
    }
}
