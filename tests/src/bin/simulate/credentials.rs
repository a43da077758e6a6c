//! The keys of tenants: they change while requests are under way, and the document that has them cannot be read for a while.
//!
//! A key is known, or not known any more, after the time that `auth.refresh_seconds` says, unless the document could not be read then.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use futures::future::BoxFuture;
use ingest_fn::credentials::{CredentialSource, Credentials, CredentialsError};
use serde_json::json;
use shared::config::{AuthMode, Config};
use shared::digest::sha256;
use tokio::time::sleep;

use crate::configured::TIER;
use crate::scenario::{pick, within};
use crate::world::{Process, World};

const TENANTS: [&str; 3] = ["t0", "t1", "t2"];
/// What a read of the document may take, and the wait for it.
const READ: Duration = Duration::from_secs(2);
/// After a failed read the next one is made so much later.
const RETRY: Duration = Duration::from_secs(10);

/// Keys by their tenants. A key begins with its tenant.
type Keys = BTreeMap<&'static str, Vec<String>>;

/// What a seed decides about credentials.
#[derive(Debug)]
pub(crate) struct Rotating {
    refresh_seconds: u64,
    /// The documents, each with the time when it replaces the one before.
    documents: Vec<(Duration, Keys)>,
    damages: Vec<Damage>,
}

/// For a while the document cannot be read as usual.
#[derive(Debug)]
struct Damage {
    from: Duration,
    until: Duration,
    kind: DamageKind,
}

#[derive(Clone, Copy, Debug)]
enum DamageKind {
    Unreadable,
    HalfWritten,
    Slow,
    NotAnswered,
}

impl Rotating {
    pub(crate) fn new(random: &mut Rng, length: Duration) -> Self {
        let mut keys: Keys = TENANTS.map(|tenant| (tenant, vec![format!("{tenant}-0")])).into();
        let mut documents = vec![(Duration::ZERO, keys.clone())];
        let mut times: Vec<_> = (0..random.u64(1..6)).map(|_| within(random, length)).collect();
        times.sort_unstable();
        for (index, at) in times.into_iter().enumerate() {
            let tenant = *pick(random, &TENANTS);
            let of_tenant = keys.entry(tenant).or_default();
            let new = format!("{tenant}-{}", index + 1);
            match random.u64(..4) {
                // Revoked: the tenant has none.
                0 => of_tenant.clear(),
                // Another one at once.
                1 => *of_tenant = vec![new],
                // Another one beside, as `docs/deploy.md` says; later the old one goes.
                _ if of_tenant.len() > 1 => drop(of_tenant.remove(0)),
                _ => of_tenant.push(new),
            }
            documents.push((at, keys.clone()));
        }
        for (tenant, of_tenant) in &mut keys {
            if of_tenant.is_empty() {
                of_tenant.push(format!("{tenant}-last"));
            }
        }
        documents.push((length, keys));
        let kinds =
            [DamageKind::Unreadable, DamageKind::HalfWritten, DamageKind::Slow, DamageKind::NotAnswered];
        let damage = |random: &mut Rng| {
            let from = Duration::from_secs(1) + within(random, length);
            let until = from + Duration::from_millis(random.u64(1_000..30_000));
            Damage { from, until, kind: *pick(random, &kinds) }
        };
        let damages = (0..random.u64(..3)).map(|_| damage(random)).collect();
        Self { refresh_seconds: *pick(random, &[3, 10]), documents, damages }
    }

    pub(crate) fn configure(&self, config: &mut Config) {
        (config.auth.mode, config.auth.refresh_seconds) = (AuthMode::ApiKey, self.refresh_seconds);
    }

    /// The newest key that the tenant has at that time, or had before.
    pub(crate) fn newest(&self, tenant: &str, at: Duration) -> String {
        let known = self.until(at).rev().find_map(|keys| keys[tenant].last());
        known.expect("each tenant has a key at first").clone()
    }

    /// Usually the newest key; one that the tenant had before; one of another tenant; or none that there ever was.
    pub(crate) fn any(&self, random: &mut Rng, tenant: &str, at: Duration) -> String {
        match random.u64(..20) {
            0 => format!("{tenant}-never"),
            1 => {
                let other = *pick(random, &TENANTS);
                self.newest(other, at)
            }
            2..8 => {
                let keys: Vec<_> = self.until(at).flat_map(|keys| &keys[tenant]).collect();
                (*pick(random, &keys)).clone()
            }
            _ => self.newest(tenant, at),
        }
    }

    fn until(&self, at: Duration) -> impl DoubleEndedIterator<Item = &Keys> {
        self.documents.iter().filter(move |(from, _)| *from <= at).map(|(_, keys)| keys)
    }

    fn at(&self, at: Duration) -> &Keys {
        self.until(at).next_back().expect("the first one is there from the beginning")
    }

    /// Whether the key was in the document at some time from `from` to `until`, and whether it was always.
    fn has(&self, key: &str, from: Duration, until: Duration) -> (bool, bool) {
        let later = self.documents.iter().filter(|(at, _)| *at > from && *at <= until).map(|(_, keys)| keys);
        let mut all = std::iter::once(self.at(from)).chain(later);
        let has = |keys: &Keys| keys[tenant(key)].iter().any(|other| other == key);
        let first = all.next().is_some_and(has);
        all.map(has).fold((first, first), |(some, every), has| (some || has, every && has))
    }

