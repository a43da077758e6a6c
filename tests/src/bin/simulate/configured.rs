//! The configurations: each start and each rollover has another one, of everything that an operator may change between two
//! deployments. During a rollover old and new functions run at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use shared::config::{ArchiveContent, Config, ItemContent, Quota, TransformStep};
use shared::id::TenantId;
use shared::tier::Tier;
use tokio::time::Instant;

use crate::scenario::{Configures, pick};
use crate::world::World;

/// How long an old function may still be called after the new one was deployed.
const OVERLAP: Duration = Duration::from_secs(30);
/// `publish.budget_ms`, `attempt_ms` and `spill_ms`: longer than a call usually takes, else no request is accepted.
const BUDGETS: [(u64, u64, u64); 4] =
    [(250, 120, 150), (250, 120, 150), (130, 100, 100), (2_000, 500, 1_000)];
/// The tier that every configuration allows.
pub(crate) const TIER: &str = "pro";

/// The deployed configuration, and the one before as long as functions with it run.
#[derive(Clone)]
pub(crate) struct Deployed {
    world: World,
    versions: Arc<Mutex<Versions>>,
}

struct Versions {
    now: Arc<Config>,
    before: Option<(Arc<Config>, Instant)>,
}

impl Deployed {
    /// At the first start.
    pub(crate) fn new(world: &World) -> Self {
        let config = match world.scenario().configures {
            Configures::Never => {
                let mut config = Config::default();
                config.reads.enabled = Some(false);
                config
            }
            Configures::Once | Configures::EachTime => world.random(config),
        };
        let now = of_the_run(world, config);
        Self { world: world.clone(), versions: Arc::new(Mutex::new(Versions { now, before: None })) }
    }

    fn versions(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Arc<Config> {
        match self.world.scenario().configures {
            Configures::EachTime => of_the_run(&self.world, self.world.random(config)),
            Configures::Never | Configures::Once => self.now(),
        }
    }

    pub(crate) fn now(&self) -> Arc<Config> {
        Arc::clone(&self.versions().now)
    }

    /// At another start: no function with the old configuration is left.
    pub(crate) fn replace(&self) -> Arc<Config> {
        let now = self.next();
        let mut versions = self.versions();
        if !Arc::ptr_eq(&now, &versions.now) {
            self.world.count("starts with another configuration");
        }
        *versions = Versions { now: Arc::clone(&now), before: None };
        drop(versions);
        now
    }

    pub(crate) fn roll_over(&self) -> Arc<Config> {
        let now = self.next();
        self.world.count("rollovers");
        let mut versions = self.versions();
        let until = Instant::now() + OVERLAP;
        let before = std::mem::replace(&mut versions.now, Arc::clone(&now));
        versions.before = Some((before, until));
        now
    }

    /// The configuration of the function that is called next, and whether it is the old one. `old` counts such calls.
    pub(crate) fn of_a_call(&self, old: &'static str) -> (Arc<Config>, bool) {
        let versions = self.versions();
        let before = versions.before.as_ref().filter(|(_, until)| Instant::now() < *until);
        match before {
            Some((before, _)) if self.world.random(Rng::bool) => {
                self.world.count(old);
                (Arc::clone(before), true)
            }
            _ => (Arc::clone(&versions.now), false),
        }
    }
}

/// A configuration. Records, objects and bodies are smaller than a file may ask for, so that small events become claim checks and
/// texts of their own, and some requests are refused.
fn config(random: &mut Rng) -> Config {
    let mut config = Config::default();
    let tiers: [&[&str]; 3] = [&["free", TIER, "enterprise"], &[TIER], &["free", TIER]];
    let tiers = pick(random, &tiers);
    config.tiers.allowed = tiers.iter().map(|name| tier(name)).collect();
    config.tiers.default = pick(random, &[None, Some(TIER)]).map(tier);
    if random.u64(..4) == 0 {
        let quota = Quota { requests_per_second: Some(1), requests_burst: Some(2), ..Quota::default() };
        config.quotas.tenants.insert(tenant("t1"), quota);
    }
    config.limits.batch_events = *pick(random, &[3, config.limits.batch_events]);
    if random.u64(..8) == 0 {
        config.limits.body_bytes = 5_000;
    }
    config.limits.batch_bytes =
        *pick(random, &[10_000, config.limits.batch_bytes, config.limits.batch_bytes]);
    let (budget_ms, attempt_ms, spill_ms) = *pick(random, &BUDGETS);
    (config.publish.budget_ms, config.publish.attempt_ms, config.publish.spill_ms) =
        (budget_ms, attempt_ms, spill_ms);
    config.publish.claim_check_ms = *pick(random, &[200, 10_000, 10_000]);
    config.publish.record_bytes = *pick(random, &[1_500, 4_000, config.publish.record_bytes]);
    config.publish.compress_from_bytes = *pick(random, &[1, 1_024, config.publish.compress_from_bytes]);
    config.archive.object_bytes = *pick(random, &[3_000, 8_000, config.archive.object_bytes]);
    config.archive.compression_level = *pick(random, &[1, 6, 9]);
    config.archive.window_seconds = *pick(random, &[1, 3, 3, 10]);
    config.archive.content = *pick(random, &[ArchiveContent::Transformed, ArchiveContent::Both]);
    config.items.content = *pick(random, &[ItemContent::Both, ItemContent::Changed, ItemContent::Reference]);
    config.items.days_to_live.insert(tier(TIER), *pick(random, &[19, 90]));
    let steps: &[&[TransformStep]] = &[
        &[TransformStep::Redact],
        &[],
        &[TransformStep::Uppercase, TransformStep::Redact],
        &[TransformStep::Redact, TransformStep::Enrich],
    ];
    config.transform.steps = pick(random, steps).to_vec();
    config.transform.enrich.insert("brand".to_owned(), json!("example"));
    config.consumer.timeout_seconds = *pick(random, &[30, 60]);
    config.reads.enabled = Some(random.bool());
    if random.bool() {
        config.tenants.spread.insert(tenant("t0"), *pick(random, &[2, 3]));
    }
    config
}

/// With what is the same in all configurations of a run.
fn of_the_run(world: &World, mut config: Config) -> Arc<Config> {
    if let Some(dispatch) = &world.scenario().dispatch {
        dispatch.configure(&mut config);
    }
    if let Some(credentials) = &world.scenario().credentials {
        credentials.configure(&mut config);
    }
    Arc::new(config)
}

fn tier(name: &str) -> Tier {
    Tier::parse(name).expect("it is a tier's name")
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("it is a tenant's id")
}
