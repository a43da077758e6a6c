//! One shard of a mapping as a state machine. It does no I/O, and the time is an argument.
//!
//! The caller reads records while there is [`room`](Shard::room), does what [`next`](Shard::next) says, and reports the
//! result ([`invoked`](Shard::invoked), [`saved`](Shard::saved)). One batch is in flight at a time, and a failed batch
//! blocks the records after it, so records stay in order.
//!
//! The next try after a failure. Sources:
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html> and
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>.
//!
//! | the function | bisect | next try | uses a retry |
//! |---|---|---|---|
//! | fails, several records | on | two halves, one after the other, each with its own count of retries | no |
//! | fails, several records | off | the whole batch again | yes |
//! | fails, one record | | the record again | yes |
//! | reports a later record as the first failure | | the records before it are done, the rest is a new batch | no |
//! | reports the first record | | no progress: the same as a failure | as above |
//! | was not run | | the same batch again | no |
//!
//! The row "reports a later record" was seen on AWS: of records 3, 4 and 5 with 5 reported, 3 and 4 came once, 5 came five times at three
//! retries, and `approximateInvokeCount` was 4 (recorded in localstack's snapshots, which were validated on AWS).
//!
//! The row "reports the first record" is our reading. AWS says that the batch "is bisected at the returned sequence
//! number", which splits off nothing if that is the first record. Halving isolates the bad record instead.

mod buffer;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use shared::format::failed_batch::Condition;
use shared::time::Timestamp;

use super::payload::{Envelope, RenderedRecord};
use super::ports::{InvokeFailure, ReadLimit, ShardRead, ShardTail};
use super::settings::Rules;
use crate::answer;
use buffer::Buffer;

#[derive(Debug)]
pub(super) struct Shard {
    rules: Rules,
    envelope: Envelope,
    /// The last sequence number that is processed or discarded.
    checkpoint: Option<String>,
    /// The last sequence number that was read.
    position: Option<String>,
    /// Whether more records follow `position`.
    tail: ShardTail,
    /// Whether to stop at the tip instead of waiting for more records.
    draining: bool,
    /// Records that were read and are in no batch yet.
    buffer: Buffer,
    /// Start of the batching window: when the first record came or the previous batch ended, whichever is later.
    gathering_since: Option<Timestamp>,
    /// The unfinished parts of one batch, in order.
    work: VecDeque<ShardBatch>,
    /// Discarded, and not yet saved to the failure destination.
    discard: Option<Discarded>,
}

#[derive(Debug)]
pub(super) enum ShardStep<'a> {
    /// Invoke the function with these records, then call [`Shard::invoked`].
    Invoke(&'a [RenderedRecord]),
    /// Save these records to the failure destination, then call [`Shard::saved`].
    Discard(&'a Discarded),
    /// Nothing to do before this time, unless records are read.
    Wait(Option<Timestamp>),
    /// The shard is closed, or drained to its tip.
    Finished,
}

/// At least one record that goes to the failure destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Discarded {
    pub(super) records: Vec<RenderedRecord>,
    pub(super) condition: Condition,
    /// How often the function was run on exactly the batch that the records belong to.
    pub(super) invocations: u32,
    /// Whether the function itself failed, rather than answered with failures.
    pub(super) function_error: bool,
    /// The error of the last run; `None` if there was no run.
    pub(super) last_failure: Option<String>,
}

/// The first and the last of records that were invoked or discarded together.
pub(super) fn ends(records: &[RenderedRecord]) -> [&RenderedRecord; 2] {
    let ends = records.first().zip(records.last());
    ends.expect("at least one record is invoked or discarded at a time").into()
}

/// How an invocation changed the shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invoked {
    /// The number of records that are now done.
    pub(super) processed: usize,
    /// The error, if there was one, and the next try.
    pub(super) failure: Option<(String, NextTry)>,
}

/// The next try after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextTry {
    /// The two halves are invoked, one after the other.
    Split,
    /// The unfinished records are invoked again, not before this time.
    Retry { at: Timestamp },
    /// No other try: the records go to the failure destination.
    Discard,
}

