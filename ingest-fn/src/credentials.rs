//! The credentials of tenants: a document of key hashes and secrets, read at start-up and again while requests come.
//!
//! It does not decide about requests; `access.rs` does. Nothing here prints a key, a hash or a secret.

mod document;
mod file;
#[cfg(feature = "aws")]
mod secrets_manager;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use shared::config::Config;
use shared::metric::Metric;
use shared::tier::Tier;
use shared::time::{Clock, Timestamp};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

pub(crate) use self::document::{Document, Identity, WebhookSecret, sha256_of_hex};
pub use self::file::CredentialFile;

/// How long a request waits while the credentials are read again. If it takes longer, the request uses the old ones.
const WAIT: Duration = Duration::from_millis(100);
/// The same when they are older than two refreshes: what went on after the answer was cut off, because Lambda had frozen the
/// sandbox. A removed key must not work for longer.
const LATE_WAIT: Duration = Duration::from_secs(1);
/// The time between two attempts to read them again while that fails.
const RETRY: Duration = Duration::from_secs(10);

/// Where the document is stored.
pub trait CredentialSource: Send + Sync {
    fn read(&self) -> BoxFuture<'_, Result<String, CredentialsError>>;

    /// How an operator finds it.
    fn name(&self) -> String;
}

/// Why the credentials cannot be used. It quotes nothing from the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    #[error("{0}")]
    Unreadable(String),
    #[error("{0} (docs/deploy.md#credentials has an example)")]
    Invalid(String),
    #[error("{name}: {source}")]
    Of { name: String, source: Box<Self> },
}

/// The newest credentials.
#[derive(Clone)]
pub struct Credentials(Option<Arc<Refreshed>>);

struct Refreshed {
    source: Box<dyn CredentialSource>,
    allowed: Vec<Tier>,
    every: Duration,
    /// Not a monotonic clock: that may stand still while Lambda has frozen the sandbox.
    clock: Clock,
    held: Mutex<Held>,
    /// Wakes the requests that wait for a reading.
    over: Notify,
}

#[derive(Clone)]
struct Held {
    document: Arc<Document>,
    /// When its reading began. One that began earlier and ends later does not replace it.
    begun: Instant,
    read_at: Timestamp,
    /// When they are read again.
    due: Timestamp,
    /// While they are read again: how long requests wait for it.
    reading_until: Option<Instant>,
}

/// What a request does before it uses the credentials.
enum Turn {
    Use,
    /// It has them read again.
    Read(Instant),
    /// Another request does.
    Wait(Instant),
}

impl Credentials {
    /// Without a document: where the configuration asks for a credential, every request is refused.
    pub fn none() -> Self {
        Self(None)
    }

    /// Those in `auth.credentials_file`, if the configuration asks for credentials.
    pub async fn in_file(config: &Config, clock: Clock) -> Result<Self, CredentialsError> {
        let Some(key) = config.auth.needs_credentials() else { return Ok(Self::none()) };
        let Some(file) = &config.auth.credentials_file else {
            let missing = format!("`{key}` needs credentials: set `auth.credentials_file`");
            return Err(CredentialsError::Unreadable(missing));
        };
        Self::read(CredentialFile(file.into()), config, clock).await
    }

    /// Reads the document for the first time.
    pub async fn read(
        source: impl CredentialSource + 'static,
        config: &Config,
        clock: Clock,
    ) -> Result<Self, CredentialsError> {
        let allowed = config.tiers.allowed.clone();
        let begun = Instant::now();
        let document = read(&source, &allowed).await?;
        let every = config.auth.refresh();
        let held = Mutex::new(Held::new(document, begun, clock.now(), every));
        let (source, over) = (Box::new(source), Notify::new());
        Ok(Self(Some(Arc::new(Refreshed { source, allowed, every, clock, held, over }))))
    }

    /// The newest credentials. When they are due, one request has them read again. It waits a moment for it, and so do those that come
    /// meanwhile: after a pause the old ones may be of any age. A Lambda sandbox is frozen between requests, so no timer could do it.
    pub(crate) async fn current(&self) -> Arc<Document> {
        let Some(refreshed) = &self.0 else { return Arc::default() };
        let over = refreshed.over.notified();
        let _over_or_out_of_time = match refreshed.turn() {
            Turn::Use => Ok(()),
            Turn::Read(until) => {
                let reading = Arc::clone(refreshed);
                tokio::spawn(async move { reading.refresh().await });
                timeout_at(until, over).await
            }
            Turn::Wait(until) => timeout_at(until, over).await,
        };
        refreshed.document()
    }
}

