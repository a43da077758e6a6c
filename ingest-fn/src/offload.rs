//! Where large bodies are inflated and parsed: beside the threads that serve requests.

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
