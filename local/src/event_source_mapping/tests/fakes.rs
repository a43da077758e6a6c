//! A stream, a checkpoint store, a function and a failure destination in memory. They share one state, which outlives
//! the mapping, so that a test can restart the mapping.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::bail;
use bytes::Bytes;
use serde_json::Value;
use shared::objects::{Created, FoundObject, ObjectFailure, ObjectStore};
use shared::origin::ShardPosition;

use super::record;
use crate::event_source_mapping::ports::{
    Checkpoints, InvokeFailure, Invoker, ReadLimit, RetainedRecord, ShardRead, ShardTail, StreamReader,
    StreamShard,
};

pub(super) type FakeResponse = Result<Bytes, InvokeFailure>;
type FakeFunction = Box<dyn FnMut(&[u64]) -> FakeResponse + Send>;

#[derive(Clone, Default)]
pub(super) struct Fakes(Arc<Mutex<FakeState>>);

#[derive(Default)]
struct FakeState {
    shards: BTreeMap<&'static str, FakeShard>,
    checkpoints: BTreeMap<String, u64>,
    respond: Option<FakeFunction>,
    invocations: Vec<(&'static str, Vec<u64>)>,
    /// The keys and objects at the failure destination.
    failed: Vec<(String, Value)>,
    reads: usize,
    largest_read: usize,
    /// How many more calls of ports fail.
    broken: usize,
}

#[derive(Default)]
struct FakeShard {
    parents: Vec<String>,
    records: Vec<RetainedRecord>,
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

    /// From now on, the function answers with `function` of the batch's numbers.
    pub(super) fn respond(&self, function: impl FnMut(&[u64]) -> FakeResponse + Send + 'static) {
        self.state().respond = Some(Box::new(function));
    }

    /// The next `calls` calls of ports fail, except those of the function.
    pub(super) fn break_ports(&self, calls: usize) {
        self.state().broken = calls;
    }

    pub(super) fn invocations(&self) -> Vec<(&'static str, Vec<u64>)> {
        self.state().invocations.clone()
    }

    pub(super) fn failed(&self) -> Vec<(String, Value)> {
        self.state().failed.clone()
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

    fn state(&self) -> MutexGuard<'_, FakeState> {
        self.0.lock().unwrap()
    }

    /// The state, or an error while the ports are broken.
    fn working(&self) -> anyhow::Result<MutexGuard<'_, FakeState>> {
        let mut state = self.state();
        if state.broken > 0 {
            state.broken -= 1;
            bail!("the port is broken");
        }
        Ok(state)
    }
}

impl StreamReader for Fakes {
    async fn shards(&self) -> anyhow::Result<Vec<StreamShard>> {
        let state = self.working()?;
        let listed = |(&id, shard): (&&str, &FakeShard)| StreamShard {
            id: id.to_owned(),
            parents: shard.parents.clone(),
        };
        Ok(state.shards.iter().map(listed).collect())
    }

    async fn read(&self, shard: &str, after: Option<&str>, limit: ReadLimit) -> anyhow::Result<ShardRead> {
        let mut state = self.working()?;
        state.reads += 1;
        let FakeShard { records, closed, .. } = &state.shards[shard];
        let after = after.map_or(0, |number| number.parse().unwrap());
        let is_after = |record: &&RetainedRecord| record.sequence_number.parse::<u64>().unwrap() > after;
        let mut found = records.iter().filter(is_after);
        let records: Vec<_> = found.by_ref().take(limit.records).cloned().collect();
        let tail = match (found.next(), closed) {
            (Some(_), _) => ShardTail::More,
            (None, true) => ShardTail::Closed,
            (None, false) => ShardTail::Tip,
        };
        state.largest_read = state.largest_read.max(records.len());
        Ok(ShardRead { records, tail })
    }
}

impl Checkpoints for Fakes {
    async fn load(&self, shard: &str) -> anyhow::Result<Option<String>> {
        Ok(self.working()?.checkpoints.get(shard).map(u64::to_string))
    }

    async fn save(&self, shard: &str, sequence_number: &str) -> anyhow::Result<()> {
        let previous = self.working()?.checkpoints.insert(shard.to_owned(), sequence_number.parse()?);
        assert!(previous < Some(sequence_number.parse()?), "checkpoints only advance");
        Ok(())
    }
}

impl Invoker for Fakes {
    async fn invoke(&self, payload: Bytes) -> FakeResponse {
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

impl ObjectStore for Fakes {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectFailure> {
        let mut state = self.working().map_err(|error| ObjectFailure(error.to_string()))?;
        state.failed.push((key.to_owned(), serde_json::from_slice(&bytes).unwrap()));
        Ok(())
    }

    async fn put_if_absent(
        &self,
        _: &str,
        _: Bytes,
        _: Option<&ShardPosition>,
    ) -> Result<Created, ObjectFailure> {
        panic!("a mapping only puts")
    }

    async fn find(&self, _: &str) -> Result<Option<FoundObject>, ObjectFailure> {
        panic!("a mapping only puts")
    }
}