impl Held {
    fn new(document: Document, begun: Instant, read_at: Timestamp, every: Duration) -> Self {
        let document = Arc::new(document);
        Self { document, begun, read_at, due: read_at.plus(every), reading_until: None }
    }
}

impl Refreshed {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn document(&self) -> Arc<Document> {
        Arc::clone(&self.held().document)
    }

    /// If they are due, one caller is asked to read them; the next one can be `RETRY` later.
    fn turn(&self) -> Turn {
        let mut held = self.held();
        let now = self.clock.now();
        if !held.due.is_due(now, self.every) {
            let waiting = held.reading_until.filter(|until| Instant::now() < *until);
            return waiting.map_or(Turn::Use, Turn::Wait);
        }
        held.due = now.plus(RETRY.min(self.every));
        let wait = if now.since(held.read_at) > self.every * 2 { LATE_WAIT } else { WAIT };
        let until = Instant::now() + wait;
        held.reading_until = Some(until);
        Turn::Read(until)
    }

    async fn refresh(&self) {
        let begun = Instant::now();
        let read = read(&*self.source, &self.allowed).await;
        match read {
            Ok(document) => {
                let mut held = self.held();
                if begun > held.begun {
                    *held = Held::new(document, begun, self.clock.now(), self.every);
                }
            }
            Err(error) => {
                self.held().reading_until = None;
                Metric::CredentialRefreshFailures.add(1);
                tracing::warn!(%error, "the credentials could not be read again; the old ones are used: {error}");
            }
        }
        self.over.notify_waiters();
    }
}

