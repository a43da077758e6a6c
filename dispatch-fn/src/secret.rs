//! The target's secret. It is read when a call first needs it, and again after a while, since secrets are rotated.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::HeaderValue;
use shared::config::Dispatch;
use shared::environment::DISPATCH_SECRET;
use shared::time::{Clock, Timestamp};
use tokio::sync::Mutex;

#[cfg(feature = "aws")]
mod secrets_manager;

/// How long a secret is used before it is read again.
const LIFETIME: Duration = Duration::from_mins(5);

type Read = dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync;

#[derive(Clone)]
pub struct Secret {
    read: Arc<Read>,
    /// Not a monotonic clock: that may stand still while Lambda has frozen the sandbox.
    clock: Clock,
    /// With the time at which it is read again.
    known: Arc<Mutex<Option<(String, Timestamp)>>>,
}

impl Secret {
    /// `read` is called for each reading.
    pub fn new(
        clock: Clock,
        read: impl Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync + 'static,
    ) -> Self {
        Self { read: Arc::new(read), clock, known: Arc::default() }
    }

    /// From the variable, else from the file.
    pub(crate) fn local(variable: Option<String>, file: Option<PathBuf>, clock: Clock) -> Self {
        Self::new(clock, move || {
            let found = match (&variable, &file) {
                (Some(secret), _) => Ok(secret.clone()),
                (None, Some(file)) => std::fs::read_to_string(file).map_err(|error| {
                    format!("the file `{}` with the secret cannot be read: {error}", file.display())
                }),
                (None, None) => {
                    Err(format!("no secret is given: set `dispatch.secret_file` or {DISPATCH_SECRET}"))
                }
            };
            Box::pin(std::future::ready(found.map(|secret| secret.trim().to_owned())))
        })
    }

    /// From variable or file. If a header needs it, it is read now: without it every call would fail.
    pub async fn read_local(
        config: &Dispatch,
        variable: Option<String>,
        clock: Clock,
    ) -> Result<Self, String> {
        let secret = Self::local(variable, config.secret_file.clone(), clock);
        if config.needs_secret() {
            let value = HeaderValue::try_from(secret.get().await?);
            value.map_err(|_| "the secret has a character that is not allowed in a header".to_owned())?;
        }
        Ok(secret)
    }

    pub(crate) async fn get(&self) -> Result<String, String> {
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        if let Some((secret, due)) = &*known
            && !due.is_due(now, LIFETIME)
        {
            return Ok(secret.clone());
        }
        let secret = (self.read)().await?;
        *known = Some((secret.clone(), now.plus(LIFETIME)));
        Ok(secret)
    }

    /// The next call reads it again. The target refused it.
    pub(crate) async fn forget(&self) {
        *self.known.lock().await = None;
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

    use super::*;

    /// No time passes for the process: a frozen sandbox's monotonic clock may stand still.
    #[tokio::test(start_paused = true)]
    async fn a_secret_is_read_again_after_five_minutes_or_a_refusal_or_when_the_clock_was_set_back() {
        let (reads, now) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicI64::new(1_000_000_000)));
        let (counted, told) = (Arc::clone(&reads), Arc::clone(&now));
        let clock = Clock::new(move || Timestamp::from_unix_ms(told.load(Ordering::Relaxed)));
        let secret = Secret::new(clock, move || {
            let read = counted.fetch_add(1, Ordering::Relaxed) + 1;
            Box::pin(async move { Ok(format!("s{read}")) })
        });
        assert_eq!(reads.load(Ordering::Relaxed), 0, "nothing is read before it is needed");
        assert_eq!(secret.get().await.unwrap(), "s1");
        now.fetch_add(299_000, Ordering::Relaxed);
        assert_eq!(secret.get().await.unwrap(), "s1");
        now.fetch_add(1_000, Ordering::Relaxed);
        assert_eq!(secret.get().await.unwrap(), "s2");
        secret.forget().await;
        assert_eq!(secret.get().await.unwrap(), "s3");
        now.store(0, Ordering::Relaxed);
        assert_eq!(secret.get().await.unwrap(), "s4");
    }

    #[tokio::test]
    async fn a_local_secret_comes_from_the_variable_or_the_file_and_an_error_names_them() {
        let get = async |variable: Option<&str>, file: Option<&str>| {
            Secret::local(variable.map(str::to_owned), file.map(Into::into), Clock::system()).get().await
        };
        let this = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(get(Some(" s \n"), Some(this)).await.unwrap(), "s");
        assert!(get(None, Some(this)).await.unwrap().starts_with("[package]"));
        assert!(
            get(None, Some("/no/such"))
                .await
                .unwrap_err()
                .starts_with("the file `/no/such` with the secret cannot be read")
        );
        assert_eq!(
            get(None, None).await.unwrap_err(),
            "no secret is given: set `dispatch.secret_file` or TIDEGATE_DISPATCH_SECRET"
        );
    }

    #[tokio::test]
    async fn a_secret_that_a_header_needs_is_missed_at_the_start() {
        let read = async |header: &str, variable: Option<&str>| {
            let config =
                Dispatch { headers: [("A".to_owned(), header.to_owned())].into(), ..Dispatch::default() };
            Secret::read_local(&config, variable.map(str::to_owned), Clock::system()).await.map(drop)
        };
        assert!(read("Bearer {secret}", None).await.unwrap_err().starts_with("no secret is given"));
        let broken = read("Bearer {secret}", Some("a\u{1}b")).await.unwrap_err();
        assert_eq!(broken, "the secret has a character that is not allowed in a header");
        read("Bearer {secret}", Some("s")).await.unwrap();
        read("constant", None).await.unwrap();
    }
}
