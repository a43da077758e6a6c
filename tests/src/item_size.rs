//! The size of an item, of which DynamoDB bills each KB begun as a write unit: an event goes through ingest and the consumer as
//! on AWS, and the item that is inserted is measured. `cdk/scripts/cost.ts` counts with it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use consumer_fn::items::{Insert, Item, TakeOver, TakenOver};
use consumer_fn::ledger::{LedgerFailure, Progress, Written};
use consumer_fn::{Batch, Consumer, Deadline, ItemStore, Ledger};
use ingest_fn::credentials::Credentials;
use ingest_fn::{
    EventStream, IngestPorts, IngestState, NoReader, Put, SpillFailure, SpillMessage, SpillQueue,
    StreamFailure, StreamRecord, router,
};
use shared::config::{Config, ItemContent};
use shared::format::item;
use shared::format::manifest_row::ManifestRow;
use shared::id::Ids;
use shared::objects::memory::MemoryObjects;
use shared::time::{Clock, Timestamp};
use tower::ServiceExt;
use uuid::Uuid;

/// The size of the event, as it is sent.
pub const EVENT_BYTES: usize = 1_024;
/// The text in it: a log of ten lines, of which redaction changes nothing.
const TEXT_BYTES: usize = 954;
const LINES: usize = 10;

const SHARD: &str = "shardId-000000000000";
/// As long as those of Kinesis are.
const SEQUENCE_NUMBER: &str = "49590338271490256608559692538361571095921575989136588898";
/// As a Function URL adds it to each request.
const TRACE: &str = "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e";

/// The size of the item of an event of [`EVENT_BYTES`], with the default configuration but for this `items.content`.
pub fn item_bytes(content: ItemContent) -> usize {
    let mut config = Config::default();
    config.items.content = content;
    item::bytes(&stored(config).attributes())
}

fn body() -> String {
    let mut text = "x".repeat(TEXT_BYTES - LINES + 1);
    for line in 1..LINES {
        text.insert(line * TEXT_BYTES / LINES, '\n');
    }
    let body = serde_json::json!({ "event_id": Uuid::from_u128(u128::MAX), "text": text }).to_string();
    assert_eq!((text.len(), body.len()), (TEXT_BYTES, EVENT_BYTES));
    body
}

/// The item of the event.
fn stored(config: Config) -> Item {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime without I/O starts");
    let (ports, objects, config) = (Ports::default(), MemoryObjects::default(), Arc::new(config));
    let now = Timestamp::from_unix_ms(1_795_253_400_123);
    let of_ingest = IngestPorts {
        stream: ports.clone(),
        objects: objects.clone(),
        queue: ports.clone(),
        reader: None::<NoReader>,
    };
    let ids = Ids::new(|| Uuid::from_u128(u128::MAX));
    let state = IngestState::new(Arc::clone(&config), Credentials::none(), of_ingest, Clock::fixed(now), ids);
    let request = Request::post("/ingest")
        .header("content-type", "application/json")
        .header("x-tenant-id", "acme")
        .header("x-customer-tier", "pro")
        .header("x-amzn-trace-id", TRACE)
        .body(Body::from(body()))
        .expect("a valid request");
    let answer = runtime.block_on(router(state).oneshot(request)).expect("the router answers");
    assert_eq!(answer.status(), 202);

    let StreamRecord { partition_key, data } = ports.seen().record.take().expect("it is on the stream");
    let batch = Batch::of_record(SHARD, SEQUENCE_NUMBER, Some(partition_key), now, data.into());
    let clock = Clock::fixed(now.plus(Duration::from_secs(3)));
    let deadline = Deadline::after(Duration::from_mins(1), &config);
    let consumer = Consumer::new(config, ports.clone(), objects, ports.clone(), clock);
    let consumer = consumer.expect("a valid configuration");
    let response = runtime.block_on(consumer.handle(batch, deadline));
    assert!(response.batch_item_failures.is_empty());
    let item = ports.seen().item.take();
    Arc::unwrap_or_clone(item.expect("its item was inserted"))
}