async fn read(source: &dyn CredentialSource, allowed: &[Tier]) -> Result<Document, CredentialsError> {
    let of = |error| CredentialsError::Of { name: source.name(), source: Box::new(error) };
    let text = source.read().await.map_err(of)?;
    Document::parse(&text, allowed).map_err(of)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use shared::id::TenantId;

    /// Gives these texts, one after the other, and the last one forever. `None` never answers; `slow …` takes half a second, `late …`
    /// longer than until the next attempt.
    struct Texts(Mutex<VecDeque<Option<&'static str>>>);

    impl CredentialSource for Texts {
        fn read(&self) -> BoxFuture<'_, Result<String, CredentialsError>> {
            let mut texts = self.0.lock().unwrap();
            let text = if texts.len() > 1 { texts.pop_front().unwrap() } else { texts[0] };
            Box::pin(async move {
                match text {
                    None => std::future::pending().await,
                    Some("gone") => Err(CredentialsError::Unreadable("it is gone".to_owned())),
                    Some(text) => {
                        let (text, takes) = match text.split_once(' ') {
                            Some(("slow", text)) => (text, Duration::from_millis(500)),
                            Some(("late", text)) => (text, RETRY + RETRY / 2),
                            _ => (text, Duration::ZERO),
                        };
                        tokio::time::sleep(takes).await;
                        Ok(text.to_owned())
                    }
                }
            })
        }

        fn name(&self) -> String {
            "a test".to_owned()
        }
    }

    const ACME: &str = r#"{"tenants":[{"tenant":"acme","tier":"pro"}]}"#;
    const BETA: &str = r#"{"tenants":[{"tenant":"beta","tier":"pro"}]}"#;

    async fn credentials(texts: &[Option<&'static str>]) -> Result<Credentials, CredentialsError> {
        let mut config = Config::default();
        config.auth.refresh_seconds = 60;
        // Virtual time, like that of the time limit.
        let started = Instant::now();
        let clock = Clock::new(move || Timestamp::from_unix_ms(0).plus(started.elapsed()));
        Credentials::read(Texts(Mutex::new(texts.iter().copied().collect())), &config, clock).await
    }

    async fn knows(credentials: &Credentials, tenant: &str) -> bool {
        credentials.current().await.tenant(&TenantId::parse(tenant).unwrap()).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_read_again_when_they_are_old() {
        let credentials = credentials(&[Some(ACME), Some(BETA)]).await.unwrap();
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(knows(&credentials, "acme").await);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(knows(&credentials, "beta").await && !knows(&credentials, "acme").await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_ones_are_used_while_they_cannot_be_read_again_and_it_is_tried_every_ten_seconds() {
        let credentials = credentials(&[Some(ACME), Some("gone"), Some("{"), Some(BETA)]).await.unwrap();
        tokio::time::advance(Duration::from_mins(1)).await;
        for _ in 0..5 {
            assert!(knows(&credentials, "acme").await);
        }
        tokio::time::advance(RETRY).await;
        assert!(knows(&credentials, "acme").await);
        tokio::time::advance(RETRY).await;
        assert!(knows(&credentials, "beta").await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_delays_requests_a_little() {
        let credentials = credentials(&[Some(ACME), None]).await.unwrap();
        tokio::time::advance(Duration::from_mins(1)).await;
        let started = Instant::now();
        assert!(knows(&credentials, "acme").await);
        assert_eq!(started.elapsed(), WAIT);
        assert!(knows(&credentials, "acme").await);
        assert_eq!(started.elapsed(), WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_that_ends_after_a_later_one_does_not_bring_back_what_was_removed() {
        let late = concat!("late ", r#"{"tenants":[{"tenant":"acme","tier":"pro"}]}"#);
        let credentials = credentials(&[Some(ACME), Some(late), Some(BETA)]).await.unwrap();
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(knows(&credentials, "acme").await);
        tokio::time::sleep(RETRY).await;
        assert!(knows(&credentials, "beta").await);
        tokio::time::sleep(RETRY).await;
        assert!(knows(&credentials, "beta").await && !knows(&credentials, "acme").await);
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_are_older_than_two_refreshes_are_waited_for() {
        let slow = concat!("slow ", r#"{"tenants":[{"tenant":"beta","tier":"pro"}]}"#);
        let credentials = credentials(&[Some(ACME), None, Some(slow)]).await.unwrap();
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(knows(&credentials, "acme").await, "the first refresh hangs");
        tokio::time::advance(Duration::from_secs(61)).await;
        let started = Instant::now();
        assert!(knows(&credentials, "beta").await);
        assert_eq!(started.elapsed(), Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_come_while_they_are_read_again_wait_for_it() {
        let slow = concat!("slow ", r#"{"tenants":[{"tenant":"beta","tier":"pro"}]}"#);
        let credentials = credentials(&[Some(ACME), Some(slow)]).await.unwrap();
        // No request comes for a while. A key that was removed meanwhile works for none of the next ones.
        tokio::time::advance(Duration::from_hours(1)).await;
        let started = Instant::now();
        let known = futures::join!(knows(&credentials, "acme"), knows(&credentials, "acme"));
        assert_eq!((known, started.elapsed()), ((false, false), Duration::from_millis(500)));
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_does_not_keep_them_for_longer() {
        let now = Arc::new(Mutex::new(Timestamp::from_unix_ms(1_000_000_000)));
        let clock = Arc::clone(&now);
        let clock = Clock::new(move || *clock.lock().unwrap());
        let texts = Mutex::new([Some(ACME), Some(BETA)].into());
        let credentials = Credentials::read(Texts(texts), &Config::default(), clock).await.unwrap();
        assert!(knows(&credentials, "acme").await);
        *now.lock().unwrap() = Timestamp::from_unix_ms(0);
        assert!(knows(&credentials, "beta").await);
    }

    #[tokio::test]
    async fn a_first_read_that_fails_names_the_source() {
        let error = credentials(&[Some("gone")]).await.unwrap_err().to_string();
        insta::assert_snapshot!(error, @"a test: it is gone");
        let error = credentials(&[Some("{")]).await.unwrap_err().to_string();
        insta::assert_snapshot!(error, @"a test: the credentials are not JSON: line 1, column 1 (docs/deploy.md#credentials has an example)");
    }

    #[tokio::test]
    async fn nothing_of_them_is_printed() {
        let credentials = credentials(&[Some(ACME)]).await.unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials(…)");
    }
}
