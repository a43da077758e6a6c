//! The probe: a stack of its own beside the stack, with a function that fails when a record says so, and a stream and an event
//! source mapping for each question about mappings. Nothing of the stack that is verified takes part: the consumer crashes on no
//! record, and a failed batch at its failure destination would concern its ledger.

use std::time::Duration;

use anyhow::{Context, bail};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use serde_json::{Value, json};

use super::site::Site;
use crate::error::described;
use crate::query::{Service, order};
use crate::stack::{self, DescribedStack};

const CREATED: Duration = Duration::from_mins(8);
const BETWEEN: Duration = Duration::from_secs(5);
const CODE: &str = include_str!("probe.py");

/// A mapping of the probe: its name in the template, and the settings in which it differs from the others.
pub(super) struct ProbeMapping {
    pub(super) name: &'static str,
    pub(super) retries: i32,
    /// In seconds; -1 is unlimited.
    pub(super) record_age: i32,
}

pub(super) struct Probe {
    bucket: String,
    s3: aws_sdk_s3::Client,
    kinesis: aws_sdk_kinesis::Client,
    stack: DescribedStack,
}

/// An object at the failure destination.
pub(super) struct FailedObject {
    pub(super) key: String,
    pub(super) bytes: Vec<u8>,
}

impl Probe {
    pub(super) async fn create(site: &Site, mappings: &[ProbeMapping]) -> anyhow::Result<Self> {
        let name = stack_name(&site.stack.name, &site.run);
        let template = template(mappings).to_string();
        let parameters = [
            ("StackName", name.as_str()),
            ("TemplateBody", template.as_str()),
            ("Capabilities.member.1", "CAPABILITY_IAM"),
            ("OnFailure", "DO_NOTHING"),
            ("Tags.member.1.Key", "tidegate:verifies"),
            ("Tags.member.1.Value", site.stack.name.as_str()),
        ];
        order(&site.sdk, Service::CloudFormation, "CreateStack", &parameters).await?;
        let created = site.wait_long(CREATED, BETWEEN, async || {
            let found = stack::described(&site.sdk, &name).await?;
            let found = found.with_context(|| format!("the stack `{name}` is gone"))?;
            match found.stack_status.as_str() {
                "CREATE_COMPLETE" => Ok(Some(found)),
                "CREATE_IN_PROGRESS" => Ok(None),
                status => {
                    bail!("the stack `{name}` could not be created: {status} {}", found.stack_status_reason)
                }
            }
        });
        let stack = created.await?;
        let stack = stack
            .with_context(|| format!("the stack `{name}` was not created within {} s", CREATED.as_secs()))?;
        Ok(Self {
            bucket: output(&stack, "Bucket")?,
            s3: aws_sdk_s3::Client::new(&site.sdk),
            kinesis: aws_sdk_kinesis::Client::new(&site.sdk),
            stack,
        })
    }

    /// Puts these records on the mapping's stream, in this order and by one call, so that they are one batch.
    pub(super) async fn put(&self, mapping: &ProbeMapping, records: &[&str]) -> anyhow::Result<()> {
        let entry = |record: &&str| {
            let entry = PutRecordsRequestEntry::builder().partition_key("probe");
            entry.data(Blob::new(record.as_bytes())).build()
        };
        let entries = records.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let put = self.kinesis.put_records().stream_name(self.stream(mapping)?).set_records(Some(entries));
        let put = put.send().await.map_err(described)?;
        anyhow::ensure!(put.failed_record_count() == Some(0), "the probe's stream refused records");
        Ok(())
    }

    /// The records of each invocation, in order.
    pub(super) async fn invocations(&self, mapping: &ProbeMapping) -> anyhow::Result<Vec<Vec<String>>> {
        let mut invocations = Vec::new();
        for key in self.keys(&format!("invocations/{}/", self.stream(mapping)?)).await? {
            invocations.push(serde_json::from_slice(&self.get(&key).await?)?);
        }
        Ok(invocations)
    }

    /// What the mapping has put at the failure destination.
    pub(super) async fn failed(&self, mapping: &ProbeMapping) -> anyhow::Result<Vec<FailedObject>> {
        let mut failed = Vec::new();
        for key in self.keys(&format!("aws/lambda/{}/", self.mapping_id(mapping)?)).await? {
            failed.push(FailedObject { bytes: self.get(&key).await?, key });
        }
        Ok(failed)
    }

    pub(super) fn mapping_id(&self, mapping: &ProbeMapping) -> anyhow::Result<String> {
        output(&self.stack, &format!("{}Mapping", mapping.name))
    }

    fn stream(&self, mapping: &ProbeMapping) -> anyhow::Result<String> {
        output(&self.stack, &format!("{}Stream", mapping.name))
    }

    async fn keys(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        // A probe makes a few dozen objects: one page.
        let page =
            self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix).send().await.map_err(described)?;
        Ok(page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect())
    }

    async fn get(&self, key: &str) -> anyhow::Result<Vec<u8>> {
        let object = self.s3.get_object().bucket(&self.bucket).key(key).send().await.map_err(described)?;
        Ok(object.body.collect().await?.to_vec())
    }
}

