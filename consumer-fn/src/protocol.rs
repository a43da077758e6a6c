//! The commit protocol: what an attempt at a batch does next with the ledger and the archive, given what it has seen.
//!
//! No I/O and no clock: [`crate::commit`] does what [`Attempt::next`] says and reports the result. The model checker
//! (`protocol/model.rs`) runs this same code through every order in which attempts, retries, crashes and late effects can
//! meet.
//!
//! The rules:
//!
//! - An object covers a range of the shard. Its key names the range's first position. It is created, never replaced.
//! - The **intent** in the ledger names the only object that may appear. Another intent may replace it only when its key is
//!   *closed*, that is when an object exists there. If no attempt wrote one, an object without lines is written as a
//!   **fence**. So a late write of a dead attempt always finds its key taken.
//! - Ledger writes are conditional on the version that was read. After a conflict the attempt reads again and decides anew;
//!   it need not know whether it is a zombie.
//! - An attempt that begins at a position knows that everything before it is committed: the event source mapping moves on
//!   only after records that were answered as done, or saved at the failure destination.

use crate::ledger::{Intent, Progress, Written};
use shared::objects::Created;
use shared::origin::ShardPosition;

#[cfg(test)]
mod model;

/// An object that this attempt could write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Planned {
    /// Its key and the first position that it covers.
    pub(crate) intent: Intent,
    /// The end of what it covers.
    pub(crate) end: ShardPosition,
}

/// The next step of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Read the ledger.
    Read,
    /// Write this to the ledger. Before that, note the object whose intent it replaces.
    Write {
        progress: Progress,
        /// The object at the key of the replaced intent, and the end of what it covers.
        closed: Option<(Intent, ShardPosition)>,
    },
    /// Create the planned object.
    Put(Planned),
    /// Read the object, and what it covers.
    Find(Intent),
    /// Create an object without lines as a fence. It covers everything before the position.
    PutEmpty(Intent, ShardPosition),
    /// Nothing more: everything before the position is committed, and this attempt has no line after it.
    Done(ShardPosition),
}

/// The result of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Progress(Progress),
    Written(Written),
    /// Whether [`Action::Put`] or [`Action::PutEmpty`] created the object. If one existed already, it stays as it is.
    Put(Created),
    /// The end of what the object covers, or `None` if it does not exist.
    Found(Option<ShardPosition>),
}

/// An attempt at a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    /// Where the batch begins.
    start: ShardPosition,
    /// Whether the ledger must say in the end that everything before `start` is committed.
    fence: bool,
    /// The ledger, as far as this attempt knows.
    progress: Option<Progress>,
    /// What this attempt knows about the intent's key.
    key: Key,
}

/// What an attempt knows about the key that the ledger names as intent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Unknown,
    /// An object exists.
    Taken,
    /// No object exists, or none did.
    Free,
    /// An object exists, and this is the end of what it covers.
    Closed(ShardPosition),
}

impl Attempt {
    /// An attempt at a batch that begins at `start`.
    pub(crate) fn new(start: ShardPosition) -> Self {
        Self { start, fence: false, progress: None, key: Key::Unknown }
    }

    /// An attempt without a batch. When it is done, no attempt that began earlier can archive anything before `end` any more.
    /// A redrive from the failure destination needs that.
    pub(crate) fn fence(end: ShardPosition) -> Self {
        Self { fence: true, ..Self::new(end) }
    }

    /// What to do now. `plan` returns the object that this attempt would write next if everything before a position were
    /// committed, and `None` if it has no line at or after that position.
    pub(crate) fn next(&self, plan: &mut impl FnMut(&ShardPosition) -> Option<Planned>) -> Action {
        let Some(progress) = &self.progress else { return Action::Read };
        let committed = self.known_end(progress);
        let Some(intent) = &progress.intent else {
            let planned = plan(committed);
            return match planned {
                Some(planned) => write(progress, progress.committed_end.clone(), Some(planned), None),
                None if self.fence && progress.committed_end.as_ref() < Some(&self.start) => {
                    write(progress, Some(self.start.clone()), None, None)
                }
                None => Action::Done(committed.clone()),
            };
        };
        if let Key::Closed(end) = &self.key {
            let committed = end.max(committed).clone();
            let planned = plan(&committed);
            return write(progress, Some(committed), planned, Some((intent.clone(), end.clone())));
        }
        let planned = plan(committed);
        let is_ours = planned.as_ref().is_some_and(|planned| planned.intent == *intent);
        match (&self.key, planned) {
            (Key::Taken, _) => Action::Find(intent.clone()),
            (_, Some(planned)) if is_ours => Action::Put(planned),
            // The intent comes after everything that this attempt has.
            (_, None) if intent.from >= self.start => Action::Done(committed.clone()),
            // An attempt that began before this one left the intent: fence it.
            (Key::Free, _) => Action::PutEmpty(intent.clone(), committed.clone()),
            (_, _) => Action::Find(intent.clone()),
        }
    }

    /// Takes the result of the action of [`Attempt::next`].
    pub(crate) fn see(&mut self, action: Action, seen: Seen) {
        match (action, seen) {
            (Action::Read, Seen::Progress(progress))
            | (Action::Write { progress, .. }, Seen::Written(Written::Done)) => {
                self.progress = Some(progress);
                self.key = Key::Unknown;
            }
            (Action::Write { .. }, Seen::Written(Written::Conflict)) => self.progress = None,
            (Action::Put(Planned { end, .. }) | Action::PutEmpty(_, end), Seen::Put(Created::New)) => {
                self.key = Key::Closed(end);
            }
            (Action::Put(_) | Action::PutEmpty(..), Seen::Put(Created::Existed)) => self.key = Key::Taken,
            (Action::Find(_), Seen::Found(Some(end))) => self.key = Key::Closed(end),
            (Action::Find(_), Seen::Found(None)) => self.key = Key::Free,
            (action, seen) => unreachable!("{seen:?} does not answer {action:?}"),
        }
    }

    /// The end of what is committed, as far as this attempt knows.
    pub(crate) fn committed_end(&self) -> &ShardPosition {
        self.progress.as_ref().map_or(&self.start, |progress| self.known_end(progress))
    }

    fn known_end<'a>(&'a self, progress: &'a Progress) -> &'a ShardPosition {
        let intent = progress.intent.as_ref().map(|intent| &intent.from);
        let known = [progress.committed_end.as_ref(), intent];
        known.into_iter().flatten().fold(&self.start, std::cmp::max)
    }
}

fn write(
    previous: &Progress,
    committed_end: Option<ShardPosition>,
    planned: Option<Planned>,
    closed: Option<(Intent, ShardPosition)>,
) -> Action {
    let intent = planned.map(|planned| planned.intent);
    Action::Write { progress: Progress { version: previous.version + 1, committed_end, intent }, closed }
}
