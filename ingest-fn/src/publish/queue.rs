//! Which lines go into the next call: the publisher's plan, without its clock, its randomness and its stream.
//!
//! Lines of one partition key form a queue, first in, first out. A call takes at most one record of each key, and a
//! key whose record is under way, or waits to be sent again, gives none: so its lines reach the stream in their order.
//! Keys do not wait for each other.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::backoff::Backoff;
use shared::format::record;
use shared::limits;
use tokio::time::Instant;

use super::port::{Put, StreamFailure};

/// Calls under way at a time. One alone would let a call that hangs hold up every other key for a whole attempt, half
/// of a request's budget; a few that have no key in common cost nothing, since records are paid for and not calls.
/// More would only take connections, and leave less to pack.
pub(super) const CALLS: usize = 4;

/// The wait before a record is sent again.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(20), cap: Duration::from_millis(100) };

/// Names a line to whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) request: u64,
    pub(super) index: usize,
}

/// A line that is not on the stream yet.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) ticket: Ticket,
    pub(super) line: Bytes,
    /// Whether it is the head of a stored line, which the record's reader will have in memory.
    pub(super) is_head: bool,
    /// From here on nobody waits for it any more. Never earlier than that of a line that entered before it.
    pub(super) deadline: Instant,
}

/// Names a call.
pub(super) type CallId = u64;

/// A call to be made.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) records: Vec<PlannedRecord>,
    /// When the last of its lines is given up: the call is worth nothing after that.
    pub(super) until: Instant,
}

/// One record of a call.
#[derive(Debug)]
pub(super) struct PlannedRecord {
    pub(super) partition_key: Arc<str>,
    pub(super) lines: Vec<Bytes>,
    /// Whether its first line was sent before.
    pub(super) is_resent: bool,
}

/// What a call has come to.
#[derive(Debug, Default)]
pub(super) struct Settlement {
    /// Lines that the stream has.
    pub(super) taken: Vec<Ticket>,
    /// Lines that wait again, and why.
    pub(super) refused: Vec<(Ticket, Arc<str>)>,
}

/// All lines that are not on the stream yet.
#[derive(Debug)]
pub(super) struct Queue {
    /// The largest record, partition key included.
    record_bytes: usize,
    /// Every key with lines. It has its turn or has a record under way, never both.
    keys: HashMap<Arc<str>, Key>,
    /// The keys with no record under way, longest waiting first.
    turns: VecDeque<Arc<str>>,
    under_way: BTreeMap<CallId, Vec<UnderWay>>,
    next_call: CallId,
}

#[derive(Debug, Default)]
struct Key {
    lines: VecDeque<Waiting>,
    /// How often in a row its record was not taken.
    failures: u32,
    /// Before this it is not sent again.
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct UnderWay {
    partition_key: Arc<str>,
    lines: Vec<Waiting>,
}

impl Queue {
    pub(super) fn new(record_bytes: usize) -> Self {
        Self {
            record_bytes,
            keys: HashMap::new(),
            turns: VecDeque::new(),
            under_way: BTreeMap::new(),
            next_call: 0,
        }
    }

    /// Takes in a line, behind those of its key.
    pub(super) fn enter(&mut self, partition_key: &str, line: Waiting) {
        if let Some(key) = self.keys.get_mut(partition_key) {
            key.lines.push_back(line);
            return;
        }
        let partition_key: Arc<str> = partition_key.into();
        self.turns.push_back(Arc::clone(&partition_key));
        self.keys.insert(partition_key, Key { lines: VecDeque::from([line]), ..Key::default() });
    }

    /// The next call, if there is something to send and room for a call.
    pub(super) fn next_call(&mut self, now: Instant) -> Option<Call> {
        if self.under_way.len() >= CALLS {
            return None;
        }
        let mut call = Call { id: self.next_call, records: Vec::new(), until: now };
        let mut under_way = Vec::new();
        let mut bytes = 0;
        let mut not_now = VecDeque::new();
        while call.records.len() < limits::PUT_RECORDS
            && let Some(partition_key) = self.turns.pop_front()
        {
            let key =
                self.keys.get_mut(&partition_key).expect("a key has its turn only while it has an entry");
            key.forget_expired(now);
            if key.lines.is_empty() {
                self.keys.remove(&partition_key);
                continue;
            }
            if key.not_before.is_some_and(|time| time > now) {
                not_now.push_back(partition_key);
                continue;
            }
            let (count, size) = key.next_record(&partition_key, self.record_bytes);
            if bytes + size > limits::PUT_BYTES {
                self.turns.push_front(partition_key);
                break;
            }
            bytes += size;
            let lines: Vec<Waiting> = key.lines.drain(..count).collect();
            call.until = lines.last().map_or(call.until, |line| call.until.max(line.deadline));
            call.records.push(PlannedRecord {
                partition_key: Arc::clone(&partition_key),
                lines: lines.iter().map(|line| line.line.clone()).collect(),
                is_resent: key.failures > 0,
            });
            under_way.push(UnderWay { partition_key, lines });
        }
        not_now.append(&mut self.turns);
        self.turns = not_now;
        if call.records.is_empty() {
            return None;
        }
        self.next_call += 1;
        self.under_way.insert(call.id, under_way);
        Some(call)
    }

