//! How much a tenant may send: requests and bytes in a second, by its tier or by its own quota. Counted in this process
//! only (ARCHITECTURE.md#quotas).

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{NotUntil, Quota as Rate, RateLimiter};
use shared::config::{Config, Quota};
use shared::id::TenantId;
use shared::limits;
use shared::tier::Tier;
use shared::time::{Clock, Timestamp};

use crate::admit::Sender;
use crate::rejection::Rejection;

/// How often tenants that are no more limited are forgotten: after so many checks. Else every tenant that a sender makes
/// up would stay in memory.
const CLEANING: u32 = 1_000;

/// The limiters of all tenants.
#[derive(Debug)]
pub(crate) struct Quotas {
    tiers: HashMap<Tier, Limiters>,
    tenants: HashMap<TenantId, Limiters>,
    /// Of all others.
    others: Limiters,
    default: Key,
    checks: AtomicU32,
}

/// `None` does not limit.
#[derive(Debug)]
struct Limiters {
    requests: Option<Limiter>,
    bytes: Option<Limiter>,
}

#[derive(Debug)]
struct Limiter {
    what: &'static str,
    per_second: u32,
    burst: NonZeroU32,
    /// Requests that name no tenant share a key.
    tenants: RateLimiter<Key, DashMapStateStore<Key>, SinceStart, NoOpMiddleware<Nanos>>,
    /// What was taken over the quota. It is charged before anything else.
    owed: Mutex<HashMap<Key, u64>>,
    clock: SinceStart,
}

type Key = Option<TenantId>;

/// Which quota is used up, and when to send again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exceeded {
    what: &'static str,
    per_second: u32,
    retry_after: Duration,
}

impl From<Exceeded> for Rejection {
    fn from(Exceeded { what, per_second, retry_after }: Exceeded) -> Self {
        Self::QuotaExceeded { what, per_second, retry_after }
    }
}

/// The time that has passed since the start. A monotonic clock may stand still while Lambda has frozen the sandbox; then a
/// tenant that sends rarely would be refused.
#[derive(Clone, Debug)]
struct SinceStart {
    clock: Clock,
    passed: Arc<Mutex<Passed>>,
}

#[derive(Debug)]
struct Passed {
    until: Timestamp,
    time: Duration,
}

impl SinceStart {
    fn new(clock: &Clock) -> Self {
        let passed = Passed { until: clock.now(), time: Duration::ZERO };
        Self { clock: clock.clone(), passed: Arc::new(Mutex::new(passed)) }
    }
}

impl governor::clock::Clock for SinceStart {
    type Instant = Nanos;

    /// It never goes back: if the clock is set back, all tenants would be refused until it is where it was.
    fn now(&self) -> Nanos {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let time = passed.time + now.since(passed.until);
        *passed = Passed { until: now, time };
        time.into()
    }
}

impl Quotas {
    pub(crate) fn new(config: &Config, clock: &Clock) -> Self {
        let clock = SinceStart::new(clock);
        let body = config.limits.body_bytes;
        let quotas = &config.quotas;
        Self {
            tiers: quotas
                .tiers
                .iter()
                .map(|(tier, quota)| (tier.clone(), Limiters::new(quota, body, &clock)))
                .collect(),
            tenants: quotas
                .tenants
                .iter()
                .map(|(tenant, quota)| (tenant.clone(), Limiters::new(quota, body, &clock)))
                .collect(),
            others: Limiters::new(&quotas.default, body, &clock),
            default: config.tenants.default.clone(),
            checks: AtomicU32::new(0),
        }
    }

    /// Charges a request.
    pub(crate) fn request(&self, sender: &Sender) -> Result<(), Rejection> {
        self.clean();
        let tenant = self.tenant(sender);
        match self.of(sender, tenant).and_then(|limiters| limiters.requests.as_ref()) {
            Some(limiter) => Ok(limiter.charge(tenant, 1)?),
            None => Ok(()),
        }
    }

    /// Charges a body as it came, before any work on it. With no bytes, it is still refused if the tenant owes some.
    pub(crate) fn received(&self, sender: &Sender, bytes: usize) -> Result<(), Rejection> {
        let tenant = self.tenant(sender);
        match self.of(sender, tenant).and_then(|limiters| limiters.bytes.as_ref()) {
            Some(limiter) => Ok(limiter.charge(tenant, bytes)?),
            None => Ok(()),
        }
    }

