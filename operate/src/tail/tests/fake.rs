//! A deployment in memory, for commands that read its shards, manifest and objects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use consumer_fn::Ledger;
use consumer_fn::items::Existing;
use consumer_fn::ledger::{LedgerFailure, Progress, Written};
use ingest_fn::EventStream;
use ingest_fn::publish::{Put, StreamFailure, StreamRecord};
use shared::format::key;
use shared::format::manifest_row::{ManifestRow, TenantIndex, TenantRange};
use shared::gzip;
use shared::id::{EventId, TenantId};
use shared::objects::memory::MemoryObjects;
use shared::origin::ShardPosition;
use shared::time::Timestamp;

use crate::deployment::{
    Attributes, Deployment, ItemPage, ListedObject, ManifestPart, Messages, NotedRow, QueueName,
    QueuedMessage, ShardRead, Start,
};

/// Rows in a page: few, so that the tests read several pages.
const PAGE: usize = 2;

type Meanwhile = Box<dyn FnMut(&str) + Send>;

#[derive(Default)]
pub(super) struct Fake {
    pub(super) objects: MemoryObjects,
    shards: Mutex<Vec<String>>,
    rows: Mutex<BTreeMap<String, BTreeMap<ShardPosition, ManifestRow>>>,
    /// Reading the manifest fails.
    pub(super) fails: Mutex<bool>,
    /// How often the manifest was read.
    pub(super) queries: Mutex<usize>,
    /// Called when a shard's manifest was read, with the shard.
    pub(super) meanwhile: Mutex<Option<Meanwhile>>,
}

