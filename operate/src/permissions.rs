//! What an operator's commands call on a deployed stack, and on what. The stack makes a managed policy of each list
//! (`cdk/lib/constructs/operators.ts`), so that an operator needs no administrator's role.
//!
//! A test reads the sources of the adapters and finds each call that they make. So a new call fails the test until it is in a list,
//! and an action that nothing calls any more fails it, too.

use serde::Serialize;
use shared::format::key;

/// Actions on one kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    pub on: Place,
    /// Such as `kinesis:PutRecords`.
    pub actions: &'static [&'static str],
}

/// Resources of a deployment, as an operator sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// The `CloudFormation` stack.
    Stack,
    Stream,
    Items,
    Ledger,
    /// The table of the slot counter, where dispatch is on.
    Rate,
    /// The bucket itself.
    Bucket,
    /// The bucket's objects below these prefixes.
    Objects(&'static [&'static str]),
    /// The spill queue, the dispatch queue, and their dead letters.
    Queues,
    SpillDeadLetters,
    DispatchQueue,
    DispatchDeadLetters,
    /// All functions.
    Functions,
    /// The alias of ingest that the Function URL belongs to.
    Live,
    /// Of the functions.
    Roles,
    /// From the stream to the consumer.
    Mapping,
    Alarms,
    AlarmTopic,
    /// Of Athena.
    WorkGroup,
    /// Athena's database and tables, and the catalog that they are in.
    Catalog,
    /// For actions that IAM cannot limit to a resource.
    Everything,
}

const fn grant(on: Place, actions: &'static [&'static str]) -> Grant {
    Grant { on, actions }
}

/// Of a table's settings.
const DESCRIBE_TABLE: &[&str] =
    &["dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:DescribeContinuousBackups"];

