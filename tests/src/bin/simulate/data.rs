//! What the stores hold, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use consumer_fn::items::Item;
use consumer_fn::ledger::Progress;
use dispatch_fn::slots::Micros;
use dispatch_fn::standing::Standing;
use operate::deployment::RetainedRecord;
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::origin::ShardPosition;
use shared::time::Timestamp;
use tokio::time::Instant;

use crate::capacity::Capacity;
use crate::oracle::Erasures;
use crate::target::Target;

#[derive(Debug, Default)]
pub(crate) struct Data {
    /// Of the table of items; `None` if it takes everything.
    pub(crate) capacity: Option<Capacity>,
    pub(crate) objects: BTreeMap<String, SimObject>,
    pub(crate) items: BTreeMap<(TenantId, EventId), Item>,
    /// When items were removed.
    pub(crate) removed: BTreeMap<(TenantId, EventId), Instant>,
    /// What items say of their events' dispatch.
    pub(crate) standings: BTreeMap<(TenantId, EventId), Standing>,
    pub(crate) ledger: BTreeMap<String, Progress>,
    /// By shard, then by the first position that an object covers.
    pub(crate) manifest: BTreeMap<String, BTreeMap<ShardPosition, ManifestRow>>,
    /// All that were saved for a shard, the newest last.
    pub(crate) checkpoints: BTreeMap<String, Vec<String>>,
    pub(crate) shards: Vec<SimShard>,
    records: u64,
    pub(crate) spill: SimQueue,
    pub(crate) dispatch: SimQueue,
    /// The next slot of dispatch.
    pub(crate) free_slot: Option<Micros>,
    pub(crate) target: Target,
    /// When each ingest last read the credentials.
    pub(crate) credentials_read: BTreeMap<u64, Duration>,
    /// The records that crash every consumer.
    pub(crate) poison: BTreeSet<String>,
    pub(crate) erased: Erasures,
}

#[derive(Clone, Debug)]
pub(crate) struct SimObject {
    pub(crate) bytes: Bytes,
    pub(crate) covers_end: Option<ShardPosition>,
    pub(crate) written: Timestamp,
}

#[derive(Debug)]
pub(crate) struct SimShard {
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    first_hash: u128,
    last_hash: u128,
    pub(crate) is_closed: bool,
    pub(crate) records: Vec<RetainedRecord>,
}

/// A queue with its dead-letter queue.
#[derive(Debug, Default)]
pub(crate) struct SimQueue {
    pub(crate) waiting: Vec<SimMessage>,
    pub(crate) dead: Vec<SimMessage>,
    messages: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct SimMessage {
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) sent: Timestamp,
    pub(crate) receives: u32,
    pub(crate) visible_at: Instant,
}

impl Data {
    pub(crate) fn new(shards: u128) -> Self {
        let mut data = Self::default();
        let width = u128::MAX / shards;
        for number in 0..shards {
            let last_hash = if number + 1 == shards { u128::MAX } else { (number + 1) * width - 1 };
            data.add_shard(None, number * width, last_hash);
        }
        data
    }

    fn add_shard(&mut self, parent: Option<String>, first_hash: u128, last_hash: u128) {
        let id = format!("shardId-{:012}", self.shards.len());
        self.shards.push(SimShard {
            id,
            parent,
            first_hash,
            last_hash,
            is_closed: false,
            records: Vec::new(),
        });
    }

    /// Splits the open shard with this number, counted among the open ones and around.
    pub(crate) fn split(&mut self, number: usize) {
        let mut open: Vec<_> = self.shards.iter_mut().filter(|shard| !shard.is_closed).collect();
        let index = number % open.len();
        let shard = &mut *open[index];
        shard.is_closed = true;
        let (parent, first, last) = (shard.id.clone(), shard.first_hash, shard.last_hash);
        let middle = first + (last - first) / 2;
        self.add_shard(Some(parent.clone()), first, middle);
        self.add_shard(Some(parent), middle + 1, last);
    }

    /// Puts a record on the shard of its key, and returns its sequence number.
    pub(crate) fn put(&mut self, partition_key: &str, data: Bytes, arrival: Timestamp) -> String {
        // FNV-1a: spread well enough over the shards.
        let prime = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        let basis = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
        let hash =
            partition_key.bytes().fold(basis, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(prime));
        self.records += 1;
        let sequence_number = format!("49{:054}", self.records);
        let is_home =
            |shard: &&mut SimShard| !shard.is_closed && (shard.first_hash..=shard.last_hash).contains(&hash);
        let shard = self.shards.iter_mut().find(is_home).expect("the open shards cover every hash");
        let (partition_key, number) = (partition_key.to_owned(), sequence_number.clone());
        shard.records.push(RetainedRecord { sequence_number: number, partition_key, data, arrival });
        sequence_number
    }

    pub(crate) fn shard(&self, id: &str) -> Option<&SimShard> {
        self.shards.iter().find(|shard| shard.id == id)
    }

    pub(crate) fn remove_item(&mut self, name: &(TenantId, EventId)) -> Option<Item> {
        self.standings.remove(name);
        self.removed.insert(name.clone(), Instant::now());
        self.items.remove(name)
    }

    pub(crate) fn checkpoint(&self, shard: &str) -> Option<&String> {
        self.checkpoints.get(shard)?.last()
    }

    /// Whether every record and every message is done, but for dead letters.
    pub(crate) fn is_drained(&self) -> bool {
        let is_done = |shard: &SimShard| {
            let last = shard.records.last().map(|record| &record.sequence_number);
            last.is_none() || last <= self.checkpoint(&shard.id)
        };
        self.spill.waiting.is_empty() && self.dispatch.waiting.is_empty() && self.shards.iter().all(is_done)
    }
}

impl SimQueue {
    pub(crate) fn send(&mut self, body: &str, sent: Timestamp) {
        let message = self.message(body, sent);
        self.waiting.push(message);
    }

    pub(crate) fn bury(&mut self, body: &str, sent: Timestamp) {
        let message = self.message(body, sent);
        self.dead.push(message);
    }

    fn message(&mut self, body: &str, sent: Timestamp) -> SimMessage {
        self.messages += 1;
        SimMessage {
            id: format!("message-{}", self.messages),
            body: body.to_owned(),
            sent,
            receives: 0,
            visible_at: Instant::now(),
        }
    }

    /// The next messages, at most so many, hidden for this long. Those that were received too often become dead letters instead: it
    /// returns how many, too.
    pub(crate) fn receive(
        &mut self,
        most: usize,
        visibility: Duration,
        times: u32,
    ) -> (Vec<SimMessage>, u64) {
        let now = Instant::now();
        let (mut taken, mut dead) = (Vec::new(), 0);
        let mut index = 0;
        while index < self.waiting.len() && taken.len() < most {
            let message = &mut self.waiting[index];
            if message.visible_at > now {
                index += 1;
            } else if message.receives >= times {
                let message = self.waiting.remove(index);
                self.dead.push(message);
                dead += 1;
            } else {
                message.receives += 1;
                message.visible_at = now + visibility;
                taken.push(message.clone());
                index += 1;
            }
        }
        (taken, dead)
    }

    pub(crate) fn delete(&mut self, ids: &[String]) {
        self.waiting.retain(|message| !ids.contains(&message.id));
    }
}

impl SimShard {
    /// The number of records up to and including this sequence number.
    pub(crate) fn index_after(&self, after: Option<&str>) -> usize {
        let Some(after) = after else { return 0 };
        self.records.partition_point(|record| record.sequence_number.as_str() <= after)
    }
}
