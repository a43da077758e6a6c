//! A stream, a checkpoint store, a function and a failure destination in memory. All four share one state, which
//! outlives the mapping, so that a test can restart it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::bail;
use bytes::Bytes;
use serde_json::Value;

use super::super::failure::FailureRecord;
use super::super::ports::{
    Checkpoints, FailureDestination, InvokeFailure, Invoker, ListedShard, Read, Record, Room, StreamReader,
    Tail,
};
use super::record;

pub(super) type Response = Result<Bytes, InvokeFailure>;
type Function = Box<dyn FnMut(&[u64]) -> Response + Send>;

#[derive(Clone, Default)]
pub(super) struct Fakes(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    shards: BTreeMap<&'static str, FakeShard>,
    checkpoints: BTreeMap<String, u64>,
    respond: Option<Function>,
    invocations: Vec<(&'static str, Vec<u64>)>,
    kept: Vec<FailureRecord>,
    reads: usize,
    largest_read: usize,
    /// How many calls of ports still fail.
    broken: usize,
}

#[derive(Default)]
struct FakeShard {
    parents: Vec<String>,
    records: Vec<Record>,
    closed: bool,
}

impl Fakes {
    pub(super) fn shard(&self, id: &'static str, parents: &[&str]) {
        let parents = parents.iter().map(|&parent| parent.to_owned()).collect();
        self.state().shards.insert(id, FakeShard { parents, ..FakeShard::default() });
    }

    pub(super) fn put(&self, id: &'static str, numbers: impl IntoIterator<Item = u64>) {
        self.state().shards.get_mut(id).unwrap().records.extend(numbers.into_iter().map(record));
    }

    pub(super) fn close(&self, id: &'static str) {
        self.state().shards.get_mut(id).unwrap().closed = true;
    }

    /// From now on, the function answers this to the numbers of a batch.
    pub(super) fn respond(&self, function: impl FnMut(&[u64]) -> Response + Send + 'static) {
        self.state().respond = Some(Box::new(function));
    }

    /// The next `calls` calls of ports other than the function fail.
    pub(super) fn break_ports(&self, calls: usize) {
        self.state().broken = calls;
    }

    pub(super) fn invocations(&self) -> Vec<(&'static str, Vec<u64>)> {
        self.state().invocations.clone()
    }

    pub(super) fn kept(&self) -> Vec<FailureRecord> {
        self.state().kept.clone()
    }

    pub(super) fn checkpoint(&self, id: &str) -> Option<u64> {
        self.state().checkpoints.get(id).copied()
    }

    pub(super) fn reads(&self) -> usize {
        self.state().reads
    }

    pub(super) fn largest_read(&self) -> usize {
        self.state().largest_read
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The state, unless this call is one that fails.
    fn working(&self) -> anyhow::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.broken > 0 {
            state.broken -= 1;
            bail!("the port is broken");
        }
        Ok(state)
    }
}

impl StreamReader for Fakes {
    async fn shards(&self) -> anyhow::Result<Vec<ListedShard>> {
        let state = self.working()?;
        let listed = |(&id, shard): (&&str, &FakeShard)| ListedShard {
            id: id.to_owned(),
            parents: shard.parents.clone(),
        };
        Ok(state.shards.iter().map(listed).collect())
    }

    async fn read(&self, shard: &str, after: Option<&str>, room: Room) -> anyhow::Result<Read> {
        let mut state = self.working()?;
        state.reads += 1;
        let FakeShard { records, closed, .. } = &state.shards[shard];
        let after = after.map_or(0, |number| number.parse().unwrap());
        let behind = |record: &&Record| record.sequence_number.parse::<u64>().unwrap() > after;
        let mut found = records.iter().filter(behind);
        let records: Vec<_> = found.by_ref().take(room.records).cloned().collect();
        let tail = match (found.next(), closed) {
            (Some(_), _) => Tail::More,
            (None, true) => Tail::Closed,
            (None, false) => Tail::Tip,
        };
        state.largest_read = state.largest_read.max(records.len());
        Ok(Read { records, tail })
    }
}

impl Checkpoints for Fakes {
    async fn load(&self, shard: &str) -> anyhow::Result<Option<String>> {
        Ok(self.working()?.checkpoints.get(shard).map(u64::to_string))
    }

    async fn save(&self, shard: &str, sequence_number: &str) -> anyhow::Result<()> {
        let before = self.working()?.checkpoints.insert(shard.to_owned(), sequence_number.parse()?);
        assert!(before < Some(sequence_number.parse()?), "checkpoints only advance");
        Ok(())
    }
}

impl Invoker for Fakes {
    async fn invoke(&self, payload: Bytes) -> Response {
        let event: Value = serde_json::from_slice(&payload).unwrap();
        let records = event["Records"].as_array().unwrap();
        let number = |record: &Value| record["kinesis"]["sequenceNumber"].as_str().unwrap().parse().unwrap();
        let batch: Vec<u64> = records.iter().map(number).collect();
        let (shard, _) = records[0]["eventID"].as_str().unwrap().split_once(':').unwrap();
        let mut state = self.state();
        let shard = *state.shards.keys().find(|id| **id == shard).unwrap();
        let response = state.respond.as_mut().map_or(Ok(Bytes::new()), |respond| respond(&batch));
        state.invocations.push((shard, batch));
        response
    }
}

impl FailureDestination for Fakes {
    async fn keep(&self, record: &FailureRecord) -> anyhow::Result<()> {
        self.working()?.kept.push(record.clone());
        Ok(())
    }
}