    fn document(&self, at: Duration) -> String {
        let tenants = self.at(at).iter().filter(|(_, keys)| !keys.is_empty()).map(|(tenant, keys)| {
            let hashes: Vec<_> = keys.iter().map(|key| sha256(key.as_bytes())).collect();
            json!({"tenant": tenant, "tier": TIER, "api_keys_sha256": hashes})
        });
        json!({"tenants": tenants.collect::<Vec<_>>()}).to_string()
    }

    /// Since when the document that a request at `sent` goes by can be the newest one. It is as old as a refresh, and what a set clock
    /// makes that longer. While the document is damaged, it is the one that an ingest read last: at `last`, or later.
    fn oldest(&self, sent: Duration, clock_jumps: &[(Duration, i64)], last: Duration) -> Duration {
        let refresh = Duration::from_secs(self.refresh_seconds);
        let age = refresh + READ;
        let jumps = clock_jumps.iter().map(|(at, _)| (*at, *at + refresh));
        let damages = self.damages.iter().map(|damage| (damage.from, damage.until + RETRY));
        let mut longer: Vec<_> = jumps.chain(damages).collect();
        longer.sort_unstable_by_key(|(from, _)| std::cmp::Reverse(*from));
        let mut oldest = sent.saturating_sub(age);
        loop {
            let before = oldest;
            for (from, until) in &longer {
                if *from <= sent && *until + READ >= oldest {
                    oldest = oldest.min(from.saturating_sub(age)).min(last);
                }
            }
            if oldest == before {
                return oldest;
            }
        }
    }
}

/// Of a key.
pub(crate) fn tenant(key: &str) -> &str {
    key.split('-').next().unwrap_or_default()
}

/// Judges that a request with this key was refused for it, or was not. Returns whether the key was taken.
pub(crate) fn judge(world: &World, key: &str, sent: Duration, is_refused: bool) -> bool {
    let scenario = world.scenario();
    let rotating = scenario.credentials.as_ref().expect("this run has credentials");
    let last = world.state().data.credentials_read.values().min().copied().unwrap_or(sent);
    let oldest = rotating.oldest(sent, &scenario.clock_jumps, last);
    let (some, every) = rotating.has(key, oldest, world.elapsed());
    world.count(match (some, every) {
        (_, true) => "requests with a key that is known",
        (true, false) => "requests with a key that changes",
        (false, _) => "requests with a key that is not known",
    });
    if is_refused && every {
        world.violation(format_args!("the key {key} is refused, and was there since {oldest:?}"));
    }
    if !is_refused && !some {
        world.violation(format_args!("the key {key} is taken, and was not there since {oldest:?}"));
    }
    !is_refused
}

/// The credentials of a function that starts; `None` if it cannot read them.
pub(crate) async fn of(process: &Process, config: &Config) -> Option<Credentials> {
    let world = process.world();
    if world.scenario().credentials.is_none() {
        return Some(Credentials::none());
    }
    let source = SimSource { process: process.clone(), number: world.random(|random| random.u64(..)) };
    // One that is not answered is killed, and starts again.
    let read = tokio::time::timeout(READ, Credentials::read(source, config, world.clock())).await;
    if !matches!(read, Ok(Ok(_))) {
        world.count("starts without credentials");
    }
    read.ok()?.ok()
}

/// The secret with the document, or its file.
struct SimSource {
    process: Process,
    /// Of the ingest.
    number: u64,
}

impl Drop for SimSource {
    fn drop(&mut self) {
        self.process.world().state().data.credentials_read.remove(&self.number);
    }
}

impl CredentialSource for SimSource {
    fn read(&self) -> BoxFuture<'_, Result<String, CredentialsError>> {
        Box::pin(async {
            self.process.while_alive().await;
            let world = self.process.world();
            let rotating = world.scenario().credentials.as_ref().expect("this run has credentials");
            let now = world.elapsed();
            let damages = rotating.damages.iter();
            let damage = damages
                .filter(|_| world.state().is_failing())
                .find(|damage| (damage.from..damage.until).contains(&now));
            world.note(format_args!("the credentials are read: {damage:?}"));
            let latency = world.random(|random| random.u64(..=world.scenario().latency_ms));
            sleep(Duration::from_millis(latency)).await;
            match damage.map(|damage| damage.kind) {
                None => {}
                Some(DamageKind::Slow) => {
                    world.count("credentials that are slow");
                    sleep(Duration::from_millis(world.random(|random| random.u64(50..2_000)))).await;
                }
                Some(DamageKind::NotAnswered) => {
                    world.count("credentials that are not answered");
                    return std::future::pending().await;
                }
                Some(DamageKind::Unreadable) => {
                    world.count("credentials that cannot be read");
                    return Err(CredentialsError::Unreadable("refused".to_owned()));
                }
                Some(DamageKind::HalfWritten) => {
                    world.count("credentials that are half written");
                    let document = rotating.document(world.elapsed());
                    return Ok(document[..document.len() / 2].to_owned());
                }
            }
            let read = world.elapsed();
            world.state().data.credentials_read.insert(self.number, read);
            Ok(rotating.document(read))
        })
    }

    fn name(&self) -> String {
        "the simulated secret".to_owned()
    }
}
