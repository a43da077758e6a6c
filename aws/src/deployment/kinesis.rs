//! Reads the stream: `ListShards`, `GetRecords`, `DescribeStreamSummary`.

use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_kinesis::Client;
use local::event_source_mapping::ports::{ReadLimit, ShardTail, StreamReader};
use operate::deployment::{RecordPage, Start};

use crate::error::described;
use crate::kinesis::{KinesisReader, Position};

/// As much as a call returns.
const PAGE: ReadLimit = ReadLimit { records: 10_000, bytes: 10 * 1024 * 1024 };

#[derive(Debug)]
pub(super) struct Shards {
    client: Client,
    reader: KinesisReader,
}

impl Shards {
    pub(super) fn new(sdk: &SdkConfig, stream: String) -> Self {
        Self { client: Client::new(sdk), reader: KinesisReader::new(sdk, stream) }
    }

    /// The stream's ARN and retention.
    pub(super) async fn describe(&self) -> anyhow::Result<(String, Duration)> {
        let stream = self.reader.stream();
        let summary = self.client.describe_stream_summary().stream_name(stream).send().await;
        let summary = summary.map_err(described).with_context(|| format!("the stream `{stream}`"))?;
        let summary = summary.stream_description_summary.context("Kinesis returns no description")?;
        let hours = u64::try_from(summary.retention_period_hours).unwrap_or_default();
        Ok((summary.stream_arn, Duration::from_hours(hours)))
    }

    pub(super) async fn list(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.reader.shards().await?.into_iter().map(|shard| shard.id).collect())
    }

    pub(super) async fn read(&self, shard: &str, start: Start<'_>) -> anyhow::Result<RecordPage> {
        let position = match start {
            Start::Oldest => Position::Oldest,
            Start::At(time) => Position::At(time),
            Start::After(sequence_number) => Position::After(sequence_number.to_owned()),
        };
        let read = self.reader.read_from(shard, position, PAGE).await?;
        Ok(RecordPage { has_more: read.tail == ShardTail::More, records: read.records })
    }
}
