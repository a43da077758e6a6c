//! Reads a deployed stack's settings for doctor, one file for each service with many settings. It judges nothing. A setting
//! that cannot be read is an error: a report with holes would look like a good one.

mod bucket;
mod function;
mod policy;
pub(crate) mod queue;
mod role;
mod table;
mod topic;

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_kinesis::types::EncryptionType;
use operate::doctor::facts::{Alarm, DeployedDispatch, DeployedStack, DeployedStream};
use serde::Deserialize;

use crate::kinesis;
use crate::mapping::deployed_mapping;
use crate::query::{Members, Service, call};
use crate::stack;
pub(crate) use function::{ALIAS, configuration};

/// Most alarms of one `DescribeAlarms` call (CloudWatch API reference).
const CALL_ALARMS: usize = 100;

pub async fn read(sdk: &SdkConfig, name: &str) -> anyhow::Result<DeployedStack> {
    let stack = stack::find(sdk, name).await?;
    let resources = stack.resources;
    Ok(DeployedStack {
        mapping: deployed_mapping(sdk, stack.mapping).await?,
        spill_mappings: function::queue_mappings(sdk, &stack.drain_function).await?,
        ingest: function::read(sdk, &stack.ingest_function, Some(function::ALIAS)).await?,
        consumer: function::read(sdk, &stack.consumer_function, None).await?,
        drain: function::read(sdk, &stack.drain_function, None).await?,
        live: function::live(sdk, &stack.ingest_function).await?,
        stream: stream(sdk, &resources.stream).await?,
        items: table::read(sdk, &resources.items_table).await?,
        ledger: table::read(sdk, &resources.ledger_table).await?,
        bucket: bucket::read(sdk, &resources.bucket).await?,
        spill: queue::read(sdk, &resources.spill_queue).await?,
        dead_letters: queue::read(sdk, &stack.spill_dead_letters).await?,
        dispatch: match (&stack.dispatch, &resources.dispatch) {
            (Some(names), Some(queues)) => Some(DeployedDispatch {
                function: function::read(sdk, &names.function, None).await?,
                mappings: function::queue_mappings(sdk, &names.function).await?,
                queue: queue::read(sdk, &queues.queue).await?,
                dead_letters: queue::read(sdk, &queues.dead_letters).await?,
                rate: table::read(sdk, &names.rate_table).await?,
            }),
            _ => None,
        },
        alarms: alarms(sdk, &stack.alarms).await?,
        alarm_topic: topic::read(sdk, &stack.alarm_topic).await?,
        stack: stack.name,
        status: stack.status,
    })
}

async fn stream(sdk: &SdkConfig, name: &str) -> anyhow::Result<DeployedStream> {
    let summary = kinesis::describe(sdk, name).await?;
    let mode = summary.stream_mode_details.as_ref().map_or("not set", |details| details.stream_mode.as_str());
    Ok(DeployedStream {
        status: summary.stream_status.as_str().to_owned(),
        mode: mode.to_owned(),
        shards: usize::try_from(summary.open_shard_count).unwrap_or(0),
        retention: kinesis::retention(&summary),
        is_encrypted: summary.encryption_type == Some(EncryptionType::Kms),
        arn: summary.stream_arn,
    })
}

pub(crate) async fn alarms(
    sdk: &SdkConfig,
    names: &[String],
) -> anyhow::Result<Vec<(String, Option<Alarm>)>> {
    let mut described = BTreeMap::new();
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
        described.extend(page.metric_alarms.members.into_iter().map(|alarm| {
            let has_actions = alarm.actions_enabled && !alarm.alarm_actions.members.is_empty();
            let state = alarm.state_value;
            (alarm.alarm_name, Alarm { state, description: alarm.alarm_description, has_actions })
        }));
    }
    Ok(names.iter().map(|name| (name.clone(), described.remove(name))).collect())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedAlarms {
    #[serde(default)]
    metric_alarms: Members<DescribedAlarm>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedAlarm {
    alarm_name: String,
    #[serde(default)]
    alarm_description: String,
    state_value: String,
    #[serde(default)]
    actions_enabled: bool,
    #[serde(default)]
    alarm_actions: Members<String>,
}