    /// Charges what decompression added to a body, or what its events count more than it. The work is done, so it is never
    /// refused: what exceeds the quota is owed, and the tenant's next bodies are refused, before they are decompressed, until
    /// it is paid.
    pub(crate) fn added(&self, sender: &Sender, bytes: usize) {
        let tenant = self.tenant(sender);
        if let Some(limiter) = self.of(sender, tenant).and_then(|limiters| limiters.bytes.as_ref()) {
            limiter.owe(tenant, bytes);
        }
    }

    /// Charges the events of a body of `body_bytes` bytes, each with the bytes of its line. Where the request was charged
    /// before, only what small events count more is missing. Else each event's tenant pays, and of a tenant that owes already the
    /// events are refused.
    pub(crate) fn events<'a>(
        &self,
        sender: &Sender,
        body_bytes: usize,
        events: impl Iterator<Item = (&'a TenantId, usize)>,
    ) -> HashMap<TenantId, Exceeded> {
        if self.of(sender, self.tenant(sender)).is_some() {
            let least = events.count() * limits::EVENT_QUOTA_BYTES;
            self.added(sender, least.saturating_sub(body_bytes));
            return HashMap::new();
        }
        let mut costs: HashMap<&TenantId, usize> = HashMap::new();
        for (tenant, bytes) in events {
            *costs.entry(tenant).or_default() += bytes.max(limits::EVENT_QUOTA_BYTES);
        }
        let charge = |(tenant, cost): (&TenantId, usize)| {
            let limiter = self.tenants.get(tenant).unwrap_or(&self.others).bytes.as_ref()?;
            let tenant = Some(tenant.clone());
            let refused = limiter.charge(&tenant, 0).err();
            if refused.is_none() {
                limiter.owe(&tenant, cost);
            }
            tenant.zip(refused)
        };
        costs.into_iter().filter_map(charge).collect()
    }

    fn tenant<'a>(&'a self, sender: &'a Sender) -> &'a Key {
        if sender.tenant.is_some() { &sender.tenant } else { &self.default }
    }

    /// `None` if no quota holds for the whole request: its events may be of several tenants.
    fn of(&self, sender: &Sender, tenant: &Key) -> Option<&Limiters> {
        let own = tenant.as_ref().and_then(|tenant| self.tenants.get(tenant));
        let known = own.or_else(|| self.tiers.get(&sender.tier));
        known.or_else(|| sender.tenant.is_some().then_some(&self.others))
    }

    fn clean(&self) {
        if !self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(CLEANING) {
            return;
        }
        for limiter in self.limiters() {
            // A tenant that does not come back.
            limiter.owed().retain(|tenant, owed| limiter.pay(tenant, owed).is_err());
            limiter.tenants.retain_recent();
            limiter.tenants.shrink_to_fit();
        }
    }

    fn limiters(&self) -> impl Iterator<Item = &Limiter> {
        let all = self.tiers.values().chain(self.tenants.values()).chain([&self.others]);
        all.flat_map(|Limiters { requests, bytes }| requests.iter().chain(bytes))
    }
}

impl Limiters {
    fn new(quota: &Quota, body_bytes: usize, clock: &SinceStart) -> Self {
        let Quota { requests_per_second, requests_burst, bytes_per_second, bytes_burst } = *quota;
        let body = u32::try_from(body_bytes).unwrap_or(u32::MAX);
        let limiter = |what, per_second: Option<u32>, burst: Option<u32>, least: u32| {
            let per_second = per_second?;
            let rate = Rate::per_second(NonZeroU32::new(per_second)?);
            let burst = NonZeroU32::new(burst.unwrap_or(per_second).max(least))?;
            let tenants = RateLimiter::dashmap_with_clock(rate.allow_burst(burst), clock.clone());
            Some(Limiter { what, per_second, burst, tenants, owed: Mutex::default(), clock: clock.clone() })
        };
        Self {
            requests: limiter("requests", requests_per_second, requests_burst, 1),
            // With less, the largest body could never be accepted.
            bytes: limiter("bytes", bytes_per_second, bytes_burst, body),
        }
    }
}

