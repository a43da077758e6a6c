//! The operator's port on AWS, or on an emulator of it.

mod dynamodb;
mod erase;
mod scan;
pub(crate) mod sqs;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use consumer_fn::items::Existing;
use consumer_fn::items::dynamodb::read::{Wanted, item_key, projection};
use consumer_fn::ledger::dynamodb::DynamoLedger;
use ingest_fn::drain::ATTEMPT;
use ingest_fn::publish::kinesis::KinesisStream;
use local::event_source_mapping::ports::{ReadLimit, StreamReader};
use operate::deployment::{
    Deployment, ItemPage, ListedObject, ManifestPart, Messages, NotedRow, QueueName, QueuedMessage,
    ShardRead, Start, quoted,
};
use shared::format::key;
use shared::id::{EventId, TenantId};
use shared::objects::s3::{self, S3Objects};
use shared::time::Timestamp;

use crate::error::described;
use crate::kinesis::{self, KinesisReader, Share};
use crate::patience::patiently;
use dynamodb::{
    FIRST_ROW, ROWS_END, batch_get, cursor, named, plain, rows, sort_key, sort_key_after, start, text,
};
use scan::ScanPace;
use sqs::Queues;

/// As much as a call of `GetRecords` returns.
const PAGE: ReadLimit = ReadLimit { records: 10_000, bytes: 10 * 1024 * 1024 };

/// A command waits for the ledger longer than a function, which has a deadline.
const LEDGER_ATTEMPTS: u32 = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    pub stream: String,
    pub items_table: String,
    /// Of ledger and manifest.
    pub ledger_table: String,
    pub bucket: String,
    /// The URL.
    pub spill_queue: String,
    /// `None` where dispatch is off.
    pub dispatch: Option<DispatchQueues>,
}

/// The URLs of the dispatch queue and its dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchQueues {
    pub queue: String,
    pub dead_letters: String,
}

impl Resources {
    /// From the functions' environment variables.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let ingest = ingest_fn::environment::Environment::read(&variable)?;
        let consumer = consumer_fn::environment::Environment::read(&variable)?;
        Ok(Self {
            stream: ingest.stream,
            items_table: consumer.items_table,
            ledger_table: consumer.ledger_table,
            bucket: consumer.bucket,
            spill_queue: ingest.spill_queue,
            dispatch: None,
        })
    }
}

#[derive(Debug)]
pub struct AwsDeployment {
    resources: Resources,
    identity: String,
    retention: Duration,
    stream: Arc<KinesisStream>,
    objects: S3Objects,
    ledger: DynamoLedger,
    reader: KinesisReader,
    dynamodb: aws_sdk_dynamodb::Client,
    scan: Mutex<ScanPace>,
    s3: aws_sdk_s3::Client,
    queues: Queues,
}

impl AwsDeployment {
    /// Fails if the stream does not exist.
    pub async fn open(sdk: &SdkConfig, resources: Resources) -> anyhow::Result<Self> {
        let summary = kinesis::describe(sdk, &resources.stream).await?;
        let Resources { stream, ledger_table, bucket, spill_queue, dispatch, .. } = resources.clone();
        let retries = RetryConfig::standard().with_max_attempts(LEDGER_ATTEMPTS);
        let patient = sdk.to_builder().retry_config(retries).build();
        Ok(Self {
            resources,
            // The endpoint is part of it: emulators give every account the same number.
            identity: format!("{} {}", sdk.endpoint_url().unwrap_or("aws"), summary.stream_arn),
            retention: kinesis::retention(&summary),
            stream: Arc::new(KinesisStream::new(sdk, stream.clone(), ATTEMPT)),
            objects: S3Objects::new(sdk, bucket, s3::ATTEMPT),
            ledger: DynamoLedger::new(&patient, ledger_table),
            reader: KinesisReader::new(sdk, stream, Share::Half),
            dynamodb: aws_sdk_dynamodb::Client::new(sdk),
            scan: Mutex::default(),
            s3: aws_sdk_s3::Client::new(sdk),
            queues: Queues::new(sdk, spill_queue, dispatch),
        })
    }

    /// Says by `say` what a command waits for, if that is long.
    #[must_use]
    pub fn saying(mut self, say: fn(&str)) -> Self {
        self.reader = self.reader.saying(say);
        self
    }

    /// Reads a shard's manifest rows from the sort key `first` to `last`, inclusive.
    fn query(&self, shard: &str, first: String, last: String) -> QueryFluentBuilder {
        let query = self.dynamodb.query().table_name(&self.resources.ledger_table).consistent_read(true);
        let query = query.key_condition_expression("pk = :shard AND sk BETWEEN :first AND :last");
        let query = query.expression_attribute_values(":shard", text(key::ledger_partition(shard)));
        let query = query.expression_attribute_values(":first", text(first));
        query.expression_attribute_values(":last", text(last))
    }
}

/// Items and manifest are read strongly consistently: an audit of older data would report events as missing.
impl Deployment for AwsDeployment {
    type Objects = S3Objects;
    type Ledger = DynamoLedger;
    type Stream = KinesisStream;

    fn name(&self) -> &str {
        &self.resources.stream
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn objects(&self) -> &S3Objects {
        &self.objects
    }

    fn ledger(&self) -> &DynamoLedger {
        &self.ledger
    }

    fn stream(&self) -> Arc<KinesisStream> {
        Arc::clone(&self.stream)
    }

    async fn retention(&self) -> anyhow::Result<Duration> {
        Ok(self.retention)
    }

    async fn shards(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.reader.shards().await?.into_iter().map(|shard| shard.id).collect())
    }

