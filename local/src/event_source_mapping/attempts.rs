//! How often the batches in progress have failed, for health. Halving a batch is no progress.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::lock;

#[derive(Default)]
pub(super) struct Attempts(Mutex<BTreeMap<String, (u64, bool)>>);

/// The shard with the most failures in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    pub shard: String,
    /// Invocations in a row without a record that was done.
    pub failures: u64,
    /// Whether the function itself failed the last time, rather than answered with failures.
    pub function_error: bool,
}

impl Attempts {
    pub(super) fn failed(&self, shard: &str, function_error: bool) {
        let mut shards = lock(&self.0);
        let (failures, last) = shards.entry(shard.to_owned()).or_default();
        *failures += 1;
        *last = function_error;
    }

    /// Some of the records are done, or have failed for good.
    pub(super) fn progressed(&self, shard: &str) {
        lock(&self.0).remove(shard);
    }

    pub(super) fn worst(&self) -> Option<Failing> {
        let shards = lock(&self.0);
        let (shard, (failures, function_error)) = shards.iter().max_by_key(|(_, (failures, _))| *failures)?;
        Some(Failing { shard: shard.clone(), failures: *failures, function_error: *function_error })
    }
}
