//! Finds a deployed stack by its name, and the resources that CloudFormation has of it.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_config::SdkConfig;
use serde::Deserialize;
use shared::environment::STAGE;
use uuid::Uuid;

use crate::deployment::{DispatchQueues, Resources};
use crate::doctor::configuration;
use crate::query::{Members, Refused, Service, call, pages};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Its name, such as `Tidegate-dev`, or `Shop/Events` for the construct `Events` in the stack of another app.
    pub name: String,
    /// CloudFormation's word, such as `UPDATE_COMPLETE`.
    pub status: String,
    pub resources: Resources,
    /// The Function URL of ingest.
    pub url: String,
    /// Athena's workgroup for queries over the archive, and the database. `None` where there is no such database.
    pub archive_sql: Option<ArchiveSql>,
    /// The URL of the spill queue's dead-letter queue.
    pub spill_dead_letters: String,
    pub ingest_function: String,
    pub consumer_function: String,
    pub drain_function: String,
    /// `None` where dispatch is off.
    pub dispatch: Option<DispatchNames>,
    /// The event source mapping from the stream to the consumer.
    pub mapping: Uuid,
    /// The names.
    pub alarms: Vec<String>,
    /// The ARN of the topic that the alarms publish to.
    pub alarm_topic: String,
}

/// Where the archive is queried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveSql {
    pub work_group: String,
    pub database: String,
}

/// What the dispatcher is and works with, besides its queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchNames {
    pub function: String,
    pub rate_table: String,
}

/// `name`: `STACK`, or `STACK/CONSTRUCT`.
pub async fn find(sdk: &SdkConfig, name: &str) -> anyhow::Result<Stack> {
    let (name, construct) = name.split_once('/').unwrap_or((name, ""));
    let described = described(sdk, name).await?;
    let described =
        described.with_context(|| format!("there is no stack `{name}` in this account and region"))?;

    let mut resources = Vec::new();
    let list = |page: ListedResources| {
        resources.extend(page.stack_resource_summaries.members);
        page.next_token
    };
    pages(sdk, Service::CloudFormation, "ListStackResources", &[("StackName", name)], list).await?;
    resolve(described, &resources, construct)
}

/// The stage, as the metrics of the functions name it. `None` where they have no such dimension.
pub(crate) async fn stage(sdk: &SdkConfig, stack: &Stack) -> anyhow::Result<Option<String>> {
    let ingest = configuration(sdk, &stack.ingest_function, None).await?;
    Ok(ingest.environment.and_then(|environment| environment.variables?.remove(STAGE)))
}

