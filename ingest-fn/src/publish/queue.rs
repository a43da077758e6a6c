//! The publisher's plan: which lines go into the next call. Time and randomness are arguments; the stream is left to the
//! driver.
//!
//! The lines of one partition key form a first-in-first-out queue. A call takes at most one record of each key, and none of a
//! key whose last record is still in progress or waits to be sent again: so the key's lines reach the stream in order. Keys
//! do not wait for each other.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::backoff::Backoff;
use shared::limits;
use tokio::time::Instant;

use super::pack::{Piece, Room};
use super::port::{Put, StreamFailure};

/// Calls in progress at the same time. With only one, a call that hangs would block every other key for a whole attempt: half
/// of a request's budget. A few calls cost nothing, since AWS charges for records and not for calls. More would only take
/// connections and pack less.
pub(super) const CALLS: usize = 4;

/// The wait before a record is sent again.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(20), cap: Duration::from_millis(100) };

/// Identifies a line to the request that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) request: u64,
    pub(super) index: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) request: u64,
    pub(super) piece: Piece,
    /// When its request stops waiting. Never earlier than that of a piece that entered before it.
    pub(super) deadline: Instant,
}

impl Waiting {
    fn line(&self) -> Option<&Bytes> {
        match &self.piece {
            Piece::Line { line, .. } => Some(line),
            Piece::Record { .. } => None,
        }
    }

    fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.piece.indexes().iter().map(|index| Ticket { request: self.request, index: *index })
    }
}

pub(super) type CallId = u64;

#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) records: Vec<PlannedRecord>,
    /// When the last request stops waiting for its lines: the call is useless after that.
    pub(super) until: Instant,
}

#[derive(Debug)]
pub(super) struct PlannedRecord {
    pub(super) partition_key: Arc<str>,
    pub(super) content: Content,
    /// Whether its first line was sent already.
    pub(super) is_resent: bool,
}

#[derive(Debug)]
pub(super) enum Content {
    /// To be packed.
    Lines(Vec<Bytes>),
    Packed(Bytes),
}

#[derive(Debug, Default)]
pub(super) struct CallOutcome {
    /// Lines that are on the stream.
    pub(super) taken: Vec<Ticket>,
    /// Lines that wait to be sent again, and why.
    pub(super) refused: Vec<(Ticket, Arc<str>)>,
}

/// All pieces that are not on the stream yet.
#[derive(Debug)]
pub(super) struct Queue {
    /// The largest record, partition key included.
    record_bytes: usize,
    /// Every key with pieces. A key is either in `turns` or has a record in progress, never both.
    keys: BTreeMap<Arc<str>, Key>,
    /// The keys without a record in progress, longest waiting first.
    turns: VecDeque<Arc<str>>,
    in_progress: BTreeMap<CallId, Vec<RecordInProgress>>,
    next_call: CallId,
}

#[derive(Debug, Default)]
struct Key {
    pieces: VecDeque<Waiting>,
    /// How many times in a row its record was not taken.
    failures: u32,
    /// Before this it is not sent again.
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct RecordInProgress {
    partition_key: Arc<str>,
    pieces: Vec<Waiting>,
}

impl Queue {
    pub(super) fn new(record_bytes: usize) -> Self {
        Self {
            record_bytes,
            keys: BTreeMap::new(),
            turns: VecDeque::new(),
            in_progress: BTreeMap::new(),
            next_call: 0,
        }
    }

    /// Adds a piece after those of its key.
    pub(super) fn enter(&mut self, partition_key: &str, piece: Waiting) {
        if let Some(key) = self.keys.get_mut(partition_key) {
            key.pieces.push_back(piece);
            return;
        }
        let partition_key: Arc<str> = partition_key.into();
        self.turns.push_back(Arc::clone(&partition_key));
        self.keys.insert(partition_key, Key { pieces: VecDeque::from([piece]), ..Key::default() });
    }

