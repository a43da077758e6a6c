//! Reads what doctor compares, one file for each service with many settings. Nothing is judged here. What cannot be read is
//! an error: a report with holes would look like a good one.

mod bucket;
mod function;
mod policy;
mod queue;
mod role;
mod table;
mod topic;

use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use operate::doctor::facts::{Alarm, DeployedStack, DeployedStream};
use serde::Deserialize;

use crate::mapping::deployed_mapping;
use crate::query::{Members, Service, call};
use crate::stack::{self, Stack};

/// Most alarms of one `DescribeAlarms` call (CloudWatch API reference).
const CALL_ALARMS: usize = 100;

pub async fn read(sdk: &SdkConfig, name: &str) -> anyhow::Result<DeployedStack> {
    let stack = stack::find(sdk, name).await?;
    let functions = function::Functions::new(sdk);
    Ok(DeployedStack {
        mapping: deployed_mapping(sdk, stack.mapping).await?,
        spill_mappings: functions.queue_mappings(&stack.drain_function).await?,
        ingest: functions.read(sdk, &stack.ingest_function, Some(function::ALIAS)).await?,
        consumer: functions.read(sdk, &stack.consumer_function, None).await?,
        drain: functions.read(sdk, &stack.drain_function, None).await?,
        live: functions.live(&stack.ingest_function).await?,
        stream: stream(sdk, &stack).await?,
        items: table::read(sdk, &stack.items_table).await?,
        ledger: table::read(sdk, &stack.ledger_table).await?,
        bucket: bucket::read(sdk, &stack.bucket).await?,
        spill: queue::read(sdk, &stack.spill_queue).await?,
        dead_letters: queue::read(sdk, &stack.spill_dead_letters).await?,
        alarms: alarms(sdk, &stack.alarms).await?,
        alarm_topic: topic::read(sdk, &stack.alarm_topic).await?,
        stack: stack.name,
        status: stack.status,
    })
}

async fn stream(sdk: &SdkConfig, stack: &Stack) -> anyhow::Result<DeployedStream> {
    let name = &stack.stream;
    let described =
        aws_sdk_kinesis::Client::new(sdk).describe_stream_summary().stream_name(name).send().await;
    let described = described.with_context(|| format!("the stream `{name}` cannot be described"))?;
    let summary = described.stream_description_summary.context("AWS returns no description of the stream")?;
    let hours = u64::try_from(summary.retention_period_hours).unwrap_or(0);
    let mode = summary.stream_mode_details.as_ref().map_or("not set", |details| details.stream_mode.as_str());
    let encryption = summary.encryption_type.as_ref().map_or("NONE", |kind| kind.as_str());
    Ok(DeployedStream {
        status: summary.stream_status.as_str().to_owned(),
        mode: mode.to_owned(),
        shards: usize::try_from(summary.open_shard_count).unwrap_or(0),
        retention: Duration::from_hours(hours),
        is_encrypted: encryption == "KMS",
        arn: summary.stream_arn,
    })
}

async fn alarms(sdk: &SdkConfig, names: &[String]) -> anyhow::Result<Vec<(String, Option<Alarm>)>> {
    let mut described = Vec::new();
    for names in names.chunks(CALL_ALARMS) {
        let numbered: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (format!("AlarmNames.member.{}", at + 1), name))
            .collect();
        let mut parameters: Vec<_> =
            numbered.iter().map(|(parameter, name)| (parameter.as_str(), name.as_str())).collect();
        parameters.push(("MaxRecords", "100"));
        let page: DescribedAlarms = call(sdk, Service::CloudWatch, "DescribeAlarms", &parameters).await?;
        described.extend(page.alarms.members);
    }
    let of_name = |name: &String| described.iter().find(|alarm| alarm.name == *name).map(Alarm::from);
    Ok(names.iter().map(|name| (name.clone(), of_name(name))).collect())
}

#[derive(Debug, Deserialize)]
struct DescribedAlarms {
    #[serde(rename = "MetricAlarms", default)]
    alarms: Members<DescribedAlarm>,
}

#[derive(Debug, Deserialize)]
struct DescribedAlarm {
    #[serde(rename = "AlarmName")]
    name: String,
    #[serde(rename = "AlarmDescription", default)]
    description: String,
    #[serde(rename = "StateValue")]
    state: String,
    #[serde(rename = "ActionsEnabled", default)]
    actions_enabled: bool,
    #[serde(rename = "AlarmActions", default)]
    actions: Members<String>,
}

impl From<&DescribedAlarm> for Alarm {
    fn from(alarm: &DescribedAlarm) -> Self {
        Self {
            state: alarm.state.clone(),
            description: alarm.description.clone(),
            has_actions: alarm.actions_enabled && !alarm.actions.members.is_empty(),
        }
    }
}
