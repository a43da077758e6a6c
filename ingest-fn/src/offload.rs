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

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    /// Runs `test` in virtual time, in which the first large work that it offloads takes so long: the only thread for it is busy.
    pub(crate) fn packing_takes(time: Duration, test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (release, busy) = mpsc::channel::<()>();
            tokio::task::spawn_blocking(move || busy.recv());
            let passes = async {
                // The test waits for its work now. While a blocking thread works, virtual time does not pass by itself.
                tokio::task::yield_now().await;
                tokio::time::advance(time).await;
                drop(release);
            };
            tokio::join!(test, passes);
        });
    }
}
