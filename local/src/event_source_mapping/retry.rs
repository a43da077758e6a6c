//! Calls to a port that must succeed before a shard can continue.

use std::fmt::Display;

use shared::backoff::Backoff;

/// Calls `operation` until it succeeds. Each failure is one line in the log, with `what` and `subject`.
/// It ends early only when it is dropped: at a drain's deadline, or with the mapping.
pub(super) async fn until_it_works<T, F>(
    backoff: Backoff,
    what: &'static str,
    subject: impl Display,
    mut operation: impl FnMut() -> F,
) -> T
where
    F: Future<Output = anyhow::Result<T>>,
{
    let mut failures = 0;
    loop {
        match operation().await {
            Ok(value) => return value,
            Err(error) => {
                failures += 1;
                let wait = backoff.after(failures);
                tracing::warn!(
                    shard.id = %subject,
                    failures,
                    retry_in_ms = wait.as_millis(),
                    error = format!("{error:#}"),
                    "{what} failed; retrying"
                );
                tokio::time::sleep(wait).await;
            }
        }
    }
}
