//! One shard of a mapping as a state machine: no I/O, and the time is an argument.
//!
//! The caller reads records into it while there is [`room`](Shard::room), does what [`next`](Shard::next) says and
//! reports how that went ([`settle`](Shard::settle), [`discarded`](Shard::discarded)). One batch is in flight at a
//! time, and what has failed stands before everything behind it, so the order of the shard is kept.
//!
//! What a failure means, after
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html> and
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>:
//!
//! | the function | bisect | what follows | retry used |
//! |---|---|---|---|
//! | fails, several records | on | halves, the first one first, each with its own count | no |
//! | fails, several records | off | the whole batch again | yes |
//! | fails, one record | | the record again | yes |
//! | reports failures behind the first record | | the part before is done, the rest is a new batch | no |
//! | reports the first record | | no progress: as if it had failed | as above |
//! | was not run | | the same again | no |
//!
//! The last but one is our reading. AWS says that the batch "is bisected at the returned sequence number", which
//! splits nothing off at the first record; halving is what isolates the record, so that only it is given up.

mod buffer;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use shared::time::Timestamp;

use super::answer::{self, Verdict};
use super::failure::Condition;
use super::payload::Envelope;
use super::ports::{InvokeFailure, Read, Record, Room, Tail};
use super::settings::Rules;
use buffer::Buffer;

/// The state of one shard.
#[derive(Debug)]
pub struct Shard {
    rules: Rules,
    envelope: Envelope,
    /// The last sequence number that is done with.
    checkpoint: Option<String>,
    /// The last sequence number that was read.
    position: Option<String>,
    /// What lies on the stream behind `position`.
    tail: Tail,
    /// Whether to stop at the tip instead of waiting for more.
    draining: bool,
    /// Read, and in no batch yet.
    buffer: Buffer,
    /// Since when records are gathered: the later of the first one's coming and the end of the work before.
    gathering_since: Option<Timestamp>,
    /// The parts of one batch that are not done, in order.
    work: VecDeque<Batch>,
    /// Given up, and not kept yet.
    discard: Option<Discarded>,
}

/// What to do next.
#[derive(Debug)]
pub enum Step<'a> {
    /// Invoke the function with these records, then [`Shard::settle`].
    Invoke(&'a [Record]),
    /// Bring these to the failure destination, then [`Shard::discarded`].
    Discard(&'a Discarded),
    /// Nothing before this moment, unless records are read.
    Wait(Option<Timestamp>),
    /// Nothing any more: the shard is closed, or drained to its tip.
    Finished,
}

/// Records that are given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// The records, at least one.
    pub records: Vec<Record>,
    /// Why.
    pub condition: Condition,
    /// How often the function was run on exactly the batch they belong to.
    pub invocations: u32,
    /// Whether the function failed then, rather than answering with failures.
    pub function_error: bool,
    /// What went wrong last, if the function was run.
    pub last_failure: Option<String>,
}

impl Discarded {
    /// The first record and the last.
    pub fn ends(&self) -> (&Record, &Record) {
        match self.records.as_slice() {
            [first, .., last] => (first, last),
            [only] => (only, only),
            [] => unreachable!("no records are never discarded"),
        }
    }
}

/// How an invocation changed the shard.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled {
    /// Records that are done by it.
    pub processed: usize,
    /// What went wrong, and what follows.
    pub trouble: Option<(String, Trouble)>,
}

/// What follows on a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The halves are invoked one after the other.
    Split,
    /// The records that are not done are invoked again at this moment.
    Retry {
        /// Not before.
        at: Timestamp,
    },
    /// They go to the failure destination.
    GivenUp,
}

/// Records that go to the function together.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<Record>,
    /// Runs of the function on exactly these records.
    invocations: u32,
    /// Failures in a row, including those of which the function knows nothing.
    failures: u32,
    function_error: bool,
    last_failure: Option<String>,
    not_before: Option<Timestamp>,
}

