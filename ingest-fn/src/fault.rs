//! What keeps the whole process from storing events, such as a data folder that was deleted. A retry does not help: someone
//! must do something, and `GET /health` says what.

use std::fmt;
use std::sync::Arc;

use crate::rejection::Rejection;

/// Finds the fault, if there is one now. Asked by every request with events, before its work and before its answer.
#[derive(Clone)]
pub struct FaultCheck(Arc<dyn Fn() -> Option<Fault> + Send + Sync>);

/// What happened, and what to do: for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub Arc<str>);

impl FaultCheck {
    pub fn new(find: impl Fn() -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// Finds none: where the services' own answers are enough.
    pub fn none() -> Self {
        Self::new(|| None)
    }

    pub(crate) fn find(&self) -> Option<Fault> {
        (self.0)()
    }

    /// Refuses events while there is a fault.
    pub(crate) fn pass(&self) -> Result<(), Rejection> {
        self.find().map_or(Ok(()), |_fault| Err(Rejection::StorageFailing))
    }
}

impl fmt::Debug for FaultCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultCheck").finish_non_exhaustive()
    }
}