    /// Takes in what a call has come to. What was not taken goes back to the front of its key, to be sent again after a
    /// wait: full jitter, `jitter` (from 0 to 1) of a time that doubles with each failure of the key.
    ///
    /// After a failure that leaves it open whether the records were taken they are sent again as well: the consumer
    /// knows an admission that it has seen. The key's later lines still wait, so nothing overtakes.
    pub(super) fn settle(
        &mut self,
        call: CallId,
        result: Result<Vec<Put>, StreamFailure>,
        now: Instant,
        jitter: f64,
    ) -> Settlement {
        let mut settlement = Settlement::default();
        let records = self.under_way.remove(&call).unwrap_or_default();
        let answers = answers(records.len(), result);
        for (record, answer) in records.into_iter().zip(answers) {
            let key = self.keys.get_mut(&record.partition_key).expect("a key under way keeps its entry");
            match answer {
                Ok(()) => {
                    key.failures = 0;
                    key.not_before = None;
                    settlement.taken.extend(record.lines.iter().map(|line| line.ticket));
                }
                Err(cause) => {
                    key.failures += 1;
                    key.not_before = Some(now + BACKOFF.after(key.failures).mul_f64(jitter));
                    let lines = &record.lines;
                    settlement.refused.extend(lines.iter().map(|line| (line.ticket, Arc::clone(&cause))));
                    for line in record.lines.into_iter().rev() {
                        key.lines.push_front(line);
                    }
                }
            }
            if key.lines.is_empty() {
                self.keys.remove(&record.partition_key);
            } else {
                self.turns.push_back(record.partition_key);
            }
        }
        settlement
    }

    /// When to ask for a call again, if nothing else happens before: at the end of the shortest wait.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        if self.under_way.len() >= CALLS {
            return None;
        }
        self.turns.iter().filter_map(|key| self.keys.get(key)?.not_before).min()
    }
}

impl Key {
    /// Drops lines that nobody waits for: they were answered as unpublished.
    fn forget_expired(&mut self, now: Instant) {
        while self.lines.front().is_some_and(|line| line.deadline <= now) {
            self.lines.pop_front();
        }
    }

    /// How many lines the next record takes, and the most it may come to in bytes, its key included. Lines fill it up
    /// to a record's size uncompressed, so that packing, which never makes them larger, cannot pass the limit. A line
    /// beyond that size goes alone, compressed: it was checked to fit. Of lines that are heads a record has one at most.
    fn next_record(&self, partition_key: &str, record_bytes: usize) -> (usize, usize) {
        let mut bytes = partition_key.len();
        let (mut count, mut has_head) = (0, false);
        for line in self.lines.iter().take(record::RECORD_EVENTS) {
            let with_newline = line.line.len() + 1;
            if bytes + with_newline > record_bytes || line.is_head && has_head {
                break;
            }
            has_head |= line.is_head;
            bytes += with_newline;
            count += 1;
        }
        if count == 0 { (1, record_bytes) } else { (count, bytes) }
    }
}

/// For each record of a call, whether it was taken, or why not.
fn answers(records: usize, result: Result<Vec<Put>, StreamFailure>) -> Vec<Result<(), Arc<str>>> {
    match result {
        Ok(puts) if puts.len() == records => {
            let answer = |put| match put {
                Put::Taken => Ok(()),
                Put::Refused(refusal) => Err(refusal.to_string().into()),
            };
            puts.into_iter().map(answer).collect()
        }
        // Without a position for each record no answer can be trusted.
        Ok(puts) => {
            let cause: Arc<str> =
                format!("the stream answered for {} of {records} records", puts.len()).into();
            vec![Err(cause); records]
        }
        Err(failure) => {
            let cause: Arc<str> = failure.to_string().into();
            vec![Err(cause); records]
        }
    }
}
