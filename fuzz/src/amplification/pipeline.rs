//! Ingest and the consumer in one process, over stores in memory that count their bytes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use consumer_fn::items::{Existing, Insert, Item, TakeOver, TakenOver};
use consumer_fn::ledger::{LedgerFailure, Progress, Written};
use consumer_fn::{Batch, Consumer, Deadline, ItemStore, Ledger};
use ingest_fn::credentials::Credentials;
use ingest_fn::{
    EventStream, IngestPorts, IngestState, NoReader, Put, SpillFailure, SpillMessage, SpillQueue,
    StreamFailure, StreamRecord, router,
};
use serde_json::json;
use shared::config::Config;
use shared::format::item;
use shared::format::manifest_row::ManifestRow;
use shared::format::record;
use shared::id::TenantId;
use shared::limits;
use shared::objects::memory::MemoryObjects;
use shared::time::{Clock, Timestamp};
use tower::ServiceExt;

use super::sender::Sent;
use crate::http::counting_ids;

const NOW_MS: i64 = 1_795_253_400_123;

/// What one request, or one record of a foreign producer, made us store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// As it was sent, without headers.
    pub wire: usize,
    /// After decompression.
    pub inflated: usize,
    /// Events that the consumer read, good or bad.
    pub events: usize,
    /// Records with their partition keys. Where the stream refuses, what the drain puts on it.
    pub stream: usize,
    pub spilled: usize,
    pub claims: usize,
    /// By DynamoDB's rules.
    pub items: usize,
    /// Archive objects and large archive lines.
    pub archive: usize,
    /// Manifest rows and their sidecars.
    pub manifest: usize,
    pub quarantine: usize,
}

impl Cost {
    pub fn sum(&self) -> usize {
        let Self { stream, spilled, claims, items, archive, manifest, quarantine, .. } = *self;
        stream + spilled + claims + items + archive + manifest + quarantine
    }
}

/// The pipeline before and after one request.
pub struct Pipeline {
    config: Arc<Config>,
    ports: Ports,
    objects: MemoryObjects,
    runtime: tokio::runtime::Runtime,
}

impl Pipeline {
    pub fn new(is_spilled: bool) -> Self {
        let mut config = Config::default();
        config.tiers.default = Some(config.tiers.allowed[0].clone());
        config.tenants.default = Some(TenantId::parse("t").unwrap());
        config.reads.enabled = Some(true);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let ports = Ports { is_away: is_spilled, ..Ports::default() };
        Self { config: Arc::new(config), ports, objects: MemoryObjects::default(), runtime }
    }

    /// What goes to the stream, and the status of the answer.
    pub fn ingest(&self, sent: Sent) -> (u16, Vec<StreamRecord>) {
        let request = match sent {
            Sent::Record { data, .. } => {
                let record = StreamRecord { partition_key: "t".to_owned(), data: data.into() };
                return (200, vec![record]);
            }
            Sent::Request { request, .. } => *request,
        };
        let ports = IngestPorts {
            stream: self.ports.clone(),
            objects: self.objects.clone(),
            queue: self.ports.clone(),
            reader: None::<NoReader>,
        };
        let clock = Clock::fixed(Timestamp::from_unix_ms(NOW_MS));
        let state =
            IngestState::new(Arc::clone(&self.config), Credentials::none(), ports, clock, counting_ids());
        let answer = self.runtime.block_on(router(state).oneshot(request)).unwrap();
        let mut records = std::mem::take(&mut self.ports.stored().records);
        // What the drain would put there.
        for message in &self.ports.stored().messages {
            let lines = SpillMessage::read(message.body()).unwrap();
            let lines: Vec<_> = lines.into_iter().map(|line| line.line).collect();
            let data = record::pack(&lines).into();
            records.push(StreamRecord { partition_key: message.partition_key().to_owned(), data });
        }
        (answer.status().as_u16(), records)
    }

    /// The batches in which the mapping delivers the records.
    pub fn batches(records: &[StreamRecord]) -> Vec<Batch> {
        let mut batches = Vec::new();
        let (mut payload, mut bytes) = (Vec::new(), 0);
        for (index, record) in records.iter().enumerate() {
            let data = base64_simd::STANDARD.encode_to_string(&record.data);
            if bytes + data.len() > limits::LAMBDA_PAYLOAD_BYTES {
                batches.push(batch(&std::mem::take(&mut payload)));
                bytes = 0;
            }
            bytes += data.len();
            let sequence_number = (1_000_000 + index).to_string();
            payload.push(json!({
                "eventID": format!("shardId-000000000000:{sequence_number}"),
                "kinesis": {
                    "sequenceNumber": sequence_number, "partitionKey": record.partition_key, "data": data,
                    "approximateArrivalTimestamp": 1_795_253_400.5,
                },
            }));
        }
        if !payload.is_empty() {
            batches.push(batch(&payload));
        }
        batches
    }

