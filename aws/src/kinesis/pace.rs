//! How fast a shard is read. It gives 2 MB/s and 5 calls/s to all its readers together, and a call that returned 10 MB makes all
//! calls of the next five seconds fail, also those of the event source mapping.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>

use std::time::Duration;

use tokio::time::Instant;

/// Most records of one call.
const CALL_RECORDS: usize = 10_000;
/// Half of what a shard gives.
const BYTES_A_SECOND: usize = 1_000_000;
const BETWEEN_CALLS: Duration = Duration::from_millis(500);
/// As much as a call may return to keep both.
const CALL_BYTES: usize = BYTES_A_SECOND / 2;
/// Records of the first call: none of them may be larger than 1 MB, if the stream has no other limit.
const FIRST: usize = 2;
/// The next call has at most so many times as many records: they may be larger.
const GROWTH: usize = 4;

/// What a reader takes of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// It is the only one: our own mapping, in place of Lambda's.
    Whole,
    /// At most half, beside the mapping.
    Half,
}

/// Of one shard.
#[derive(Debug)]
pub(super) struct Pace {
    share: Share,
    /// Most records of the next call.
    records: usize,
    /// No call before this time.
    next: Instant,
}

impl Pace {
    pub(super) fn new(share: Share) -> Self {
        let records = match share {
            Share::Whole => CALL_RECORDS,
            Share::Half => FIRST,
        };
        Self { share, records, next: Instant::now() }
    }

    /// The most records of the next call, and when it may be made. The one after it waits, too.
    pub(super) fn take(&mut self) -> (usize, Instant) {
        let at = self.next.max(Instant::now());
        self.next = at + self.between();
        (self.records, at)
    }

    /// A call has returned.
    pub(super) fn read(&mut self, records: usize, bytes: usize) {
        let mut wait = self.between();
        if self.share == Share::Half && records > 0 {
            let fitting = CALL_BYTES / (bytes / records).max(1);
            self.records = fitting.min(self.records * GROWTH).clamp(1, CALL_RECORDS);
            wait = wait.max(Duration::from_millis((bytes * 1_000 / BYTES_A_SECOND) as u64));
        }
        self.next = self.next.max(Instant::now() + wait);
    }

    fn between(&self) -> Duration {
        match self.share {
            Share::Whole => Duration::from_millis(200),
            Share::Half => BETWEEN_CALLS,
        }
    }
}