impl Shard {
    /// A shard that is done up to `checkpoint`.
    pub fn new(rules: Rules, envelope: Envelope, checkpoint: Option<String>) -> Self {
        Self {
            rules,
            envelope,
            position: checkpoint.clone(),
            checkpoint,
            tail: Tail::More,
            draining: false,
            buffer: Buffer::default(),
            gathering_since: None,
            work: VecDeque::new(),
            discard: None,
        }
    }

    /// The last sequence number that is done with.
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// The sequence number to read behind.
    pub fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// What lies behind [`position`](Self::position), as far as the last read knew.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// Records that were read and are neither processed nor kept.
    pub fn pending(&self) -> usize {
        self.buffer.len()
            + self.work.iter().map(|batch| batch.records.len()).sum::<usize>()
            + self.discard.as_ref().map_or(0, |discarded| discarded.records.len())
    }

    /// How much may be read now: what the next batch lacks, while no other is in work. This bounds memory.
    pub fn room(&self) -> Option<Room> {
        let busy = !self.work.is_empty() || self.discard.is_some();
        (!busy && self.tail != Tail::Closed && !self.is_full()).then(|| Room {
            records: self.rules.batch_size - self.buffer.len(),
            bytes: self.rules.payload_limit.saturating_sub(self.buffer.event_length()).max(1),
        })
    }

    /// Takes in what was read behind [`position`](Self::position).
    pub fn buffer(&mut self, read: Read, now: Timestamp) {
        self.tail = read.tail;
        for record in read.records {
            self.position = Some(record.sequence_number.clone());
            self.buffer.push(self.envelope.length_of(&record), record);
        }
        if !self.buffer.is_empty() {
            self.gathering_since.get_or_insert(now);
        }
    }

    /// From now on, finish what is on the stream instead of waiting for more.
    pub fn drain(&mut self) {
        self.draining = true;
        if self.tail == Tail::Tip {
            // Something may have come since the last read.
            self.tail = Tail::More;
        }
    }