/// The stores, which take everything.
#[derive(Clone, Default)]
struct Ports(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    record: Option<StreamRecord>,
    item: Option<Arc<Item>>,
}

impl Ports {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().expect("no holder panics")
    }
}

impl EventStream for Ports {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        self.seen().record = records.first().cloned();
        Ok(vec![Put::Taken; records.len()])
    }
}

impl SpillQueue for Ports {
    async fn send(&self, messages: &[SpillMessage]) -> Vec<Result<(), SpillFailure>> {
        vec![Ok(()); messages.len()]
    }
}

impl ItemStore for Ports {
    async fn insert(&self, items: &[Arc<Item>]) -> Vec<Insert> {
        self.seen().item = items.first().cloned();
        vec![Insert::Inserted; items.len()]
    }

    async fn take_over(&self, items: &[TakeOver]) -> Vec<TakenOver> {
        vec![TakenOver::Changed; items.len()]
    }
}

impl Ledger for Ports {
    async fn read(&self, _shard: &str) -> Result<Progress, LedgerFailure> {
        Ok(Progress::default())
    }

    async fn write(&self, _shard: &str, _progress: &Progress) -> Result<Written, LedgerFailure> {
        Ok(Written::Done)
    }

    async fn note(&self, _shard: &str, _row: &ManifestRow) -> Result<(), LedgerFailure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shared::format::item::Attribute;

    use super::*;

    #[test]
    fn an_event_of_1_kb_takes_the_write_units_that_the_documents_promise() {
        for (content, units) in
            [(ItemContent::Both, 3), (ItemContent::Changed, 2), (ItemContent::Reference, 1)]
        {
            let mut config = Config::default();
            config.items.content = content;
            // With a trace, a time of its own, and a place in the index.
            config.reads.enabled = Some(true);
            let mut item = stored(config);
            assert!(item.facts.trace.is_some() && item.received_partition.is_some());
            item.facts.event_time = Item::example().facts.event_time;
            assert_eq!(item::bytes(&item.attributes()).div_ceil(1_024), units, "{content:?}");
        }
    }

    /// The table in docs/items.md: each attribute that there is, with its size in the item of the event.
    #[test]
    fn the_document_has_every_attribute_with_its_size() {
        let page = include_str!("../../docs/items.md");
        let (_, attributes) = page.split_once("## Attributes").unwrap();
        let rows = attributes.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let documented: BTreeMap<_, _> =
            rows.map(|(name, rest)| (name, rest.split(" | ").next().unwrap())).collect();
        let config = Config::default();
        let sizes: BTreeMap<_, _> =
            stored(config).attributes().into_iter().map(|of| (of.0, item::bytes(&[of]))).collect();
        let dispatch = [item::DISPATCH_STATUS, item::DISPATCH_ATTEMPTS, item::DISPATCH_REASON];
        let of_dispatch = dispatch.map(|name| (name, Attribute::Flag(true)));
        let expected: BTreeMap<_, _> = Item::example()
            .attributes()
            .into_iter()
            .chain(of_dispatch)
            .map(|(name, _)| (name, sizes.get(name).map_or("–".to_owned(), usize::to_string)))
            .collect();
        assert_eq!(documented, expected.iter().map(|(name, size)| (*name, size.as_str())).collect());
        for content in [ItemContent::Both, ItemContent::Changed, ItemContent::Reference] {
            let row = format!("{content:?}").to_lowercase();
            let row = page.lines().find(|line| line.starts_with(&format!("| `\"{row}\"`"))).unwrap();
            let bytes = item_bytes(content);
            assert!(
                row.contains(&format!("| {} | {} |", with_commas(bytes), bytes.div_ceil(1_024))),
                "{row}: {bytes}"
            );
        }
    }

    fn with_commas(number: usize) -> String {
        if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
    }
}
