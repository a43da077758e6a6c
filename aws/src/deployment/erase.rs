//! What only an erasure does with a deployed stack. docs/security.md has the permissions.

use std::time::Duration;

use anyhow::{Context, bail};
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::PointInTimeRecoveryStatus;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::BucketVersioningStatus;
use bytes::Bytes;
use consumer_fn::items::dynamodb::read::{item_key, projection};
use futures::{StreamExt, TryStreamExt, stream};
use operate::deployment::{Deployment, ItemPage, QueueName};
use operate::erase::{Erasable, Hold, Remaining};
use shared::backoff::Backoff;
use shared::config::Config;
use shared::format::item::{ORIGIN, short};
use shared::format::key;
use shared::id::{EventId, TenantId};
use shared::objects::FoundObject;
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::AwsDeployment;
use super::dynamodb::{cursor, named, start, text};
use crate::error::described;
use crate::patience::patiently;

/// The longest that a function may run.
const LONGEST: Duration = Duration::from_mins(15);
/// A call that was on its way when its function ended.
const ON_ITS_WAY: Duration = Duration::from_mins(1);
/// Deletes that are made side by side.
const DELETES: usize = 16;
/// Other writers of an object are other erasures: few.
const REWRITES: u32 = 10;
const CONFLICT: Backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(2) };
/// AWS's default.
const RECOVERY_DAYS: i32 = 35;
const DAY: Duration = Duration::from_hours(24);

impl Erasable for AwsDeployment {
    /// If the answer to a batch was lost, Lambda may deliver that batch once more. So an attempt that writes what is committed now may begin until
    /// the time-out of the one before it, and end a time-out later.
    async fn hold(&self, config: &Config, _apply: bool) -> anyhow::Result<Hold> {
        let timeout = Duration::from_secs(config.consumer.timeout_seconds);
        Ok(Hold { settle: LONGEST.max(2 * timeout) + ON_ITS_WAY, guard: None })
    }

    /// The checkpoints of Lambda's mapping cannot be read. What is committed and delivered again has been so before the wait is
    /// over.
    async fn delivered_end(
        &self,
        _shard: &str,
        committed: Option<ShardPosition>,
    ) -> anyhow::Result<Option<ShardPosition>> {
        Ok(committed)
    }

    async fn tenant_items(&self, tenant: &TenantId, after: Option<String>) -> anyhow::Result<ItemPage> {
        let (expression, names) = projection();
        let query = self.dynamodb.query().table_name(&self.resources.items_table).consistent_read(true);
        let query = query.set_expression_attribute_names(Some(names)).projection_expression(expression);
        let query = query.key_condition_expression("#pk = :tenant");
        let query = query.expression_attribute_values(":tenant", text(key::item_partition(tenant)));
        let query = query.set_exclusive_start_key(after.as_deref().map(start).transpose()?);
        let page = patiently(async |_| query.clone().send().await).await?;
        let next = page.last_evaluated_key.as_ref().map(cursor).transpose()?;
        Ok(ItemPage::of(page.items.unwrap_or_default().iter().map(named), next))
    }

    async fn delete_items(&self, items: &[(TenantId, EventId, Origin)]) -> anyhow::Result<u64> {
        let deletes = items.iter().map(|item| self.delete_item(item));
        stream::iter(deletes)
            .buffer_unordered(DELETES)
            .try_fold(0, |sum, is_deleted| async move { Ok(sum + u64::from(is_deleted)) })
            .await
    }

