//! Where large bodies are inflated and parsed: beside the threads that serve requests.

use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

/// Up to here the work takes less than a millisecond or so, and a thread change costs more than it spares.
const INLINE_BYTES: usize = 128 * 1024;

/// Runs `work` over about `bytes` bytes, on a blocking thread if they are many. A panic in it is a panic here.
pub(crate) async fn offload<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= INLINE_BYTES {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}

/// For work that may make much more than it was given, which nobody counts before it is made: as many at a time as there
/// are processors. More would take as long, and hold more memory.
#[derive(Debug)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))))
    }

    /// The same as [`offload`], in its turn.
    pub(crate) async fn offload<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if bytes <= INLINE_BYTES {
            return work();
        }
        let turn = Arc::clone(&self.0).acquire_owned().await.expect("the semaphore is never closed");
        // Given back by the thread: a client that goes away ends the waiting, not the work.
        let work = move || {
            let _turn = turn;
            work()
        };
        offload(bytes, work).await
    }
}