impl Limiter {
    fn charge(&self, tenant: &Key, amount: usize) -> Result<(), Exceeded> {
        let amount = u32::try_from(amount).unwrap_or(u32::MAX);
        let mut all_owed = self.owed();
        if let Some(owed) = all_owed.get_mut(tenant) {
            self.pay(tenant, owed).map_err(|wait| {
                // After the last part nothing is left, so the amount takes its own time.
                let is_last = *owed <= u64::from(self.burst.get());
                let its_own = if is_last { amount } else { 0 };
                self.exceeded(wait + Duration::from_secs(1) * its_own / self.per_second)
            })?;
            all_owed.remove(tenant);
        }
        drop(all_owed);
        // The burst has room for the largest body.
        let Some(amount) = NonZeroU32::new(amount.min(self.burst.get())) else { return Ok(()) };
        match self.tenants.check_key_n(tenant, amount) {
            Ok(Err(early)) => Err(self.exceeded(self.wait(&early))),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    fn owe(&self, tenant: &Key, amount: usize) {
        let mut all_owed = self.owed();
        let owed = all_owed.entry(tenant.clone()).or_default();
        *owed += amount as u64;
        if self.pay(tenant, owed).is_ok() {
            all_owed.remove(tenant);
        }
    }

    /// Pays all of it, or as many whole bursts as are there. Fails with the time until the next part can be paid.
    fn pay(&self, tenant: &Key, owed: &mut u64) -> Result<(), Duration> {
        while let Some(part) = NonZeroU32::new(u32::try_from(*owed).unwrap_or(u32::MAX)) {
            let part = part.min(self.burst);
            match self.tenants.check_key_n(tenant, part) {
                Ok(Err(early)) => return Err(self.wait(&early)),
                Ok(Ok(())) | Err(_) => *owed -= u64::from(part.get()),
            }
        }
        Ok(())
    }

    fn owed(&self) -> MutexGuard<'_, HashMap<Key, u64>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, early: &NotUntil<Nanos>) -> Duration {
        early.wait_time_from(self.clock.now())
    }

    fn exceeded(&self, wait: Duration) -> Exceeded {
        // A second begun counts whole: a client that comes earlier would be refused again.
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let (what, per_second) = (self.what, self.per_second);
        Exceeded { what, per_second, retry_after: Duration::from_secs(whole.max(1)) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use super::*;

    /// A clock that the test sets.
    #[derive(Clone, Default)]
    struct Time(Arc<AtomicI64>);

    impl Time {
        fn advance(&self, by: Duration) {
            self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
        }

        fn set_back(&self, by: Duration) {
            self.0.fetch_sub(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
        }

        fn clock(&self) -> Clock {
            let now = Arc::clone(&self.0);
            Clock::new(move || Timestamp::from_unix_ms(1_795_253_400_123 + now.load(Ordering::Relaxed)))
        }
    }

    fn quotas(toml: &str) -> (Quotas, Time) {
        let time = Time::default();
        let config = shared::config::parse(std::path::Path::new("test"), toml, []).unwrap();
        (Quotas::new(&config, &time.clock()), time)
    }

    fn sender(tier: &str, tenant: &str) -> Sender {
        let tenant = (!tenant.is_empty()).then(|| TenantId::parse(tenant).unwrap());
        Sender { tier: Tier::parse(tier).unwrap(), tenant, is_proven: false }
    }

    /// How many requests are taken, one after the other, until one is refused; and how long to wait then.
    fn burst(quotas: &Quotas, sender: &Sender) -> (usize, u64) {
        for taken in 0..10_000 {
            match quotas.request(sender) {
                Ok(()) => {}
                Err(Rejection::QuotaExceeded { retry_after, .. }) => return (taken, retry_after.as_secs()),
                Err(other) => panic!("{other}"),
            }
        }
        (10_000, 0)
    }

    #[test]
    fn each_tenant_of_a_tier_has_its_own_quota() {
        let (quotas, _time) = quotas("[quotas.tiers]\nfree = { requests_per_second = 5 }");
        assert_eq!(burst(&quotas, &sender("free", "acme")), (5, 1));
        assert_eq!(burst(&quotas, &sender("free", "beta")), (5, 1));
        assert_eq!(burst(&quotas, &sender("free", "")), (5, 1));
        assert_eq!(burst(&quotas, &sender("pro", "acme")), (10_000, 0));
    }

    #[test]
    fn a_tenants_own_quota_replaces_that_of_its_tier() {
        let (quotas, _time) = quotas(
            "[quotas.tiers]\nfree = { requests_per_second = 5 }\n[quotas.tenants]\nacme = { requests_per_second = 2, requests_burst = 7 }\nbeta = {}",
        );
        assert_eq!(burst(&quotas, &sender("free", "acme")), (7, 1));
        assert_eq!(burst(&quotas, &sender("free", "beta")), (10_000, 0));
        assert_eq!(burst(&quotas, &sender("free", "gamma")), (5, 1));
    }

    #[test]
    fn a_tenant_without_a_quota_of_its_own_or_its_tiers_has_the_default() {
        let (quotas, _time) = quotas("[quotas.tenants]\nbeta = {}");
        let send = |tenant| {
            let sender = sender("free", tenant);
            (0..100).take_while(|_| quotas.received(&sender, 1_000_000).is_ok()).count()
        };
        assert_eq!((send("acme"), send("gamma"), send("beta")), (20, 20, 100));
        let (none, _time) = super::tests::quotas("[quotas]\ndefault = {}");
        assert!((0..100).all(|_| none.received(&sender("free", "acme"), 10_000_000).is_ok()));
    }

    #[test]
    fn events_that_name_their_tenant_in_the_body_are_charged_to_it_and_to_no_other() {
        let (quotas, time) = quotas("[quotas.tenants]\nbeta = {}");
        let [bad, good, beta] = ["bad", "good", "beta"].map(|tenant| TenantId::parse(tenant).unwrap());
        let unnamed = sender("free", "");
        let tiny = |tenant| quotas.events(&unnamed, 30_000, std::iter::repeat_n((tenant, 3), 10_000));
        let refused = |tenant| [(); 5].map(|()| tiny(tenant).len());
        // Each is 10 MB: the third one exceeds the burst, and is owed; the next ones are refused.
        assert_eq!((refused(&bad), refused(&beta)), ([0, 0, 0, 1, 1], [0; 5]));
        let both = quotas.events(&unnamed, 6, [(&good, 3), (&bad, 3)].into_iter());
        assert_eq!(both.keys().collect::<Vec<_>>(), [&bad]);
        // The same quota as by header.
        assert!(quotas.received(&sender("free", "bad"), 1).is_err());
        time.advance(both[&bad].retry_after);
        assert_eq!(tiny(&bad).len(), 0);
    }

    #[test]
    fn of_a_request_that_was_charged_whole_small_events_count_as_1024_bytes() {
        let (quotas, _time) = quotas("[quotas.tiers]\nfree = { bytes_per_second = 1000000 }");
        for (tenant, refused) in [("acme", true), ("", true)] {
            let sender = sender("free", tenant);
            let named = TenantId::parse("acme").unwrap();
            quotas.received(&sender, 30_000).unwrap();
            let refused_events =
                quotas.events(&sender, 30_000, std::iter::repeat_n((&named, 3), 10_240)).len();
            assert_eq!((refused_events, quotas.received(&sender, 1).is_err()), (0, refused), "{tenant}");
        }
    }

    #[test]
    fn over_a_minute_a_tenant_gets_its_rate_and_one_burst() {
        let (quotas, time) =
            quotas("[quotas.tiers]\nfree = { requests_per_second = 10, requests_burst = 20 }");
        let acme = sender("free", "acme");
        let mut taken = 0;
        for _ in 0..6_000 {
            taken += usize::from(quotas.request(&acme).is_ok());
            time.advance(Duration::from_millis(10));
        }
        assert_eq!(taken, 20 + 600 - 1);
    }

    #[test]
    fn a_clock_that_is_set_back_refuses_no_one_for_longer() {
        let (quotas, time) = quotas("[quotas.tiers]\nfree = { requests_per_second = 5 }");
        let acme = sender("free", "acme");
        // Also before the start, which was at a time that is in the future now.
        for _ in 0..3 {
            assert_eq!(burst(&quotas, &acme), (5, 1));
            time.set_back(Duration::from_hours(1));
            assert_eq!(burst(&quotas, &acme), (0, 1));
            time.advance(Duration::from_secs(1));
        }
    }

    #[test]
    fn a_client_that_waits_as_long_as_the_answer_says_is_accepted() {
        let (quotas, time) = quotas("[quotas.tiers]\nfree = { bytes_per_second = 1000000 }");
        let acme = sender("free", "acme");
        quotas.received(&acme, 10_485_760).unwrap();
        let Err(Rejection::QuotaExceeded { retry_after, .. }) = quotas.received(&acme, 2_500_000) else {
            panic!("the burst is used up");
        };
        assert_eq!(retry_after.as_secs(), 3);
        time.advance(retry_after);
        quotas.received(&acme, 2_500_000).unwrap();
    }

    #[test]
    fn the_largest_body_is_possible_whatever_the_rate() {
        let (quotas, _time) = quotas("[quotas.tiers]\nfree = { bytes_per_second = 1 }");
        let acme = sender("free", "acme");
        quotas.received(&acme, 10_485_760).unwrap();
        assert!(quotas.received(&acme, 1).is_err());
        quotas.received(&acme, 0).unwrap();
    }

    /// The inflated bodies of a minute are at most the rate, one burst, and the body that exceeded them.
    #[test]
    fn what_decompression_adds_is_owed_and_paid_before_the_next_body() {
        let (quotas, time) = quotas("[quotas.tiers]\nfree = { bytes_per_second = 1000000 }");
        let (acme, body) = (sender("free", "acme"), 10_000_000);
        let mut taken = 0;
        for _ in 0..6_000 {
            if quotas.received(&acme, 10_000).is_ok() {
                quotas.added(&acme, body - 10_000);
                taken += body;
            }
            time.advance(Duration::from_millis(10));
        }
        assert!((60_000_000..=60_000_000 + 10_485_760 + body).contains(&taken), "{taken}");
    }

    #[test]
    fn a_client_that_owes_and_waits_as_long_as_the_answer_says_is_accepted() {
        let (quotas, time) = quotas("[quotas.tiers]\nfree = { bytes_per_second = 1000000 }");
        let (acme, beta) = (sender("free", "acme"), sender("free", "beta"));
        // More than a burst is owed, by bodies that came at the same time.
        for _ in 0..3 {
            quotas.received(&acme, 1_000_000).unwrap();
        }
        for _ in 0..3 {
            quotas.added(&acme, 9_000_000);
        }
        quotas.received(&beta, 1_000_000).unwrap();
        let mut waited = 0;
        while let Err(rejection) = quotas.received(&acme, 2_000_000) {
            let Rejection::QuotaExceeded { retry_after, .. } = rejection else { panic!("{rejection}") };
            waited += retry_after.as_secs();
            time.advance(retry_after);
        }
        assert!((22..=24).contains(&waited), "30,000,000 less a burst, and what is sent now: {waited}");
        let known: usize = quotas.limiters().map(|limiter| limiter.owed().len()).sum();
        assert_eq!(known, 0);
    }

    #[test]
    fn what_a_tenant_owes_that_does_not_come_back_does_not_stay_in_memory() {
        let (quotas, time) = quotas("[quotas.tiers]\nfree = { bytes_per_second = 1000000 }");
        for index in 0..3 * CLEANING {
            let tenant = sender("free", &format!("tenant-{index}"));
            quotas.request(&tenant).unwrap();
            quotas.added(&tenant, 20_000_000);
            time.advance(Duration::from_secs(1));
        }
        let known: usize = quotas.limiters().map(|limiter| limiter.owed().len()).sum();
        assert!(known < 2 * CLEANING as usize, "{known} tenants are still known");
    }

    #[test]
    fn tenants_that_a_sender_makes_up_do_not_stay_in_memory() {
        let (quotas, time) = quotas("[quotas.tiers]\nfree = { requests_per_second = 10 }");
        for index in 0..100_000 {
            quotas.request(&sender("free", &format!("tenant-{index}"))).unwrap();
            time.advance(Duration::from_millis(1));
        }
        let known: usize = quotas.limiters().map(|limiter| limiter.tenants.len()).sum();
        assert!(known < 2 * CLEANING as usize, "{known} tenants are still known");
    }
}
