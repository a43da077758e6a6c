//! What keeps the whole process from storing events, such as a data folder that was deleted. A retry does not help: someone
//! must do something, and `GET /health` says what.

use std::fmt;
use std::sync::Arc;

use crate::rejection::Rejection;

/// Finds the fault, if there is one now.
#[derive(Clone)]
pub struct FaultCheck {
    known: Find,
    look: Find,
}

type Find = Arc<dyn Fn() -> Option<Fault> + Send + Sync>;

/// What happened, and what to do: for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub Arc<str>);

impl FaultCheck {
    pub fn new(look: impl Fn() -> Option<Fault> + Send + Sync + 'static) -> Self {
        let look: Find = Arc::new(look);
        Self { known: Arc::clone(&look), look }
    }

    /// The same, where looking costs more than remembering what the last look found.
    pub fn remembering(self, known: impl Fn() -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self { known: Arc::new(known), ..self }
    }

    /// Finds none: where the services' own answers are enough.
    pub fn none() -> Self {
        Self::new(|| None)
    }

    pub(crate) fn find(&self) -> Option<Fault> {
        (self.look)()
    }

    /// Refuses events that need no work, as there is a fault anyway.
    pub(crate) fn before_work(&self) -> Result<(), Rejection> {
        (self.known)().map_or(Ok(()), |_fault| Err(Rejection::StorageFailing))
    }

    /// Refuses events that were published, and may be lost. This look is what makes a 202 true.
    pub(crate) fn before_answer(&self) -> Result<(), Rejection> {
        self.find().map_or(Ok(()), |_fault| Err(Rejection::StorageFailing))
    }
}

impl fmt::Debug for FaultCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultCheck").finish_non_exhaustive()
    }
}
