//! Large bodies are inflated and parsed on blocking threads, so that they do not delay other requests.

/// Up to this size the work takes about a millisecond, and a thread change costs more than it saves.
pub(crate) const INLINE_BYTES: usize = 128 * 1024;

pub(crate) fn is_inline(bytes: usize) -> bool {
    bytes <= INLINE_BYTES
}

/// Runs `work` over about `bytes` bytes, on a blocking thread if they are many. A panic in it is a panic here.
pub(crate) async fn offload<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if is_inline(bytes) {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}