    /// What to do now.
    pub fn next(&mut self, now: Timestamp) -> Step<'_> {
        if self.discard.is_none() {
            if self.work.is_empty() && self.is_due(now) {
                self.form_batch();
            }
            self.discard_what_is_too_old(now);
        }
        if let Some(discarded) = &self.discard {
            return Step::Discard(discarded);
        }
        if let Some(batch) = self.work.front() {
            return match batch.not_before {
                Some(at) if at > now => Step::Wait(Some(at)),
                _ => Step::Invoke(&batch.records),
            };
        }
        if self.buffer.is_empty() && self.is_at_its_end() {
            return Step::Finished;
        }
        Step::Wait(self.gathering_since.map(|since| since.plus(self.rules.batching_window)))
    }

    /// Takes in how the invocation of the last [`Step::Invoke`] went.
    pub fn settle(&mut self, outcome: Result<Bytes, InvokeFailure>, now: Timestamp) -> Settled {
        let mut batch = self.work.pop_front().expect("an invocation is settled only after `Step::Invoke`");
        match outcome {
            Err(InvokeFailure::NotRun(reason)) => {
                let at = batch.back_off(&self.rules, now);
                self.work.push_front(batch);
                Settled { processed: 0, trouble: Some((reason, Trouble::Retry { at })) }
            }
            Err(failure @ InvokeFailure::Function { .. }) => self.fail(batch, failure.to_string(), true, now),
            Ok(_) if !self.rules.report_batch_item_failures => self.finish(&batch.records, now),
            Ok(response) => match answer::judge(&response, &batch.records) {
                Verdict::Processed => self.finish(&batch.records, now),
                Verdict::FailedFrom(0) => {
                    self.fail(batch, "the function reports the first record as failed".to_owned(), false, now)
                }
                Verdict::FailedFrom(index) => self.split_at_report(batch, index, now),
                Verdict::Failed(reason) => self.fail(batch, reason, false, now),
            },
        }
    }

    /// The records of the last [`Step::Discard`] are kept.
    pub fn discarded(&mut self, now: Timestamp) {
        let discarded = self.discard.take().expect("records are kept only after `Step::Discard`");
        self.finish(&discarded.records, now);
    }

    /// The records are done with; behind the last of a batch, the window starts again.
    fn finish(&mut self, records: &[Record], now: Timestamp) -> Settled {
        if let Some(last) = records.last() {
            self.checkpoint = Some(last.sequence_number.clone());
        }
        if self.work.is_empty() {
            self.gathering_since = (!self.buffer.is_empty()).then_some(now);
        }
        Settled { processed: records.len(), trouble: None }
    }

    fn fail(&mut self, mut batch: Batch, reason: String, function_error: bool, now: Timestamp) -> Settled {
        batch.invocations += 1;
        batch.function_error = function_error;
        batch.last_failure = Some(reason.clone());
        let trouble = if self.rules.bisect_on_error && batch.records.len() > 1 {
            let second = batch.records.split_off(batch.records.len() / 2);
            for records in [second, batch.records] {
                self.work.push_front(Batch { records, ..Batch::default() });
            }
            Trouble::Split
        } else if self.rules.maximum_retry_attempts.is_some_and(|retries| batch.invocations > retries) {
            let records = std::mem::take(&mut batch.records);
            self.discard = Some(batch.discard(records, Condition::RetryAttemptsExhausted));
            Trouble::GivenUp
        } else {
            let at = batch.back_off(&self.rules, now);
            self.work.push_front(batch);
            Trouble::Retry { at }
        };
        Settled { processed: 0, trouble: Some((reason, trouble)) }
    }

    /// The rest is a batch of its own, with all its retries (Lambda, too, counts those of the rest alone). It waits
    /// as after a first failure, since the function has just said that it cannot go on.
    fn split_at_report(&mut self, mut batch: Batch, index: usize, now: Timestamp) -> Settled {
        let mut rest = Batch { records: batch.records.split_off(index), ..Batch::default() };
        let at = rest.back_off(&self.rules, now);
        let reason = format!("the function reports {} records as not done", rest.records.len());
        self.work.push_front(rest);
        Settled { trouble: Some((reason, Trouble::Retry { at })), ..self.finish(&batch.records, now) }
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= self.rules.batch_size || self.buffer.event_length() > self.rules.payload_limit
    }

    fn is_at_its_end(&self) -> bool {
        self.tail == Tail::Closed || (self.draining && self.tail == Tail::Tip)
    }

    /// Whether the buffer's first records go now.
    fn is_due(&self, now: Timestamp) -> bool {
        self.gathering_since.is_some_and(|since| {
            self.is_full() || self.is_at_its_end() || now >= since.plus(self.rules.batching_window)
        })
    }

    fn form_batch(&mut self) {
        let records = self.buffer.take(self.rules.batch_size, self.rules.payload_limit);
        if !records.is_empty() {
            self.work.push_back(Batch { records, ..Batch::default() });
        } else if let Some(record) = self.buffer.take_first() {
            self.discard = Some(Discarded {
                records: vec![record],
                condition: Condition::PayloadLimitExceeded,
                invocations: 0,
                function_error: false,
                last_failure: None,
            });
        }
        self.gathering_since = None;
    }

    /// Records arrive in order, so those that are too old come first.
    fn discard_what_is_too_old(&mut self, now: Timestamp) {
        let (Some(limit), Some(batch)) = (self.rules.maximum_record_age, self.work.front_mut()) else {
            return;
        };
        let too_old = batch.records.iter().take_while(|record| now.since(record.arrival) > limit).count();
        if too_old == 0 {
            return;
        }
        let younger = batch.records.split_off(too_old);
        let old = std::mem::replace(&mut batch.records, younger);
        self.discard = Some(batch.discard(old, Condition::RecordAgeExceeded));
        if batch.records.is_empty() {
            self.work.pop_front();
        }
    }
}

impl Batch {
    fn back_off(&mut self, rules: &Rules, now: Timestamp) -> Timestamp {
        self.failures = self.failures.saturating_add(1);
        let wait: Duration = rules.backoff.after(self.failures);
        *self.not_before.insert(now.plus(wait))
    }

    fn discard(&self, records: Vec<Record>, condition: Condition) -> Discarded {
        Discarded {
            records,
            condition,
            invocations: self.invocations,
            function_error: self.function_error,
            last_failure: self.last_failure.clone(),
        }
    }
}