/// An object with the events `tenant/id`, which are on the stream one after the other from `first` on.
pub(super) fn object(shard: &str, first: u32, events: &[&str]) -> (ManifestRow, Bytes) {
    let mut by_tenant: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (position, event) in events.iter().enumerate() {
        let (tenant, id) = event.split_once('/').unwrap();
        by_tenant.entry(tenant).or_default().push(line(shard, first, position, tenant, id, r#""text":"x""#));
    }
    let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
    for (tenant, lines) in by_tenant {
        let member = gzip::compress(lines.concat().as_bytes(), gzip::Level::FAST);
        let tenant = TenantId::parse(tenant).unwrap();
        ranges.push(TenantRange { tenant, offset: bytes.len(), length: member.len(), lines: lines.len() });
        bytes.extend(member);
    }
    (row(shard, first, bytes.len(), TenantIndex::Ranges(ranges), events.len()), bytes.into())
}

pub(super) fn line(shard: &str, first: u32, position: usize, tenant: &str, id: &str, text: &str) -> String {
    let line = format!(
        r#"{{"v":1,"id":"{id}","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"{tenant}","tier":"pro","source":"webhook","received_at":"2024-01-11T01:42:50.234Z","processed_at":"2024-01-11T01:42:51.000Z",{text},"shard":"{shard}","sequence_number":"{first}","position":{position}}}"#
    );
    line + "\n"
}

pub(super) fn row(shard: &str, first: u32, bytes: usize, tenants: TenantIndex, lines: usize) -> ManifestRow {
    let at = Timestamp::from_unix_ms(1_704_937_370_234);
    let position = |position| ShardPosition::new(first.to_string(), position);
    ManifestRow {
        key: key::archive_object(shard, &first.to_string(), 0, at),
        first: position(0),
        end: position(u32::try_from(lines).unwrap()),
        bytes,
        sha256: "ab".to_owned(),
        lines,
        received_at: [at, at],
        tenants,
    }
}

impl Fake {
    pub(super) fn add_shard(&self, shard: &str) {
        self.shards.lock().unwrap().push(shard.to_owned());
    }

    pub(super) fn forget_shard(&self, shard: &str) {
        self.shards.lock().unwrap().retain(|other| other != shard);
    }

    /// As [`Ledger::note`].
    pub(super) fn note(&self, shard: &str, row: ManifestRow) {
        self.rows.lock().unwrap().entry(shard.to_owned()).or_default().insert(row.first.clone(), row);
    }

    /// An object and its row, as a whole commit.
    pub(super) fn store(&self, shard: &str, first: u32, events: &[&str]) {
        let (row, bytes) = object(shard, first, events);
        self.objects.add(&row.key, bytes);
        self.note(shard, row);
    }
}

impl Deployment for Fake {
    type Objects = MemoryObjects;
    type Ledger = Nothing;
    type Stream = Nothing;

    fn name(&self) -> &'static str {
        "fake"
    }

    fn identity(&self) -> &'static str {
        "fake"
    }

    fn objects(&self) -> &MemoryObjects {
        &self.objects
    }

    fn ledger(&self) -> &Nothing {
        &Nothing
    }

    fn stream(&self) -> Arc<Nothing> {
        Arc::new(Nothing)
    }

    async fn retention(&self) -> anyhow::Result<Duration> {
        Ok(shared::limits::STREAM_RETENTION)
    }

    async fn shards(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.shards.lock().unwrap().clone())
    }

    async fn manifest_rows(&self, shard: &str, part: ManifestPart<'_>) -> anyhow::Result<Vec<NotedRow>> {
        *self.queries.lock().unwrap() += 1;
        if *self.fails.lock().unwrap() {
            bail!("the table is throttled");
        }
        let of_shard = self.rows.lock().unwrap().get(shard).cloned().unwrap_or_default();
        let rows = of_shard.into_values();
        let page: Vec<_> = match part {
            ManifestPart::After(after) => {
                rows.filter(|row| after.is_none_or(|after| row.first > *after)).take(PAGE).map(Ok).collect()
            }
            ManifestPart::Before(end) => {
                rows.rev().filter(|row| end.is_none_or(|end| row.first < *end)).take(PAGE).map(Ok).collect()
            }
            ManifestPart::At(_) => unreachable!("it is not asked for"),
        };
        if let Some(meanwhile) = &mut *self.meanwhile.lock().unwrap() {
            meanwhile(shard);
        }
        Ok(page)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> anyhow::Result<Vec<ListedObject>> {
        let keys = self.objects.keys(prefix).into_iter();
        let keys = keys.filter(|key| after.is_none_or(|after| key.as_str() > after)).take(PAGE);
        let listed = |key| ListedObject { key, bytes: 1, written: Timestamp::default() };
        Ok(keys.map(listed).collect())
    }

    async fn records(&self, _: &str, _: Start) -> anyhow::Result<ShardRead> {
        unreachable!()
    }

    async fn checkpoint(&self, _: &str) -> anyhow::Result<Option<String>> {
        unreachable!()
    }

    async fn items(&self, _: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Existing>>> {
        unreachable!()
    }

    async fn attributes_of(&self, _: &[(TenantId, EventId)]) -> anyhow::Result<Vec<Option<Attributes>>> {
        unreachable!()
    }

    async fn list_items(&self, _: Option<String>) -> anyhow::Result<ItemPage> {
        unreachable!()
    }

    async fn messages(&self, _: QueueName) -> anyhow::Result<Messages> {
        unreachable!()
    }

    async fn delete_message(&self, _: QueueName, _: &QueuedMessage) -> anyhow::Result<()> {
        unreachable!()
    }

    async fn dispatch_again(&self, _body: String) -> anyhow::Result<()> {
        unreachable!("tail sends nothing")
    }
}

/// A ledger and a stream that are not used.
pub(super) struct Nothing;

impl Ledger for Nothing {
    async fn read(&self, _: &str) -> Result<Progress, LedgerFailure> {
        unreachable!()
    }

    async fn write(&self, _: &str, _: &Progress) -> Result<Written, LedgerFailure> {
        unreachable!()
    }

    async fn note(&self, _: &str, _: &ManifestRow) -> Result<(), LedgerFailure> {
        unreachable!()
    }
}

impl EventStream for Nothing {
    async fn put(&self, _: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        unreachable!()
    }
}