/// A stack's name has at most 128 characters, one of Tidegate far fewer. A name that is `STACK/CONSTRUCT` has no slash here.
pub(super) fn stack_name(stack: &str, run: &str) -> String {
    format!("{}-{run}", stack.replace('/', "-"))
}

fn output(stack: &DescribedStack, key: &str) -> anyhow::Result<String> {
    let output = stack.outputs.members.iter().find(|output| output.output_key == key);
    let output = output.with_context(|| format!("the stack `{}` has no output `{key}`", stack.stack_name))?;
    Ok(output.output_value.clone())
}

fn template(mappings: &[ProbeMapping]) -> Value {
    let arn = |resource: &str| json!({"Fn::GetAtt": [resource, "Arn"]});
    let reference = |resource: &str| json!({"Ref": resource});
    let streams: Vec<_> = mappings.iter().map(|mapping| arn(&format!("{}Stream", mapping.name))).collect();
    let allowed = |actions: &[&str], on: Value| json!({"Effect": "Allow", "Action": actions, "Resource": on});
    let objects = json!({"Fn::Sub": "${Bucket.Arn}/*"});
    let reads = [
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
    ];
    let policy = json!({"Version": "2012-10-17", "Statement": [
        allowed(&reads, streams.into()),
        allowed(&["s3:PutObject"], objects),
        allowed(&["s3:ListBucket"], arn("Bucket")),
        allowed(&["logs:CreateLogStream", "logs:PutLogEvents"], arn("Logs")),
    ]});
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ]});
    let mut resources = json!({
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 1}},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {
            "AssumeRolePolicyDocument": trust,
            "Policies": [{"PolicyName": "probe", "PolicyDocument": policy}],
        }},
        "Function": {"Type": "AWS::Lambda::Function", "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Code": {"ZipFile": CODE},
            "Role": arn("Role"),
            "Timeout": 30,
            "MemorySize": 256,
            "Environment": {"Variables": {"BUCKET": reference("Bucket")}},
            "LoggingConfig": {"LogGroup": reference("Logs")},
        }},
    });
    let mut outputs = json!({"Bucket": {"Value": reference("Bucket")}});
    for ProbeMapping { name, retries, record_age } in mappings {
        let [stream, mapping] = [format!("{name}Stream"), format!("{name}Mapping")];
        resources[&stream] = json!({"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": 1}});
        // As the consumer's, besides these two numbers.
        resources[&mapping] = json!({"Type": "AWS::Lambda::EventSourceMapping", "Properties": {
            "EventSourceArn": arn(&stream),
            "FunctionName": reference("Function"),
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": 100,
            "MaximumBatchingWindowInSeconds": 3,
            "MaximumRetryAttempts": retries,
            "MaximumRecordAgeInSeconds": record_age,
            "BisectBatchOnFunctionError": true,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "DestinationConfig": {"OnFailure": {"Destination": arn("Bucket")}},
        }});
        outputs[&stream] = json!({"Value": reference(&stream)});
        outputs[&mapping] = json!({"Value": reference(&mapping)});
    }
    json!({
        "Description": "A probe of `tidegate verify`. It may be deleted at any time.",
        "Resources": resources,
        "Outputs": outputs,
    })
}

#[cfg(test)]
mod tests {
    use super::super::mapping;
    use super::*;

    #[test]
    fn a_mapping_of_the_probe_is_as_the_consumers_besides_retries_and_age() {
        use shared::mapping::{Rules, STARTING_POSITION};
        let template = template(mapping::ALL);
        let rules = Rules::default();
        for ProbeMapping { name, retries, record_age } in mapping::ALL {
            let deployed = &template["Resources"][format!("{name}Mapping")]["Properties"];
            assert_eq!(deployed["StartingPosition"], STARTING_POSITION);
            assert_eq!(deployed["MaximumBatchingWindowInSeconds"], rules.batching_window.as_secs());
            assert_eq!(deployed["BisectBatchOnFunctionError"], rules.bisect_on_error);
            assert_eq!(deployed["FunctionResponseTypes"][0], "ReportBatchItemFailures");
            assert_eq!(deployed["MaximumRetryAttempts"], *retries);
            assert_eq!(deployed["MaximumRecordAgeInSeconds"], *record_age);
        }
    }

    #[test]
    fn every_resource_that_the_template_names_is_in_it() {
        fn names(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("Ref").and_then(Value::as_str).map(str::to_owned));
                    found.extend(members.get("Fn::GetAtt").and_then(|of| of[0].as_str()).map(str::to_owned));
                    members.values().for_each(|member| names(member, found));
                }
                Value::Array(elements) => elements.iter().for_each(|element| names(element, found)),
                _ => {}
            }
        }

        let template = template(mapping::ALL);
        let mut found = Vec::new();
        names(&template, &mut found);
        let resources = template["Resources"].as_object().unwrap();
        assert!(found.len() > 10 && found.iter().all(|name| resources.contains_key(name)), "{found:?}");
        // CloudFormation takes no longer one inline.
        assert!(CODE.len() < 4_096);
        // Lambda and Kinesis take one stack's tags; all that is deleted with the stack has no other lifetime.
        assert!(!template.to_string().contains("DeletionPolicy"));
    }
}
