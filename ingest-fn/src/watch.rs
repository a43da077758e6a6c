//! Lets others watch what ingest answers, as `tidegate tap` does. While no one watches, a request costs one look.

use shared::id::{EventId, TenantId};
use tokio::sync::broadcast;

/// A watcher that is so many answers late misses the oldest ones.
const MOST: usize = 4_096;

/// What became of an event, or of a request that was refused whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// As far as it is known.
    pub tenant: Option<TenantId>,
    pub id: Option<EventId>,
    /// The code of the answer, unless it was accepted.
    pub refused: Option<&'static str>,
}

#[derive(Debug)]
pub(crate) struct Watched(broadcast::Sender<Answered>);

impl Default for Watched {
    fn default() -> Self {
        Self(broadcast::Sender::new(MOST))
    }
}

impl Watched {
    pub(crate) fn watch(&self) -> broadcast::Receiver<Answered> {
        self.0.subscribe()
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(crate) fn see(&self, answered: Answered) {
        // Fails if the last watcher has gone meanwhile.
        let _unseen = self.0.send(answered);
    }
}