    /// `If-Match`: if another erasure has written it since it was read, it is read again. Otherwise the bytes that the other one
    /// has erased would be back.
    async fn rewrite(
        &self,
        key: &str,
        rewritten: &mut dyn FnMut(&FoundObject) -> anyhow::Result<Option<Bytes>>,
    ) -> anyhow::Result<()> {
        let bucket = &self.resources.bucket;
        for conflicts in 1..=REWRITES {
            let found = match self.s3.get_object().bucket(bucket).key(key).send().await {
                Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404) => {
                    return Ok(());
                }
                found => found.map_err(described)?,
            };
            let (tag, metadata) = (found.e_tag.clone(), found.metadata.clone());
            let tag = tag.with_context(|| format!("S3 gives no ETag of `{key}`"))?;
            let bytes = found.body.collect().await.map_err(described)?.into_bytes();
            let Some(bytes) = rewritten(&FoundObject { bytes, covers_end: None })? else { return Ok(()) };
            let put = self.s3.put_object().bucket(bucket).key(key).if_match(tag).set_metadata(metadata);
            match put.body(ByteStream::from(bytes)).send().await {
                Err(error)
                    if error
                        .raw_response()
                        .is_some_and(|answer| matches!(answer.status().as_u16(), 404 | 409 | 412)) =>
                {
                    tokio::time::sleep(CONFLICT.jittered(conflicts)).await;
                }
                put => return put.map(drop).map_err(described),
            }
        }
        bail!("`{key}` was changed by another writer each time: run it again")
    }

    async fn delete_object(&self, key: &str) -> anyhow::Result<()> {
        let delete = self.s3.delete_object().bucket(&self.resources.bucket).key(key);
        delete.send().await.map(drop).map_err(described)
    }

    async fn send(&self, queue: QueueName, body: String) -> anyhow::Result<()> {
        self.queues.send(queue, body).await
    }

    /// Files are AWS's.
    async fn scrub(&self) -> anyhow::Result<()> {
        Ok(())
    }

    async fn backups(&self) -> anyhow::Result<Vec<Remaining>> {
        let now = self.clock().now();
        let mut backups = Vec::new();
        for (what, table) in
            [("items", &self.resources.items_table), ("ledger and manifest", &self.resources.ledger_table)]
        {
            backups.extend(self.recovery(what, table, now).await?);
        }
        backups.extend(self.versions(now).await?);
        backups.push(Remaining {
            what: format!("results of SQL queries, `{}/queries/`", self.resources.bucket),
            until: Some(now.plus(7 * DAY)),
            why: "a rule of the bucket's lifecycle deletes them".to_owned(),
        });
        Ok(backups)
    }
}

impl AwsDeployment {
    /// Whether it was there with that origin.
    async fn delete_item(&self, (tenant, id, origin): &(TenantId, EventId, Origin)) -> anyhow::Result<bool> {
        let (partition, sort) = item_key(tenant, id);
        let delete = self.dynamodb.delete_item().table_name(&self.resources.items_table);
        let delete =
            delete.key(key::PARTITION_ATTRIBUTE, text(partition)).key(key::SORT_ATTRIBUTE, text(sort));
        let delete = delete.condition_expression("#origin = :origin");
        let delete = delete.expression_attribute_names("#origin", ORIGIN);
        let delete = delete.expression_attribute_values(":origin", text(short::origin(origin)));
        patiently(async |_| match delete.clone().send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(error),
        })
        .await
    }

    /// What a table's recovery to a point in time has.
    async fn recovery(&self, what: &str, table: &str, now: Timestamp) -> anyhow::Result<Option<Remaining>> {
        let described = self.dynamodb.describe_continuous_backups().table_name(table).send().await;
        let described = described.with_context(|| format!("the backups of `{table}` cannot be read"))?;
        let recovery = described
            .continuous_backups_description
            .and_then(|backups| backups.point_in_time_recovery_description)
            .filter(|recovery| {
                recovery.point_in_time_recovery_status.as_ref().map(PointInTimeRecoveryStatus::as_str)
                    == Some("ENABLED")
            });
        Ok(recovery.map(|recovery| {
            let days = recovery.recovery_period_in_days.unwrap_or(RECOVERY_DAYS);
            Remaining {
                what: format!("point-in-time recovery of {what}, `{table}`"),
                until: Some(now.plus(DAY * days.unsigned_abs())),
                why: "a table restored to a time before the erasure has it again: erase it there".to_owned(),
            }
        }))
    }

    /// Old versions of objects, where the bucket has them.
    async fn versions(&self, now: Timestamp) -> anyhow::Result<Option<Remaining>> {
        let bucket = &self.resources.bucket;
        let versioning = self.s3.get_bucket_versioning().bucket(bucket).send().await;
        let versioning =
            versioning.with_context(|| format!("the versioning of `{bucket}` cannot be read"))?;
        // Suspended versioning leaves the versions of before.
        if !matches!(
            versioning.status,
            Some(BucketVersioningStatus::Enabled | BucketVersioningStatus::Suspended)
        ) {
            return Ok(None);
        }
        let rules = match self.s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await {
            Err(error) if error.code() == Some("NoSuchLifecycleConfiguration") => Vec::new(),
            found => {
                let found = found.with_context(|| format!("the lifecycle of `{bucket}` cannot be read"))?;
                found.rules.unwrap_or_default()
            }
        };
        let days = rules
            .iter()
            .filter(|rule| rule.status.as_str() == "Enabled")
            .filter_map(|rule| rule.noncurrent_version_expiration.as_ref()?.noncurrent_days)
            .max();
        Ok(Some(Remaining {
            what: format!("old versions of objects in `{bucket}`"),
            until: days.map(|days| now.plus(DAY * days.unsigned_abs())),
            why: match days {
                Some(_) => "a rule of the bucket's lifecycle deletes them".to_owned(),
                None => "no rule of the bucket's lifecycle deletes them: do it by hand".to_owned(),
            },
        }))
    }
}