/// Records that go to the function together.
#[derive(Debug, Default)]
struct ShardBatch {
    records: Vec<RenderedRecord>,
    /// Runs of the function on exactly these records.
    invocations: u32,
    /// Failures in a row, including those in which the function was not run.
    failures: u32,
    function_error: bool,
    last_failure: Option<String>,
    not_before: Option<Timestamp>,
}

impl Shard {
    /// A shard whose records up to and including `checkpoint` are done.
    pub(super) fn new(rules: Rules, envelope: Envelope, checkpoint: Option<String>) -> Self {
        Self {
            rules,
            envelope,
            position: checkpoint.clone(),
            checkpoint,
            tail: ShardTail::More,
            draining: false,
            buffer: Buffer::default(),
            gathering_since: None,
            work: VecDeque::new(),
            discard: None,
        }
    }

    pub(super) fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// The next read starts after this sequence number.
    pub(super) fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// Whether more records follow [`position`](Self::position), as of the last read.
    pub(super) fn tail(&self) -> ShardTail {
        self.tail
    }

    /// How much may be read now: as much as the next batch still lacks, and nothing while a batch is in progress. This
    /// bounds memory.
    pub(super) fn room(&self) -> Option<ReadLimit> {
        let busy = !self.work.is_empty() || self.discard.is_some();
        (!busy && self.tail != ShardTail::Closed && !self.is_full()).then(|| ReadLimit {
            records: self.rules.batch_size - self.buffer.len(),
            bytes: self.rules.payload_limit.saturating_sub(self.buffer.event_length()).max(1),
        })
    }

    /// Takes in the records that were read after [`position`](Self::position).
    pub(super) fn buffer(&mut self, read: ShardRead, now: Timestamp) {
        self.tail = read.tail;
        for record in read.records {
            self.position = Some(record.sequence_number.clone());
            self.buffer.push(self.envelope.render(record));
        }
        if !self.buffer.is_empty() {
            self.gathering_since.get_or_insert(now);
        }
    }

