//! When an erasure may delete, and what it does with a line. Pure.

use std::time::Duration;

use shared::id::{EventId, TenantId};
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::Erasure;

/// Where an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its note is to be written, with the ends of now.
    Begin,
    /// Attempts may be alive that began before the note.
    Wait(Timestamp),
    /// None is alive.
    Act,
}

/// `begun` is when the note of an erasure that is not finished was written. `settle` is for how long an attempt that began before
/// that may write. If nothing else runs, the ends of now are as good as those of the note, and may be further.
pub(crate) fn phase(begun: Option<Timestamp>, now: Timestamp, settle: Duration) -> Phase {
    match begun {
        None => Phase::Begin,
        Some(begun) if begun.plus(settle) > now => Phase::Wait(begun.plus(settle)),
        Some(begun) if settle.is_zero() && begun < now => Phase::Begin,
        Some(_) => Phase::Act,
    }
}

/// What an erasure does with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is of another tenant, or of another event.
    Other,
    /// It is erased.
    Due,
    /// It is left to the next erasure: a writer may still come to its origin.
    Later,
}

impl Erasure {
    pub(crate) fn standing(&self, tenant: &TenantId, id: &EventId, origin: &Origin) -> Standing {
        match (self.is_of(tenant, id), self.is_done(origin)) {
            (false, _) => Standing::Other,
            (true, true) => Standing::Due,
            (true, false) => Standing::Later,
        }
    }

    /// The same for an event in a queue, which has no origin yet.
    pub(crate) fn standing_of_queued(
        &self,
        tenant: &TenantId,
        id: &EventId,
        received_at: Timestamp,
    ) -> Standing {
        match (self.is_of(tenant, id), received_at <= self.begun) {
            (false, _) => Standing::Other,
            (true, true) => Standing::Due,
            (true, false) => Standing::Later,
        }
    }
}

/// The end of what may be erased of a shard: what is committed, and is not delivered again. An object is erased from whole or not
/// at all; `object` is the range of the one that covers the end.
pub(crate) fn end(end: ShardPosition, object: Option<[ShardPosition; 2]>) -> ShardPosition {
    match object {
        Some([first, object_end]) if first < end && end < object_end => first,
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_ms(seconds * 1_000)
    }

    #[test]
    fn nothing_is_deleted_before_all_earlier_attempts_have_ended() {
        let minute = Duration::from_mins(1);
        assert_eq!(phase(None, at(100), minute), Phase::Begin);
        assert_eq!(phase(Some(at(100)), at(100), minute), Phase::Wait(at(160)));
        assert_eq!(phase(Some(at(100)), at(159), minute), Phase::Wait(at(160)));
        assert_eq!(phase(Some(at(100)), at(160), minute), Phase::Act);
    }

    #[test]
    fn where_nothing_else_runs_it_acts_at_once_and_a_later_run_has_ends_of_its_own() {
        assert_eq!(phase(Some(at(100)), at(100), Duration::ZERO), Phase::Act);
        assert_eq!(phase(Some(at(100)), at(101), Duration::ZERO), Phase::Begin);
    }

    #[test]
    fn an_end_within_an_object_is_where_the_object_begins() {
        let position = |number: &str| ShardPosition::new(number, 0);
        let check = |object: Option<[&str; 2]>, expected: &str| {
            assert_eq!(end(position("20"), object.map(|it| it.map(position))), position(expected));
        };
        check(Some(["10", "20"]), "20");
        check(Some(["10", "30"]), "10");
        check(Some(["20", "30"]), "20");
        check(None, "20");
    }
}
