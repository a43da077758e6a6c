//! The commit protocol: what an attempt at a batch does next with the ledger and the archive, given what it has seen.
//!
//! No I/O, no clock: [`crate::commit`] does what [`Attempt::next`] says and reports back, and the model checker
//! (`protocol/model.rs`) explores every order in which attempts, retries, crashes and late effects can meet, through
//! this very code.
//!
//! What it rests on:
//!
//! - An object covers a range of the shard, and is named after the range's first place. It is created, never replaced.
//! - The **intent** in the ledger is the only object that may appear. It gives way to another only after its key is
//!   *closed*: there is an object there. If nobody wrote one, the key is **sealed** by an object without lines. So what a
//!   dead attempt sent off and arrives late finds its key taken, always.
//! - Ledger writes are conditional on the version that was read. Whoever is told of a conflict reads again and decides
//!   anew; nobody has to know whether it is a zombie.
//! - An attempt that begins at a place says by this that everything before it is settled: the event source mapping
//!   moves on only behind what was answered as done, or kept at the failure destination.

use crate::ledger::{Intent, Progress, Written};
use shared::origin::ShardPosition;

#[cfg(test)]
mod model;

/// An object that this attempt could write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Planned {
    /// Its key and the first place it covers.
    pub(crate) intent: Intent,
    /// The first place behind what it covers.
    pub(crate) before: ShardPosition,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Read the ledger.
    Read,
    /// Write this to the ledger; before that, note the object that is closed by it.
    Write {
        progress: Progress,
        /// The object at the key of the intent that is replaced, and the first place behind what it covers.
        closed: Option<(Intent, ShardPosition)>,
    },
    /// Create the planned object.
    Put(Planned),
    /// Read the object, and what it covers.
    Find(Intent),
    /// Create an object without lines, which covers everything up to before the mark.
    Seal(Intent, ShardPosition),
    /// Nothing more: everything before the mark is settled, and this attempt has no line behind it.
    Done(ShardPosition),
}

/// How that went.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    Progress(Progress),
    Written(Written),
    /// It was created: by [`Action::Put`] or [`Action::Seal`].
    Created,
    /// There was one already, and it stays.
    Existed,
    /// An object is there and covers what is before the mark; or none is there.
    Found(Option<ShardPosition>),
}

/// An attempt at a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    /// Where the batch begins.
    start: ShardPosition,
    /// Whether the ledger must say, in the end, that everything before `start` is settled.
    fence: bool,
    /// What the ledger says, as far as this attempt knows.
    progress: Option<Progress>,
    /// What is known of the key of the intent.
    key: Key,
}

/// What an attempt knows about the key that the ledger names as intent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Unknown,
    /// There is an object.
    Taken,
    /// There is no object, or there was none.
    Free,
    /// There is an object, and this is the first place behind what it covers.
    Closed(ShardPosition),
}

impl Attempt {
    /// An attempt at a batch that begins at `start`.
    pub(crate) fn new(start: ShardPosition) -> Self {
        Self { start, fence: false, progress: None, key: Key::Unknown }
    }

    /// An attempt at no batch: behind it, no attempt that began earlier archives anything before `start` any more. For
    /// who takes records from the failure destination back to the stream.
    pub(crate) fn fence(start: ShardPosition) -> Self {
        Self { fence: true, ..Self::new(start) }
    }

    /// What to do now. `plan` gives the object that this attempt would write next if everything before a mark were
    /// settled: nothing if it has no line at or behind it.
    pub(crate) fn next(&self, plan: &mut impl FnMut(&ShardPosition) -> Option<Planned>) -> Action {
        let Some(progress) = &self.progress else { return Action::Read };
        let settled = self.settled_before(progress);
        let Some(intent) = &progress.intent else {
            let planned = plan(settled);
            return match planned {
                Some(planned) => write(progress, progress.settled_before.clone(), Some(planned), None),
                None if self.fence && progress.settled_before.as_ref() < Some(&self.start) => {
                    write(progress, Some(self.start.clone()), None, None)
                }
                None => Action::Done(settled.clone()),
            };
        };
        if let Key::Closed(before) = &self.key {
            let settled = before.max(settled).clone();
            let planned = plan(&settled);
            return write(progress, Some(settled), planned, Some((intent.clone(), before.clone())));
        }
        let planned = plan(settled);
        let is_ours = planned.as_ref().is_some_and(|planned| planned.intent == *intent);
        match (&self.key, planned) {
            (Key::Taken, _) => Action::Find(intent.clone()),
            (_, Some(planned)) if is_ours => Action::Put(planned),
            // It lies behind everything that this attempt has.
            (_, None) if intent.from >= self.start => Action::Done(settled.clone()),
            // Left over by an attempt that began before this one: settle it.
            (Key::Free, _) => Action::Seal(intent.clone(), settled.clone()),
            (_, _) => Action::Find(intent.clone()),
        }
    }

    /// Takes in how the action of [`Attempt::next`] went.
    pub(crate) fn see(&mut self, action: Action, seen: Seen) {
        match (action, seen) {
            (Action::Read, Seen::Progress(progress))
            | (Action::Write { progress, .. }, Seen::Written(Written::Done)) => {
                self.progress = Some(progress);
                self.key = Key::Unknown;
            }
            (Action::Write { .. }, Seen::Written(Written::Conflict)) => self.progress = None,
            (Action::Put(Planned { before, .. }) | Action::Seal(_, before), Seen::Created) => {
                self.key = Key::Closed(before);
            }
            (Action::Put(_) | Action::Seal(..), Seen::Existed) => self.key = Key::Taken,
            (Action::Find(_), Seen::Found(Some(before))) => self.key = Key::Closed(before),
            (Action::Find(_), Seen::Found(None)) => self.key = Key::Free,
            (action, seen) => unreachable!("{seen:?} is no answer to {action:?}"),
        }
    }

    /// The first place that the ledger does not call settled, as far as this attempt knows.
    pub(crate) fn settled(&self) -> &ShardPosition {
        self.progress.as_ref().map_or(&self.start, |progress| self.settled_before(progress))
    }

    fn settled_before<'a>(&'a self, progress: &'a Progress) -> &'a ShardPosition {
        let intent = progress.intent.as_ref().map(|intent| &intent.from);
        let known = [progress.settled_before.as_ref(), intent];
        known.into_iter().flatten().fold(&self.start, std::cmp::max)
    }
}

fn write(
    before: &Progress,
    settled_before: Option<ShardPosition>,
    planned: Option<Planned>,
    closed: Option<(Intent, ShardPosition)>,
) -> Action {
    let intent = planned.map(|planned| planned.intent);
    Action::Write { progress: Progress { version: before.version + 1, settled_before, intent }, closed }
}