    async fn records(&self, shard: &str, start: Start) -> anyhow::Result<ShardRead> {
        self.reader.read_from(shard, start, PAGE).await
    }

    /// Lambda does not show the checkpoints of its mapping. The ledger has to suffice.
    async fn checkpoint(&self, _shard: &str) -> anyhow::Result<Option<String>> {
        Ok(None)
    }

    async fn manifest_rows(&self, shard: &str, part: ManifestPart<'_>) -> anyhow::Result<Vec<NotedRow>> {
        let (last, excluded) = match part {
            ManifestPart::After(_) => (None, None),
            ManifestPart::Before(before) => (before, before),
            ManifestPart::At(position) => (Some(position), None),
        };
        let first = match part {
            ManifestPart::After(Some(after)) => sort_key_after(after),
            _ => FIRST_ROW.to_owned(),
        };
        let last = last.map_or(ROWS_END.to_owned(), sort_key);
        let query = self.query(shard, first, last);
        let query = query.scan_index_forward(matches!(part, ManifestPart::After(_)));
        let query = query.set_limit(matches!(part, ManifestPart::At(_)).then_some(1));
        // The query includes both ends.
        let is_excluded = |row: &NotedRow| excluded.is_some() && excluded == operate::deployment::first(row);
        Ok(rows(query).await?.into_iter().filter(|row| !is_excluded(row)).collect())
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> anyhow::Result<Vec<ListedObject>> {
        let call = self.s3.list_objects_v2().bucket(&self.resources.bucket).prefix(prefix);
        let page = call.set_start_after(after.map(str::to_owned)).send().await.map_err(described)?;
        let listed = |object: aws_sdk_s3::types::Object| {
            let bytes = object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            // S3 always sends the time. Without one, the object must not count as old.
            let written = object.last_modified.and_then(|time| time.to_millis().ok()).unwrap_or(i64::MAX);
            object.key.map(|key| ListedObject { key, bytes, written: Timestamp::from_unix_ms(written) })
        };
        Ok(page.contents.unwrap_or_default().into_iter().filter_map(listed).collect())
    }

    /// The CLI prints a description of the object to stdout, and there is no way not to: so the object goes to stderr.
    fn prints(&self, key: &str, range: Option<(usize, usize)>) -> Option<String> {
        let (bucket, key) = (&self.resources.bucket, quoted(key));
        let range = range.map(|(offset, length)| format!(" --range bytes={offset}-{}", offset + length - 1));
        let range = range.unwrap_or_default();
        Some(format!("aws s3api get-object --bucket {bucket} --key {key}{range} /dev/stderr 2>&1 >/dev/null"))
    }

    async fn items(&self, names: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Existing>>> {
        let read = batch_get(&self.dynamodb, &self.resources.items_table, names, Wanted::Identity).await?;
        let found = read.iter().filter_map(|item| named(item).ok());
        let found: HashMap<_, _> = found.map(|item| ((item.tenant, item.id), item.existing)).collect();
        Ok(names.iter().map(|name| found.get(name).cloned()).collect())
    }

    async fn attributes_of(
        &self,
        names: &[(TenantId, EventId)],
    ) -> anyhow::Result<Vec<Option<operate::deployment::Attributes>>> {
        let read = batch_get(&self.dynamodb, &self.resources.items_table, names, Wanted::All).await?;
        let found: HashMap<_, _> = read.iter().map(|item| (dynamodb::keys(item), item)).collect();
        let of_name = |(tenant, id): &(TenantId, EventId)| {
            let (partition, sort) = item_key(tenant, id);
            found.get(&[partition.as_str(), sort.as_str()]).map(|item| plain(item))
        };
        Ok(names.iter().map(of_name).collect())
    }

    /// As fast as the table allows. A table that throttles is no failure: it is read in smaller pages, and slower.
    async fn list_items(&self, after: Option<String>) -> anyhow::Result<ItemPage> {
        let after = after.as_deref().map(start).transpose()?;
        let (expression, names) = projection();
        let page = patiently(async |failures| {
            let (limit, at) = scan::next(&self.scan, failures);
            tokio::time::sleep_until(at).await;
            let scan = self.dynamodb.scan().table_name(&self.resources.items_table).consistent_read(true);
            let scan = scan.set_expression_attribute_names(Some(names.clone()));
            let scan = scan.projection_expression(&expression).set_limit(limit);
            let scan = scan.return_consumed_capacity(ReturnConsumedCapacity::Total);
            scan.set_exclusive_start_key(after.clone()).send().await
        });
        let page = page.await?;
        scan::read(&self.scan, &page);
        let next = page.last_evaluated_key.as_ref().map(cursor).transpose()?;
        Ok(ItemPage::of(page.items.unwrap_or_default().iter().map(named), next))
    }

    async fn messages(&self, queue: QueueName) -> anyhow::Result<Messages> {
        self.queues.messages(queue).await
    }

    async fn delete_message(&self, queue: QueueName, message: &QueuedMessage) -> anyhow::Result<()> {
        self.queues.delete(queue, message).await
    }

    async fn dispatch_again(&self, body: String) -> anyhow::Result<()> {
        self.queues.dispatch_again(body).await
    }
}