/// `audit`, `cat`, `tail`, `trace`, `replay` to stdout, `doctor`, and `redrive` and `erase` that only show. SQS has no call to read a message
/// without receiving it, so these commands receive messages and release them.
pub const READ: &[Grant] = &[
    grant(Place::Stack, &["cloudformation:DescribeStacks", "cloudformation:ListStackResources"]),
    grant(
        Place::Stream,
        &[
            "kinesis:DescribeStreamSummary",
            "kinesis:ListShards",
            "kinesis:GetShardIterator",
            "kinesis:GetRecords",
        ],
    ),
    grant(Place::Items, &["dynamodb:BatchGetItem", "dynamodb:Scan"]),
    grant(Place::Items, DESCRIBE_TABLE),
    grant(Place::Ledger, &["dynamodb:GetItem", "dynamodb:Query"]),
    grant(Place::Ledger, DESCRIBE_TABLE),
    grant(Place::Rate, DESCRIBE_TABLE),
    grant(
        Place::Bucket,
        &[
            "s3:ListBucket",
            "s3:GetBucketPublicAccessBlock",
            "s3:GetEncryptionConfiguration",
            "s3:GetBucketPolicy",
            "s3:GetLifecycleConfiguration",
        ],
    ),
    grant(Place::Objects(&key::ARCHIVE), &["s3:GetObject"]),
    grant(Place::Objects(&key::TEMPORARY), &["s3:GetObject"]),
    grant(Place::Objects(&[key::ERASED]), &["s3:GetObject"]),
    grant(
        Place::Queues,
        &["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility"],
    ),
    grant(Place::Functions, &["lambda:GetFunctionConfiguration", "lambda:GetFunctionConcurrency"]),
    // `GET /health`, by `Invoke`, since the URL may ask for a signature.
    grant(Place::Live, &["lambda:GetFunctionConfiguration", "lambda:InvokeFunction"]),
    grant(Place::Mapping, &["lambda:GetEventSourceMapping"]),
    grant(Place::Everything, &["lambda:ListEventSourceMappings"]),
    grant(Place::Roles, &["iam:ListRolePolicies", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies"]),
    grant(Place::AlarmTopic, &["sns:GetTopicAttributes"]),
    grant(Place::Alarms, &["cloudwatch:DescribeAlarms"]),
];

/// `redrive --apply`, besides. Fencing a shard may finish an object that an attempt of the consumer began, or close it by an empty one.
pub const REDRIVE: &[Grant] = &[
    grant(Place::Stream, &["kinesis:PutRecords"]),
    grant(Place::Ledger, &["dynamodb:PutItem"]),
    grant(
        Place::Objects(&["events/", "manifests/", key::QUARANTINE, key::CLAIMS, key::REDRIVEN]),
        &["s3:PutObject"],
    ),
    grant(Place::SpillDeadLetters, &["sqs:DeleteMessage"]),
    grant(Place::DispatchDeadLetters, &["sqs:DeleteMessage"]),
    grant(Place::DispatchQueue, &["sqs:SendMessage"]),
];

/// `erase --yes`, besides what [`READ`] has. It may delete no versions, so a mistake can be taken back from a bucket that has them.
pub const ERASE: &[Grant] = &[
    grant(Place::Items, &["dynamodb:Query", "dynamodb:DeleteItem"]),
    grant(Place::Ledger, &["dynamodb:PutItem"]),
    grant(Place::Bucket, &["s3:GetBucketVersioning"]),
    grant(
        Place::Objects(&[
            "events/",
            "manifests/",
            key::QUARANTINE,
            key::FAILURE_DESTINATION,
            key::REDRIVEN,
            key::ERASED,
        ]),
        &["s3:PutObject"],
    ),
    grant(
        Place::Objects(&[key::CLAIMS, key::TEXTS, key::QUARANTINE, key::FAILURE_DESTINATION, key::REDRIVEN]),
        &["s3:DeleteObject"],
    ),
    grant(Place::Queues, &["sqs:DeleteMessage"]),
    grant(Place::SpillDeadLetters, &["sqs:SendMessage"]),
];

/// `verify` without its probe, besides what [`READ`] has: the probe makes roles, and who may make roles may do anything.
pub const VERIFY: &[Grant] = &[
    grant(Place::Stream, &["kinesis:PutRecord"]),
    grant(Place::Items, &["dynamodb:Query", "dynamodb:DeleteItem"]),
    grant(Place::Objects(&[key::QUARANTINE]), &["s3:DeleteObject"]),
    grant(Place::Live, &["lambda:GetFunctionUrlConfig", "lambda:InvokeFunctionUrl"]),
    grant(Place::Everything, &["cloudwatch:GetMetricStatistics"]),
    grant(
        Place::WorkGroup,
        &["athena:StartQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults"],
    ),
    // Athena reads the tables and writes the result in the caller's name.
    grant(Place::Catalog, &["glue:GetDatabase", "glue:GetTable", "glue:GetPartitions"]),
    grant(Place::Bucket, &["s3:GetBucketLocation"]),
    grant(Place::Objects(&["queries/"]), &["s3:GetObject", "s3:PutObject"]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Calls that neither policy has: of the probe and its stack, which only who may make roles can make.
    const OF_THE_PROBE: &[&str] = &["CreateStack", "DeleteStack", "PutRecords"];
    /// Actions of a list that no code names: of a request that is signed, and what Athena does in the caller's name.
    const NOT_CALLED: &[&str] =
        &["GetBucketLocation", "GetDatabase", "GetPartitions", "GetTable", "InvokeFunctionUrl", "PutObject"];

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// The sources below a folder, or one file, without their tests.
    fn sources(path: &str) -> Vec<String> {
        let path = root().join(path);
        if path.is_file() {
            let text = fs::read_to_string(path).unwrap();
            return vec![text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()];
        }
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
        let entries = entries.filter(|entry| !entry.file_name().to_str().unwrap().starts_with("tests"));
        entries
            .flat_map(|entry| sources(entry.path().strip_prefix(root()).unwrap().to_str().unwrap()))
            .collect()
    }

    /// The actions that a source calls, without their services. The SDK's clients have these names, and its calls no arguments; calls
    /// by `query.rs` name service and action.
    fn called(source: &str) -> BTreeSet<String> {
        let source: String = source.chars().filter(|letter| !letter.is_whitespace()).collect();
        let mut found = BTreeSet::new();
        for client in [
            "client.",
            "s3.",
            "dynamodb.",
            "kinesis.",
            "lambda.",
            "Client::new(sdk).",
            "Client::new(&site.sdk).",
        ] {
            for (at, _) in source.match_indices(client) {
                let rest = &source[at + client.len()..];
                let is_of_name = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '_');
                let name = rest.split(|letter| !is_of_name(letter)).next().unwrap_or_default();
                if rest[name.len()..].starts_with("()") && !name.is_empty() {
                    found.insert(action(name));
                }
            }
        }
        for before in [
            "Service::CloudFormation,\"",
            "Service::CloudWatch,\"",
            "Service::Iam,\"",
            "Service::Sns,\"",
            "call(\"",
        ] {
            for (at, _) in source.match_indices(before) {
                found.insert(source[at + before.len()..].split('"').next().unwrap().to_owned());
            }
        }
        found
    }

    /// IAM's name of an action, where it is not the call's.
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>
    fn action(call: &str) -> String {
        match call {
            "get_public_access_block" => "GetBucketPublicAccessBlock".to_owned(),
            "get_bucket_encryption" => "GetEncryptionConfiguration".to_owned(),
            "get_bucket_lifecycle_configuration" => "GetLifecycleConfiguration".to_owned(),
            "list_objects_v2" => "ListBucket".to_owned(),
            "invoke" => "InvokeFunction".to_owned(),
            "change_message_visibility_batch" => "ChangeMessageVisibility".to_owned(),
            _ => {
                let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
                call.split('_').map(capital).collect()
            }
        }
    }

    fn allowed(lists: &[&[Grant]]) -> BTreeSet<String> {
        let actions = lists.concat().into_iter().flat_map(|grant| grant.actions);
        actions.map(|action| action.split_once(':').unwrap().1.to_owned()).collect()
    }

    fn called_in(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().flat_map(|path| sources(path)).flat_map(|source| called(&source)).collect()
    }

    /// The port and `doctor`, with the stores of other crates that they use. `mapping` is for emulators, which check no permission.
    const OF_COMMANDS: &[&str] = &[
        "aws/src/deployment.rs",
        "aws/src/deployment",
        "aws/src/doctor.rs",
        "aws/src/doctor",
        "aws/src/kinesis.rs",
        "aws/src/stack.rs",
        "aws/src/mapping/deployed.rs",
        "shared/src/objects/s3.rs",
        "consumer-fn/src/ledger/dynamodb.rs",
        "ingest-fn/src/publish/kinesis.rs",
    ];

    #[test]
    fn the_policies_allow_what_the_commands_call_and_nothing_else() {
        let called = called_in(OF_COMMANDS);
        assert!(called.len() > 40, "the sources are read: {called:?}");
        assert_eq!(called, allowed(&[READ, REDRIVE, ERASE]));
    }

    #[test]
    fn verify_calls_what_its_policy_and_that_of_reading_allow_but_for_the_probe() {
        let called = called_in(&["aws/src/verify.rs", "aws/src/verify"]);
        let (of_both, of_verify) = (allowed(&[READ, VERIFY]), allowed(&[VERIFY]));
        let denied: Vec<_> = called.difference(&of_both).collect();
        assert_eq!(denied, OF_THE_PROBE);
        let unused: Vec<_> = of_verify.difference(&called).collect();
        assert_eq!(unused, NOT_CALLED);
    }

    #[test]
    fn who_may_only_read_changes_nothing_that_is_stored() {
        let reads = ["Get", "List", "Describe", "BatchGet", "Scan", "Query"];
        let others: Vec<_> = allowed(&[READ])
            .into_iter()
            .filter(|action| !reads.iter().any(|beginning| action.starts_with(beginning)))
            .collect();
        // Messages are released at once; the invocation is `GET /health`.
        assert_eq!(others, ["ChangeMessageVisibility", "InvokeFunction", "ReceiveMessage"]);
    }

    #[test]
    fn only_erase_and_verify_may_delete_what_is_stored() {
        let deletes = |list| {
            allowed(&[list]).into_iter().filter(|action| action.starts_with("Delete")).collect::<Vec<_>>()
        };
        assert_eq!(deletes(REDRIVE), ["DeleteMessage"]);
        assert_eq!(deletes(ERASE), ["DeleteItem", "DeleteMessage", "DeleteObject"]);
        assert_eq!(deletes(VERIFY), ["DeleteItem", "DeleteObject"]);
    }
}
