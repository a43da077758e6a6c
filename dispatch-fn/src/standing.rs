//! What an event's item says about its dispatch, and what follows for a message. Pure.

use shared::format::item::{DELIVERED, FAILED};

/// What is noted on an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// `None` is pending.
    pub status: Option<Status>,
    /// How many calls were made for the event.
    pub attempts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Delivered,
    /// It is a dead letter.
    Failed,
}

impl Status {
    /// From the item's attribute.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            DELIVERED => Some(Self::Delivered),
            FAILED => Some(Self::Failed),
            _ => None,
        }
    }
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Call,
    /// Nothing: the event is delivered, or a dead letter.
    Done,
    /// It has no attempt left, but an earlier invocation did not make it a dead letter.
    Exhausted,
}

/// `after_attempts` are the calls before the message's last redrive. They do not count. A message that was not redriven does
/// nothing to an event that is a dead letter: it is a second copy.
pub(crate) fn next(standing: Standing, after_attempts: Option<u32>, max_attempts: u32) -> Next {
    let before = after_attempts.unwrap_or(0);
    match standing.status {
        Some(Status::Delivered) => Next::Done,
        Some(Status::Failed) if after_attempts.is_none_or(|before| before < standing.attempts) => Next::Done,
        _ if standing.attempts.saturating_sub(before) >= max_attempts => Next::Exhausted,
        _ => Next::Call,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: Option<Status>, attempts: u32, after: Option<u32>, expected: Next) {
        assert_eq!(
            next(Standing { status, attempts }, after, 3),
            expected,
            "{status:?} {attempts} {after:?}"
        );
    }

    #[test]
    fn a_pending_event_is_sent_until_its_attempts_are_exhausted() {
        check(None, 0, None, Next::Call);
        check(None, 2, None, Next::Call);
        check(None, 3, None, Next::Exhausted);
    }

    #[test]
    fn a_second_copy_of_a_message_does_nothing_to_an_event_that_is_done() {
        check(Some(Status::Delivered), 1, None, Next::Done);
        check(Some(Status::Failed), 3, None, Next::Done);
        check(Some(Status::Delivered), 1, Some(0), Next::Done);
    }

    #[test]
    fn a_redriven_message_has_all_attempts_again() {
        check(Some(Status::Failed), 3, Some(3), Next::Call);
        check(None, 4, Some(3), Next::Call);
        check(None, 5, Some(3), Next::Call);
        check(None, 6, Some(3), Next::Exhausted);
        // It failed again: there is a newer dead letter.
        check(Some(Status::Failed), 6, Some(3), Next::Done);
        check(Some(Status::Failed), 6, Some(6), Next::Call);
    }
}
