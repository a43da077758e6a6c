//! DynamoDB: a table, its time to live and its backups.

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    GlobalSecondaryIndexDescription, KeySchemaElement, KeyType, PointInTimeRecoveryStatus, SseStatus,
    TimeToLiveStatus,
};
use operate::doctor::facts::{DeployedTable, Index};

pub(super) async fn read(sdk: &SdkConfig, name: &str) -> anyhow::Result<DeployedTable> {
    let client = Client::new(sdk);
    let described = client.describe_table().table_name(name).send().await;
    let described = described.with_context(|| format!("the table `{name}` cannot be described"))?;
    let table = described.table.context("AWS returns no description of the table")?;

    let expires = client.describe_time_to_live().table_name(name).send().await;
    let expires = expires.with_context(|| format!("the time to live of `{name}` cannot be read"))?;
    let expires = expires.time_to_live_description.filter(|ttl| {
        matches!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
    });

    let backups = client.describe_continuous_backups().table_name(name).send().await;
    let backups = backups.with_context(|| format!("the backups of `{name}` cannot be read"))?;
    let recovery = backups
        .continuous_backups_description
        .and_then(|backups| backups.point_in_time_recovery_description)
        .and_then(|recovery| recovery.point_in_time_recovery_status);

    Ok(DeployedTable {
        arn: table.table_arn.unwrap_or_default(),
        status: table.table_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        keys: keys(table.key_schema.unwrap_or_default()),
        indexes: table.global_secondary_indexes.unwrap_or_default().into_iter().filter_map(index).collect(),
        expires_by: expires.and_then(|ttl| ttl.attribute_name),
        is_restorable: recovery == Some(PointInTimeRecoveryStatus::Enabled),
        is_encrypted: table.sse_description.and_then(|sse| sse.status) == Some(SseStatus::Enabled),
    })
}

/// With its name.
fn index(index: GlobalSecondaryIndexDescription) -> Option<(String, Index)> {
    let projection = index.projection.and_then(|projection| projection.projection_type);
    let described = Index {
        status: index.index_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        keys: keys(index.key_schema.unwrap_or_default()),
        projection: projection.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
    };
    Some((index.index_name?, described))
}

/// The partition key first.
fn keys(mut schema: Vec<KeySchemaElement>) -> Vec<String> {
    schema.sort_by_key(|element| element.key_type != KeyType::Hash);
    schema.into_iter().map(|element| element.attribute_name).collect()
}
