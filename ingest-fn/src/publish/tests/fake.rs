//! A stream with a plan for each call: what lands, when, and what is answered, when.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::gzip::{self, Cap};
use shared::limits;

use crate::publish::{EventStream, Put, Refusal, StreamFailure, StreamRecord};

/// What happens to one call. The records land even if the caller has stopped waiting.
pub(super) struct Behaviour {
    lands: Vec<bool>,
    lands_after: Duration,
    answers_after: Duration,
    answer: Result<Vec<Put>, StreamFailure>,
}

impl Behaviour {
    pub(super) fn takes(records: &[StreamRecord], after: Duration) -> Self {
        Self::answers(Ok(vec![Put::Taken; records.len()]), after)
    }

    /// What is answered is what happened.
    pub(super) fn answers(answer: Result<Vec<Put>, StreamFailure>, after: Duration) -> Self {
        let lands = answer.iter().flatten().map(|put| *put == Put::Taken).collect();
        Self { lands, lands_after: after, answers_after: after, answer }
    }

    pub(super) fn hangs() -> Self {
        Self::answers(Err(StreamFailure::Ambiguous("never seen".to_owned())), Duration::from_hours(1))
    }

    /// One of all that a stream does, honestly or not, by `random` numbers from 0 to 1.
    pub(super) fn random(records: &[StreamRecord], faults: f64, mut random: impl FnMut() -> f64) -> Self {
        // Mostly quick, at times far beyond an attempt.
        let lands_after = Duration::from_millis(2) + Duration::from_millis(300).mul_f64(random().powi(4));
        let answers_after = lands_after + Duration::from_millis(150).mul_f64(random().powi(4));
        let puts: Vec<_> = records
            .iter()
            .map(|_| {
                let refused = random() < faults / 2.0;
                if refused { Put::Refused(Refusal::Internal("at random".to_owned())) } else { Put::Taken }
            })
            .collect();
        let lands = puts.iter().map(|put| *put == Put::Taken).collect();
        let honest = Self { lands, lands_after, answers_after, answer: Ok(puts) };
        match random() / faults.max(0.01) {
            // Not taken, and it says so.
            ..0.1 => Self::answers(Err(StreamFailure::Refused("at random".to_owned())), answers_after),
            // Perhaps taken in part, without a clear answer.
            ..0.3 => Self { answer: Err(StreamFailure::Ambiguous("at random".to_owned())), ..honest },
            ..0.4 => Self::hangs(),
            _ => honest,
        }
    }
}

type Plan = dyn Fn(u64, &[StreamRecord]) -> Behaviour + Send + Sync;

/// Clones are the same stream.
#[derive(Clone)]
pub(super) struct FakeStream {
    plan: Arc<Plan>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    next_call: AtomicU64,
    calls: Mutex<Vec<String>>,
    landed: Mutex<Vec<String>>,
    keys_in_progress: Mutex<HashSet<String>>,
}

impl FakeStream {
    /// `plan` is asked for each call, with its number from 0.
    pub(super) fn new(plan: impl Fn(u64, &[StreamRecord]) -> Behaviour + Send + Sync + 'static) -> Self {
        Self { plan: Arc::new(plan), state: Arc::default() }
    }

    /// Every call, as `key: line line | key: line`.
    pub(super) fn calls(&self) -> Vec<String> {
        self.state.calls.lock().unwrap().clone()
    }

    /// Every line that landed, in order, as often as it did.
    pub(super) fn landed(&self) -> Vec<String> {
        self.state.landed.lock().unwrap().clone()
    }

    /// Records of calls that somebody waits for.
    pub(super) fn in_progress(&self) -> usize {
        self.state.keys_in_progress.lock().unwrap().len()
    }
}

impl EventStream for FakeStream {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        check_limits(records);
        let _in_progress = UnderWay::begin(&self.state, records);
        let shown = records.iter().map(|r| format!("{}: {}", r.partition_key, lines(r).join(" ")));
        let shown = shown.collect::<Vec<_>>().join(" | ");
        self.state.calls.lock().unwrap().push(shown);
        let behaviour = (self.plan)(self.state.next_call.fetch_add(1, Ordering::Relaxed), records);
        let landing = records.iter().zip(&behaviour.lands).filter(|(_, lands)| **lands);
        let landing: Vec<_> = landing.flat_map(|(record, _)| lines(record)).collect();
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            tokio::time::sleep(behaviour.lands_after).await;
            state.landed.lock().unwrap().extend(landing);
        });
        // A little after the landing, where both are due at the same time.
        tokio::time::sleep(behaviour.answers_after).await;
        tokio::task::yield_now().await;
        behaviour.answer
    }
}

/// The lines of a record, each up to its first blank.
fn lines(record: &StreamRecord) -> Vec<String> {
    let cap = Cap { bytes: 4 * limits::RECORD_BYTES, ratio: u32::MAX };
    let is_packed = record.data.starts_with(&gzip::MAGIC);
    let plain = if is_packed { gzip::inflate(&record.data, cap).unwrap() } else { record.data.to_vec() };
    let plain = String::from_utf8(plain).unwrap();
    let cut = |line: &str| line.split_once(' ').map_or(line, |(text, _padding)| text).to_owned();
    plain.split_terminator('\n').map(cut).collect()
}

fn check_limits(records: &[StreamRecord]) {
    let size = |record: &StreamRecord| record.data.len() + record.partition_key.len();
    assert!(!records.is_empty() && records.len() <= limits::PUT_RECORDS);
    assert!(records.iter().all(|record| size(record) <= limits::RECORD_BYTES));
    assert!(records.iter().map(size).sum::<usize>() <= limits::PUT_BYTES);
}

/// Holds a call's keys while somebody waits for it: none may be in two calls.
struct UnderWay {
    state: Arc<State>,
    keys: Vec<String>,
}

impl UnderWay {
    fn begin(state: &Arc<State>, records: &[StreamRecord]) -> Self {
        let keys: Vec<_> = records.iter().map(|record| record.partition_key.clone()).collect();
        let mut in_progress = state.keys_in_progress.lock().unwrap();
        for key in &keys {
            assert!(in_progress.insert(key.clone()), "`{key}` has two records in progress");
        }
        Self { state: Arc::clone(state), keys }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut in_progress = self.state.keys_in_progress.lock().unwrap();
        self.keys.iter().for_each(|key| {
            in_progress.remove(key);
        });
    }
}