    /// The next call, if there is something to send and room for a call.
    pub(super) fn next_call(&mut self, now: Instant) -> Option<Call> {
        if self.in_progress.len() >= CALLS {
            return None;
        }
        let mut call = Call { id: self.next_call, records: Vec::new(), until: now };
        let mut in_progress = Vec::new();
        let mut bytes = 0;
        let mut not_now = VecDeque::new();
        while call.records.len() < limits::PUT_RECORDS
            && let Some(partition_key) = self.turns.pop_front()
        {
            let key =
                self.keys.get_mut(&partition_key).expect("a key has its turn only while it has an entry");
            key.forget_expired(now);
            if key.pieces.is_empty() {
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
            let pieces: Vec<Waiting> = key.pieces.drain(..count).collect();
            call.until = pieces.last().map_or(call.until, |piece| call.until.max(piece.deadline));
            call.records.push(PlannedRecord {
                partition_key: Arc::clone(&partition_key),
                content: Content::of(&pieces),
                is_resent: key.failures > 0,
            });
            in_progress.push(RecordInProgress { partition_key, pieces });
        }
        not_now.append(&mut self.turns);
        self.turns = not_now;
        if call.records.is_empty() {
            return None;
        }
        self.next_call += 1;
        self.in_progress.insert(call.id, in_progress);
        Some(call)
    }

    /// Ends a call. Lines that were not taken go back to the front of their key, to be sent again after a wait with full
    /// jitter: `jitter` (from 0 to 1) times a wait that doubles with each failure of the key.
    ///
    /// Records that may have been taken are sent again as well: the consumer recognises an admission that it has seen. The
    /// key's later lines still wait, so the order stays.
    pub(super) fn finish(
        &mut self,
        call: CallId,
        result: Result<Vec<Put>, StreamFailure>,
        now: Instant,
        jitter: f64,
    ) -> CallOutcome {
        let mut outcome = CallOutcome::default();
        let records = self.in_progress.remove(&call).unwrap_or_default();
        let answers = answers(records.len(), result);
        for (record, answer) in records.into_iter().zip(answers) {
            let key = self
                .keys
                .get_mut(&record.partition_key)
                .expect("a key with a record in progress keeps its entry");
            match answer {
                Ok(()) => {
                    key.failures = 0;
                    key.not_before = None;
                    outcome.taken.extend(record.pieces.iter().flat_map(Waiting::tickets));
                }
                Err(cause) => {
                    key.failures += 1;
                    key.not_before = Some(now + BACKOFF.after(key.failures).mul_f64(jitter));
                    let tickets = record.pieces.iter().flat_map(Waiting::tickets);
                    outcome.refused.extend(tickets.map(|ticket| (ticket, Arc::clone(&cause))));
                    for piece in record.pieces.into_iter().rev() {
                        key.pieces.push_front(piece);
                    }
                }
            }
            if key.pieces.is_empty() {
                self.keys.remove(&record.partition_key);
            } else {
                self.turns.push_back(record.partition_key);
            }
        }
        outcome
    }

    /// When to ask for the next call, if nothing happens before: at the end of the shortest wait.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        if self.in_progress.len() >= CALLS {
            return None;
        }
        self.turns.iter().filter_map(|key| self.keys.get(key)?.not_before).min()
    }
}

impl Key {
    /// Drops the pieces of requests that were answered already, as unpublished.
    fn forget_expired(&mut self, now: Instant) {
        while self.pieces.front().is_some_and(|piece| piece.deadline <= now) {
            self.pieces.pop_front();
        }
    }

    /// How many pieces the next record takes, and the most it may come to in bytes, its key included. A record that is packed
    /// already goes as it is. So does a line beyond a record's size, compressed: it was checked to fit.
    fn next_record(&self, partition_key: &str, record_bytes: usize) -> (usize, usize) {
        let mut room = Room::new(partition_key, record_bytes);
        let mut takes = |waiting: &&Waiting| match &waiting.piece {
            Piece::Line { line, is_head, .. } => room.take(line, *is_head),
            Piece::Record { .. } => false,
        };
        match (self.pieces.iter().take_while(&mut takes).count(), self.pieces.front()) {
            (0, Some(Waiting { piece: Piece::Record { data, .. }, .. })) => {
                (1, partition_key.len() + data.len())
            }
            (0, _) => (1, record_bytes),
            (count, _) => (count, record_bytes - room.bytes_left()),
        }
    }
}

impl Content {
    fn of(pieces: &[Waiting]) -> Self {
        match pieces {
            [Waiting { piece: Piece::Record { data, .. }, .. }] => Self::Packed(data.clone()),
            _ => Self::Lines(pieces.iter().filter_map(Waiting::line).cloned().collect()),
        }
    }
}

/// For each record of a call, `Ok` if it was taken, else why not.
fn answers(records: usize, result: Result<Vec<Put>, StreamFailure>) -> Vec<Result<(), Arc<str>>> {
    let cause = match result {
        Ok(puts) if puts.len() == records => {
            let answer = |put| match put {
                Put::Taken => Ok(()),
                Put::Refused(refusal) => Err(refusal.to_string().into()),
            };
            return puts.into_iter().map(answer).collect();
        }
        // With fewer answers than records, the positions are unknown.
        Ok(puts) => format!("the stream answered for {} of {records} records", puts.len()),
        Err(failure) => failure.to_string(),
    };
    vec![Err(cause.into()); records]
}