/// What `CloudFormation` says of a stack. `None` if it does not exist.
pub(crate) async fn described(sdk: &SdkConfig, name: &str) -> anyhow::Result<Option<DescribedStack>> {
    let found: anyhow::Result<DescribedStacks> =
        call(sdk, Service::CloudFormation, "DescribeStacks", &[("StackName", name)]).await;
    match found {
        Ok(found) => {
            Ok(found.stacks.members.into_iter().find(|stack| stack.stack_status != "DELETE_COMPLETE"))
        }
        // CloudFormation has no code of its own for this.
        Err(error)
            if error.downcast_ref::<Refused>().is_some_and(|no| no.message.contains("does not exist")) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedStacks {
    #[serde(default)]
    stacks: Members<DescribedStack>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribedStack {
    pub(crate) stack_name: String,
    pub(crate) stack_status: String,
    #[serde(default)]
    pub(crate) stack_status_reason: String,
    #[serde(default)]
    pub(crate) outputs: Members<Output>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    pub(crate) output_key: String,
    #[serde(default)]
    pub(crate) output_value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedResources {
    stack_resource_summaries: Members<Resource>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    #[serde(default)]
    logical_resource_id: String,
    #[serde(rename = "ResourceType")]
    kind: String,
    #[serde(default)]
    physical_resource_id: String,
}

/// The names of outputs and resources begin with those of the constructs that they are in (`cdk/lib/tidegate.ts`).
fn resolve(described: DescribedStack, resources: &[Resource], construct: &str) -> anyhow::Result<Stack> {
    let name = described.stack_name;
    let prefix = construct.replace(|letter: char| !letter.is_ascii_alphanumeric(), "");
    let outputs: BTreeMap<_, _> = described
        .outputs
        .members
        .into_iter()
        .map(|output| (output.output_key, output.output_value))
        .collect();
    let output = |key: &str| {
        let key = format!("{prefix}{key}");
        outputs.get(&key).filter(|value| !value.is_empty()).cloned().with_context(|| {
            // Another app's stack was named, and the construct in it was not.
            let other = outputs.keys().find_map(|found| found.strip_suffix(&key).filter(|_| prefix.is_empty()));
            match other {
                Some(construct) => {
                    format!("the stack `{name}` has no output `{key}`, but `{construct}{key}`: name `{name}/{construct}`")
                }
                None => format!(
                    "the stack `{name}` has no output `{key}`: it is not Tidegate's, or not fully deployed"
                ),
            }
        })
    };
    let of_kind = |kind: &'static str| {
        let of_kind = resources.iter().filter(move |resource| resource.kind == kind);
        of_kind
            .filter(|resource| resource.logical_resource_id.starts_with(&prefix))
            .map(|resource| resource.physical_resource_id.clone())
    };
    let dead_letters = output("SpillDeadLetters")?;
    // The output is an ARN; a queue's physical id is its URL. Both end in the queue's name.
    let queue_name = dead_letters.rsplit(':').next().unwrap_or_default();
    let ends_in_it = |url: &String| url.rsplit('/').next() == Some(queue_name);
    let spill_dead_letters = of_kind("AWS::SQS::Queue").find(ends_in_it);
    let mapping = output("Mapping")?;
    let has_dispatch = outputs.contains_key(&format!("{prefix}DispatchQueue"));
    let of_dispatch = |key: &str| has_dispatch.then(|| output(key)).transpose();
    let queues = of_dispatch("DispatchQueue")?.zip(of_dispatch("DispatchDeadLetters")?);
    let names = of_dispatch("DispatchFunction")?.zip(of_dispatch("RateTable")?);
    Ok(Stack {
        status: described.stack_status,
        url: output("Url")?,
        archive_sql: of_kind("AWS::Glue::Database")
            .next()
            .map(|database| anyhow::Ok(ArchiveSql { work_group: output("WorkGroup")?, database }))
            .transpose()?,
        resources: Resources {
            stream: output("Stream")?,
            bucket: output("Bucket")?,
            items_table: output("ItemsTable")?,
            ledger_table: output("LedgerTable")?,
            spill_queue: output("SpillQueue")?,
            dispatch: queues.map(|(queue, dead_letters)| DispatchQueues { queue, dead_letters }),
        },
        spill_dead_letters: spill_dead_letters
            .with_context(|| format!("the stack `{name}` has no queue `{queue_name}`"))?,
        ingest_function: output("IngestFunction")?,
        consumer_function: output("ConsumerFunction")?,
        drain_function: output("DrainFunction")?,
        dispatch: names.map(|(function, rate_table)| DispatchNames { function, rate_table }),
        mapping: mapping.parse().with_context(|| format!("the mapping's id `{mapping}` is not a UUID"))?,
        alarms: of_kind("AWS::CloudWatch::Alarm").collect(),
        alarm_topic: output("AlarmTopic")?,
        name: if construct.is_empty() { name } else { format!("{name}/{construct}") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUTS: &[(&str, &str)] = &[
        ("Url", "https://x.lambda-url.eu-west-1.on.aws/"),
        ("WorkGroup", "Tidegate-dev-archive"),
        ("Stream", "events"),
        ("Bucket", "archive"),
        ("ItemsTable", "items"),
        ("LedgerTable", "ledger"),
        ("SpillQueue", "https://sqs/1/spill"),
        ("SpillDeadLetters", "arn:aws:sqs:eu-west-1:1:dead"),
        ("IngestFunction", "ingest"),
        ("ConsumerFunction", "consumer"),
        ("DrainFunction", "drain"),
        ("Mapping", "311b9e2f-04cd-44d8-a523-ab8cbf427e87"),
        ("AlarmTopic", "arn:aws:sns:eu-west-1:1:alarms"),
    ];

    fn stack(outputs: &[(&str, &str)]) -> anyhow::Result<Stack> {
        stack_with(outputs, "")
    }

    fn stack_with(outputs: &[(&str, &str)], construct: &str) -> anyhow::Result<Stack> {
        let outputs = outputs
            .iter()
            .map(|(key, value)| Output { output_key: (*key).to_owned(), output_value: (*value).to_owned() })
            .collect();
        let resource = |logical: &str, kind: &str, id: &str| Resource {
            logical_resource_id: format!("{construct}{logical}"),
            kind: kind.to_owned(),
            physical_resource_id: id.to_owned(),
        };
        let mut resources = vec![
            resource("SpillQueue", "AWS::SQS::Queue", "https://sqs/1/spill"),
            resource("SpillDeadLetters", "AWS::SQS::Queue", "https://sqs/1/dead"),
            resource("ConsumerLag", "AWS::CloudWatch::Alarm", "late"),
            resource("ConsumerRole", "AWS::IAM::Role", "late"),
            resource("ArchiveDatabase", "AWS::Glue::Database", "tidegate_dev"),
        ];
        if !construct.is_empty() {
            let logical_resource_id = "Checkout".to_owned();
            resources.push(Resource {
                logical_resource_id,
                ..resource("", "AWS::CloudWatch::Alarm", "no orders")
            });
        }
        let described = DescribedStack {
            stack_name: "Tidegate-dev".to_owned(),
            stack_status: "CREATE_COMPLETE".to_owned(),
            stack_status_reason: String::new(),
            outputs: Members { members: outputs },
        };
        resolve(described, &resources, construct)
    }

    #[test]
    fn a_stack_is_read_from_its_outputs_and_resources() {
        let stack = stack(OUTPUTS).unwrap();
        let resources = &stack.resources;
        assert_eq!((resources.stream.as_str(), resources.items_table.as_str()), ("events", "items"));
        assert_eq!(stack.spill_dead_letters, "https://sqs/1/dead");
        assert_eq!(stack.alarms, ["late"]);
        assert_eq!(stack.archive_sql.unwrap().database, "tidegate_dev");
        assert_eq!(stack.mapping.to_string(), "311b9e2f-04cd-44d8-a523-ab8cbf427e87");
    }

    #[test]
    fn a_stack_with_dispatch_has_all_of_its_names_or_the_missing_one_is_named() {
        assert_eq!(stack(OUTPUTS).unwrap().dispatch, None);
        let mut outputs = OUTPUTS.to_vec();
        outputs.extend([
            ("DispatchQueue", "https://sqs/1/dispatch"),
            ("DispatchDeadLetters", "https://sqs/1/dispatch-dead"),
            ("DispatchFunction", "dispatcher"),
            ("RateTable", "rate"),
        ]);
        let found = stack(&outputs).unwrap();
        let queues = DispatchQueues {
            queue: "https://sqs/1/dispatch".to_owned(),
            dead_letters: "https://sqs/1/dispatch-dead".to_owned(),
        };
        assert_eq!(found.resources.dispatch, Some(queues));
        let names = DispatchNames { function: "dispatcher".to_owned(), rate_table: "rate".to_owned() };
        assert_eq!(found.dispatch, Some(names));
        outputs.pop();
        assert!(stack(&outputs).unwrap_err().to_string().contains("has no output `RateTable`"));
    }

    #[test]
    fn a_construct_in_the_stack_of_another_app_is_found_by_its_name_and_without_it_the_name_is_told() {
        let outputs: Vec<_> = OUTPUTS.iter().map(|(key, value)| (format!("Events{key}"), *value)).collect();
        let outputs: Vec<_> = outputs.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let found = stack_with(&outputs, "Events").unwrap();
        assert_eq!((found.name.as_str(), found.resources.stream.as_str()), ("Tidegate-dev/Events", "events"));
        assert_eq!(found.alarms, ["late"], "an alarm of the app itself is none of Tidegate's");
        assert_eq!(
            stack(&outputs).unwrap_err().to_string(),
            "the stack `Tidegate-dev` has no output `SpillDeadLetters`, but `EventsSpillDeadLetters`: name \
             `Tidegate-dev/Events`"
        );
    }

    #[test]
    fn a_missing_output_is_named() {
        for (key, _) in OUTPUTS {
            let others: Vec<_> = OUTPUTS.iter().filter(|(other, _)| other != key).copied().collect();
            let error = stack(&others).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "the stack `Tidegate-dev` has no output `{key}`: it is not Tidegate's, or not fully deployed"
                )
            );
        }
    }

    #[test]
    fn cloudformations_answers_are_read() {
        let xml = "<Stacks><member><StackId>arn</StackId><StackName>T</StackName><CreationTime>2026</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Outputs><member><Description/><OutputKey>Url</OutputKey><OutputValue>https://x/?a=1&amp;b</OutputValue></member></Outputs><Tags><member><Key>k</Key><Value>v</Value></member></Tags></member></Stacks>";
        let described: DescribedStacks =
            quick_xml::de::from_str(&format!("<DescribeStacksResult>{xml}</DescribeStacksResult>")).unwrap();
        let [stack] = &described.stacks.members[..] else { panic!("{described:?}") };
        assert_eq!(
            (stack.stack_name.as_str(), stack.outputs.members[0].output_value.as_str()),
            ("T", "https://x/?a=1&b")
        );

        let xml = "<ListStackResourcesResult><StackResourceSummaries><member><LogicalResourceId>A</LogicalResourceId><PhysicalResourceId>a</PhysicalResourceId><ResourceType>AWS::S3::Bucket</ResourceType></member><member><LogicalResourceId>B</LogicalResourceId><ResourceType>AWS::S3::Bucket</ResourceType></member></StackResourceSummaries><NextToken>n</NextToken></ListStackResourcesResult>";
        let listed: ListedResources = quick_xml::de::from_str(xml).unwrap();
        assert_eq!(
            (listed.stack_resource_summaries.members.len(), listed.next_token.as_deref()),
            (2, Some("n"))
        );
    }
}
