//! The handler as a whole, over stores that fail by plan, in virtual time. What one stage does alone is tested in
//! its own file.

mod columns;
mod dispatch;
mod faults;
mod flow;
pub(crate) mod large;
mod ledger;
mod permissions;
mod prefix_rule;
mod redrive;
mod simulated_work;
mod stores;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::streams::KinesisEventResponse;
use serde_json::{Value, json};
use shared::config::Config;
use shared::fields::Fields;
use shared::format::event_line::Event;
use shared::format::facts::{Facts, Source};
use shared::format::record;
use shared::id::{AdmissionId, EventId, TenantId};
use shared::objects::memory::MemoryObjects;
use shared::tier::Tier;
use shared::time::{Clock, Timestamp};
use uuid::Uuid;

use self::stores::{DispatchMessages, FakeLedger, Items};
use crate::batch::Batch;
use crate::deadline::Deadline;
use crate::handler::Consumer;

const SHARD: &str = "shardId-000000000000";
/// 2026-11-21T09:30:00Z
const ARRIVAL_MS: i64 = 1_795_253_400_000;

/// A pipeline over fake stores.
struct Pipeline {
    config: Config,
    items: Items,
    objects: MemoryObjects,
    ledger: FakeLedger,
    dispatch: Option<DispatchMessages>,
}

impl Pipeline {
    fn new() -> Self {
        Self {
            config: Config::default(),
            items: Items::default(),
            objects: MemoryObjects::default(),
            ledger: FakeLedger::default(),
            dispatch: None,
        }
    }

    fn consumer(&self) -> Consumer<Items, MemoryObjects, FakeLedger, DispatchMessages> {
        let clock = Clock::fixed(Timestamp::from_unix_ms(ARRIVAL_MS + 2_000));
        let (items, objects, ledger) = (self.items.clone(), self.objects.clone(), self.ledger.clone());
        let consumer = Consumer::new(Arc::new(self.config.clone()), items, objects, ledger, clock).unwrap();
        consumer.dispatching(self.dispatch.clone())
    }

    /// One invocation. Gives the index of the first record that is not done.
    async fn invoke(&self, records: &[Vec<u8>]) -> usize {
        self.invoke_from(0, records).await
    }

    /// One invocation with the stream's records from `first` on.
    async fn invoke_from(&self, first: usize, records: &[Vec<u8>]) -> usize {
        let deadline = Deadline::after(Duration::from_mins(1), &self.config);
        let response = self.consumer().handle(batch(first, records), deadline).await;
        unfinished(&response, first + records.len())
    }
}

/// The index of the first record that is not done; `end` if all are.
fn unfinished(response: &KinesisEventResponse, end: usize) -> usize {
    match &response.batch_item_failures[..] {
        [] => end,
        [only] => index(only.item_identifier.as_deref().unwrap()),
        more => panic!("{more:?}"),
    }
}

/// The sequence number of the stream's record `index`; further up they get a digit more.
fn sequence_number(index: usize) -> String {
    (index + 95).to_string()
}

fn index(sequence_number: &str) -> usize {
    sequence_number.parse::<usize>().unwrap() - 95
}

/// A batch of the stream's records from `first` on, as the mapping sends it.
fn batch(first: usize, records: &[Vec<u8>]) -> Batch {
    let record = |(at, data): (usize, &Vec<u8>)| {
        let sequence_number = sequence_number(first + at);
        json!({
            "kinesis": {
                "sequenceNumber": sequence_number,
                "partitionKey": "acme",
                "data": base64_simd::STANDARD.encode_to_string(data),
                "approximateArrivalTimestamp": 1_795_253_400.0,
            },
            "eventID": format!("{SHARD}:{sequence_number}"),
        })
    };
    let records: Vec<Value> = records.iter().enumerate().map(record).collect();
    serde_json::from_str(&json!({ "Records": records }).to_string()).unwrap()
}

/// An admission of its own.
pub(crate) fn admitted(admission: u128, tenant: &str, id: &str, text: &str) -> Event {
    Event {
        facts: Facts {
            id: EventId::parse(id).unwrap(),
            admission_id: AdmissionId(Uuid::from_u128(admission)),
            tenant: TenantId::parse(tenant).unwrap(),
            tier: Tier::parse("pro").unwrap(),
            source: Source::JsonUpload,
            received_at: Timestamp::from_unix_ms(ARRIVAL_MS - 100),
            event_time: None,
            trace: None,
        },
        text: text.to_owned(),
        fields: Fields::empty(),
        is_flattened: false,
        is_message: false,
        claim_check: None,
        redrive_of: Vec::new(),
    }
}

/// A record of one event for each id; the admission follows from the id.
fn record(tenant: &str, ids: &[&str]) -> Vec<u8> {
    let event = |id: &&str| {
        let admission = id.bytes().fold(1, |hash: u128, byte| hash * 257 + u128::from(byte));
        admitted(admission, tenant, id, &format!("text of {id}")).line()
    };
    record::pack(&ids.iter().map(event).collect::<Vec<_>>())
}

/// The same event as a head, with its stored parts in `objects`.
fn checked_in(mut event: Event, objects: &MemoryObjects) -> Event {
    for (key, part) in event.check_in(&event.line()) {
        objects.add(&key, part);
    }
    event
}

fn pack(events: &[Event]) -> Vec<u8> {
    record::pack(&events.iter().map(Event::line).collect::<Vec<_>>())
}