    /// One invocation. Whether all of it is done.
    pub fn consume(&self, batch: Batch) -> bool {
        let clock = Clock::fixed(Timestamp::from_unix_ms(NOW_MS + 2_000));
        let (config, ports) = (Arc::clone(&self.config), self.ports.clone());
        let consumer = Consumer::new(config, ports.clone(), self.objects.clone(), ports, clock).unwrap();
        let handled = async {
            let deadline = Deadline::after(Duration::from_mins(1), &self.config);
            consumer.handle(batch, deadline).await
        };
        self.runtime.block_on(handled).batch_item_failures.is_empty()
    }

    /// Takes something through the whole pipeline.
    pub fn cost(self, sent: Sent) -> Cost {
        let mut cost = match &sent {
            Sent::Request { wire, inflated, .. } => {
                Cost { wire: *wire, inflated: *inflated, ..Cost::default() }
            }
            Sent::Record { data, inflated } => {
                Cost { wire: data.len(), inflated: *inflated, ..Cost::default() }
            }
        };
        if let Sent::Record { data, .. } = &sent
            && data.len() >= limits::RECORD_BYTES
        {
            return Cost::default();
        }
        let (status, records) = self.ingest(sent);
        assert!(status < 500, "{status}");
        cost.stream = records.iter().map(|record| record.data.len() + record.partition_key.len()).sum();
        let lines = |record: &StreamRecord| {
            record::unpack(&record.data, &[]).map_or(1, |record| record.entries.len().max(1))
        };
        cost.events = records.iter().map(lines).sum();
        for batch in Self::batches(&records) {
            assert!(self.consume(batch), "one invocation is enough");
        }
        let stored = self.ports.stored();
        cost.spilled = stored.messages.iter().map(|message| message.body().len()).sum();
        cost.items = stored.items.values().map(|(bytes, _)| bytes).sum();
        cost.manifest = stored.manifest;
        let objects = |prefix: &str| {
            let keys = self.objects.keys(prefix);
            keys.iter().map(|key| key.len() + self.objects.bytes(key).len()).sum::<usize>()
        };
        cost.claims = objects("claims/");
        cost.archive = objects("events/") + objects("texts/");
        cost.manifest += objects("manifests/");
        cost.quarantine = objects("errors/");
        cost
    }
}

fn batch(records: &[serde_json::Value]) -> Batch {
    serde_json::from_str(&json!({ "Records": records }).to_string()).unwrap()
}

#[derive(Clone, Default)]
struct Ports {
    /// The stream refuses.
    is_away: bool,
    stored: Arc<Mutex<Stored>>,
}

#[derive(Default)]
struct Stored {
    records: Vec<StreamRecord>,
    messages: Vec<SpillMessage>,
    items: BTreeMap<(String, String), (usize, Existing)>,
    progress: Progress,
    manifest: usize,
}

impl Ports {
    fn stored(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.stored.lock().unwrap()
    }
}

impl EventStream for Ports {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        if self.is_away {
            return Err(StreamFailure::Refused("away".to_owned()));
        }
        self.stored().records.extend(records.iter().cloned());
        Ok(vec![Put::Taken; records.len()])
    }
}

impl SpillQueue for Ports {
    async fn send(&self, messages: &[SpillMessage]) -> Vec<Result<(), SpillFailure>> {
        self.stored().messages.extend(messages.iter().cloned());
        vec![Ok(()); messages.len()]
    }
}

impl ItemStore for Ports {
    async fn insert(&self, items: &[Arc<Item>]) -> Vec<Insert> {
        let mut stored = self.stored();
        let insert = |item: &Arc<Item>| {
            let key = (item.facts.tenant.to_string(), item.facts.id.to_string());
            if let Some((_, there)) = stored.items.get(&key) {
                return Insert::Exists(there.clone());
            }
            stored.items.insert(key, (item::bytes(&item.attributes()), (&**item).into()));
            Insert::Inserted
        };
        items.iter().map(insert).collect()
    }

    async fn take_over(&self, items: &[TakeOver]) -> Vec<TakenOver> {
        vec![TakenOver::Changed; items.len()]
    }
}

impl Ledger for Ports {
    async fn read(&self, _shard: &str) -> Result<Progress, LedgerFailure> {
        Ok(self.stored().progress.clone())
    }

    async fn write(&self, _shard: &str, progress: &Progress) -> Result<Written, LedgerFailure> {
        self.stored().progress = progress.clone();
        Ok(Written::Done)
    }

    async fn note(&self, _shard: &str, row: &ManifestRow) -> Result<(), LedgerFailure> {
        self.stored().manifest += item::bytes(&row.attributes());
        Ok(())
    }
}