    /// From now on, the shard finishes the records on the stream instead of waiting for more.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        if self.tail == ShardTail::Tip {
            // Records may have come since the last read.
            self.tail = ShardTail::More;
        }
    }

    pub(super) fn next(&mut self, now: Timestamp) -> ShardStep<'_> {
        if self.discard.is_none() {
            if self.work.is_empty() && self.is_due(now) {
                self.form_batch();
            }
            self.discard_old_records(now);
        }
        if let Some(discarded) = &self.discard {
            return ShardStep::Discard(discarded);
        }
        if let Some(batch) = self.work.front() {
            return match batch.not_before {
                Some(at) if at > now => ShardStep::Wait(Some(at)),
                _ => ShardStep::Invoke(&batch.records),
            };
        }
        if self.buffer.is_empty() && self.is_at_its_end() {
            return ShardStep::Finished;
        }
        ShardStep::Wait(self.gathering_since.map(|since| since.plus(self.rules.batching_window)))
    }

    /// Takes in the result of the last [`ShardStep::Invoke`].
    pub(super) fn invoked(&mut self, result: Result<Bytes, InvokeFailure>, now: Timestamp) -> Invoked {
        let mut batch = self.work.pop_front().expect("an invocation ends only after `ShardStep::Invoke`");
        match result {
            Err(InvokeFailure::NotRun(reason)) => {
                let at = batch.back_off(&self.rules, now);
                self.work.push_front(batch);
                Invoked { processed: 0, failure: Some((reason, NextTry::Retry { at })) }
            }
            Err(failure @ InvokeFailure::Function { .. }) => self.fail(batch, failure.to_string(), true, now),
            Ok(_) if !self.rules.report_batch_item_failures => self.finish(&batch.records, now),
            Ok(response) => match batch.first_failed(&response) {
                Ok(None) => self.finish(&batch.records, now),
                Ok(Some(0)) => {
                    self.fail(batch, "the function reports the first record as failed".to_owned(), false, now)
                }
                Ok(Some(index)) => self.split_at_report(batch, index, now),
                Err(reason) => self.fail(batch, reason, false, now),
            },
        }
    }

    /// The failure destination has saved the records of the last [`ShardStep::Discard`].
    pub(super) fn saved(&mut self, now: Timestamp) {
        let discarded = self.discard.take().expect("records are saved only after `ShardStep::Discard`");
        self.finish(&discarded.records, now);
    }

    /// The records are done. After the last part of a batch, the window starts again.
    fn finish(&mut self, records: &[RenderedRecord], now: Timestamp) -> Invoked {
        if let Some(last) = records.last() {
            self.checkpoint = Some(last.sequence_number.clone());
        }
        if self.work.is_empty() {
            self.gathering_since = (!self.buffer.is_empty()).then_some(now);
        }
        Invoked { processed: records.len(), failure: None }
    }

    fn fail(
        &mut self,
        mut batch: ShardBatch,
        reason: String,
        function_error: bool,
        now: Timestamp,
    ) -> Invoked {
        batch.invocations += 1;
        batch.function_error = function_error;
        batch.last_failure = Some(reason.clone());
        let next_try = if self.rules.bisect_on_error && batch.records.len() > 1 {
            let second = batch.records.split_off(batch.records.len() / 2);
            for records in [second, batch.records] {
                self.work.push_front(ShardBatch { records, ..ShardBatch::default() });
            }
            NextTry::Split
        } else if self.rules.maximum_retry_attempts.is_some_and(|retries| batch.invocations > retries) {
            let records = std::mem::take(&mut batch.records);
            self.discard = Some(batch.discard(records, Condition::RetryAttemptsExhausted));
            NextTry::Discard
        } else {
            let at = batch.back_off(&self.rules, now);
            self.work.push_front(batch);
            NextTry::Retry { at }
        };
        Invoked { processed: 0, failure: Some((reason, next_try)) }
    }

    /// The rest becomes a batch of its own, with all its retries: Lambda, too, counts those of the rest alone. It waits
    /// as after a first failure, because the function has just said that it cannot continue.
    fn split_at_report(&mut self, mut batch: ShardBatch, index: usize, now: Timestamp) -> Invoked {
        let mut rest = ShardBatch { records: batch.records.split_off(index), ..ShardBatch::default() };
        let at = rest.back_off(&self.rules, now);
        let reason = format!("the function reports {} records as not done", rest.records.len());
        self.work.push_front(rest);
        Invoked { failure: Some((reason, NextTry::Retry { at })), ..self.finish(&batch.records, now) }
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= self.rules.batch_size || self.buffer.event_length() > self.rules.payload_limit
    }

    fn is_at_its_end(&self) -> bool {
        self.tail == ShardTail::Closed || (self.draining && self.tail == ShardTail::Tip)
    }

    /// Whether the first records of the buffer are to be sent now.
    fn is_due(&self, now: Timestamp) -> bool {
        self.gathering_since.is_some_and(|since| {
            self.is_full() || self.is_at_its_end() || now >= since.plus(self.rules.batching_window)
        })
    }

    fn form_batch(&mut self) {
        let records = self.buffer.take(self.rules.batch_size, self.rules.payload_limit);
        if !records.is_empty() {
            self.work.push_back(ShardBatch { records, ..ShardBatch::default() });
        } else if let Some(record) = self.buffer.take_first() {
            let never_run = ShardBatch::default();
            self.discard = Some(never_run.discard(vec![record], Condition::PayloadLimitExceeded));
        }
        self.gathering_since = None;
    }

    /// Records arrive in order, so those that are too old come first.
    fn discard_old_records(&mut self, now: Timestamp) {
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

impl ShardBatch {
    /// The index of the first record that the function reports as failed; the records before it are done.
    fn first_failed(&self, response: &[u8]) -> Result<Option<usize>, String> {
        let numbers = || self.records.iter().map(|record| record.sequence_number.as_str());
        let failed = answer::failures(response, numbers())?;
        Ok(numbers().position(|number| failed.contains(number)))
    }

    fn back_off(&mut self, rules: &Rules, now: Timestamp) -> Timestamp {
        self.failures = self.failures.saturating_add(1);
        let wait: Duration = rules.backoff.after(self.failures);
        *self.not_before.insert(now.plus(wait))
    }

    fn discard(&self, records: Vec<RenderedRecord>, condition: Condition) -> Discarded {
        Discarded {
            records,
            condition,
            invocations: self.invocations,
            function_error: self.function_error,
            last_failure: self.last_failure.clone(),
        }
    }
}
