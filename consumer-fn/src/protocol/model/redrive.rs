//! Who brings back what failed: `tidegate redrive`.
//!
//! A failed record is brought back behind a fence: after it, either an object covers the record or none ever will. A
//! record in quarantine may be in a batch that is still at work, so nobody may fence it from outside: it is brought back
//! once the ledger calls it settled, unless the archive has its line from another attempt.

use super::world::{Batch, Push, Record, Redrive, State, Variant, World, behind, mark};
use crate::protocol::{Action, Attempt};
use shared::origin::ShardPosition;

const WHO: &str = "redrive";

impl World {
    /// One step of it.
    pub(super) fn redrive(&self, state: &State, push: &mut Push<'_>) {
        let Some(Redrive { record, fence }) = &state.redrive else { return self.take_up(state, push) };
        if let Some(attempt) = fence {
            let action = attempt.next(&mut |_| None);
            if !matches!(action, Action::Done(_)) && self.variant != Variant::WithoutFence {
                let (mut next, mut attempt) = (state.clone(), attempt.clone());
                let seen = self.effect(&mut next, &action, &[]);
                attempt.see(action.clone(), seen.clone());
                next.redrive = Some(Redrive { record: *record, fence: Some(attempt) });
                push(next, WHO, &|| format!("{action:?} -> {seen:?}"));
                return;
            }
        }
        let mut next = state.clone();
        next.redrive = None;
        let is_archived = if fence.is_some() {
            next.failed.remove(record);
            is_covered(state, *record)
        } else {
            next.quarantined.remove(record);
            state.objects.values().any(|object| object.lines.contains(record))
        };
        if is_archived {
            push(next, WHO, &|| format!("finds record {record} in the archive"));
            return;
        }
        if state.left.redrives > 0 {
            // It dies before it has noted that the record was brought back: the next one does it again.
            let mut died = self.bring_back(state.clone(), *record);
            died.redrive = None;
            died.left.redrives -= 1;
            push(died, WHO, &|| format!("brings record {record} back, and dies"));
        }
        push(self.bring_back(next, *record), WHO, &|| format!("brings record {record} back"));
    }

    /// Begins with one of the records that failed.
    fn take_up(&self, state: &State, push: &mut Push<'_>) {
        if state.left.redrives == 0 {
            return;
        }
        let mut begin = |record: usize, fence: Option<Attempt>| {
            let mut begun = state.clone();
            begun.left.redrives -= 1;
            begun.redrive = Some(Redrive { record, fence });
            push(begun, WHO, &|| format!("takes up record {record}"));
        };
        for &record in &state.failed {
            begin(record, Some(Attempt::fence(behind(record))));
        }
        let is_settled = |record: usize| {
            let settled = state.ledger.settled_before.as_ref();
            settled.is_some_and(|settled| *settled > mark(record)) || self.variant == Variant::WithoutWaiting
        };
        for &record in state.quarantined.iter().filter(|record| is_settled(**record)) {
            begin(record, None);
        }
    }

    /// Puts the record's event on the stream once more, with every place where it was.
    fn bring_back(&self, mut state: State, record: usize) -> State {
        let Record { event, redrive_of } = &state.stream[record];
        let mut former =
            if self.variant == Variant::WithoutFormerOrigins { Vec::new() } else { redrive_of.clone() };
        former.push(record);
        let new = state.stream.len();
        state.stream.push(Record { event: *event, redrive_of: former });
        state.work.push_back(Batch { from: new, to: new + 1, failures: 0 });
        state
    }
}

/// Whether an object with lines covers the record: whoever wrote it was done with the record.
fn is_covered(state: &State, record: usize) -> bool {
    state.objects.iter().any(|(key, object)| {
        let from = ShardPosition::new(key.as_str(), 0);
        !object.lines.is_empty() && from <= mark(record) && mark(record) < object.before
    })
}
