//! What is sent: request 0, 1, 2, … of a run. Each follows from the seed, the run's name and its number alone, so nothing of it
//! needs to stay in memory: what should be stored is made a second time when it is checked.
//!
//! | file | holds |
//! |---|---|
//! | `event.rs` | one event: its text, its members, its content hash |
//! | `kind.rs` | which kinds of requests there are, and how often |
//! | `tenants.rs` | who sends, and how often |

mod event;
mod kind;
mod tenants;

use accept::client::Call;
use anyhow::{Context, ensure};
use fastrand::Rng;
use shared::config::Config;
use shared::format::facts::Source;
use shared::gzip::{self, Level};
use shared::tier::Tier;

pub use event::Event;
pub use tenants::Key;

use event::Naming;
use kind::Kind;
use tenants::Tenants;

/// Objects of the largest batch.
const BATCH: usize = 10;
/// An event is sent again after at most this many other requests.
const AGAIN_WITHIN: u64 = 1_000;
/// The first that the configuration does not allow is the tier of requests that must be refused.
const NO_TIERS: [&str; 3] = ["gold", "unknown", "no-such-tier"];

#[derive(Debug)]
pub struct Traffic {
    run: String,
    seed: u64,
    tenants: Tenants,
    tiers: Vec<Tier>,
    no_tier: &'static str,
    naming: Naming,
}

/// A request, and what becomes of it.
#[derive(Clone, Debug)]
pub struct Request {
    pub call: Call,
    pub events: Vec<Event>,
    /// The number of the request that has these events first. Another number, if they are sent again.
    pub of: u64,
    pub expected: Expected,
}

/// The right answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// 202, with the id of the event.
    One,
    /// 202, with the number of events.
    All,
    /// 207, with the number of events: the request also has something that is none.
    Part,
    Refused(u16, &'static str),
}

impl Traffic {
    /// `run` begins every id. The deployment at which it is sent runs with `config`. Without `keys`, `tenants` of them are made
    /// up.
    pub fn new(
        run: &str,
        seed: u64,
        tenants: usize,
        keys: Vec<Key>,
        config: &Config,
    ) -> anyhow::Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        ensure!(
            !run.is_empty() && run.len() <= 100 && run.chars().all(is_plain),
            "the run `{run}` cannot begin ids: it needs 1 to 100 of the characters A-Z a-z 0-9 . _ -"
        );
        let tiers = &config.tiers;
        let no_tier =
            NO_TIERS.into_iter().find(|name| tiers.allowed.iter().all(|tier| tier.as_str() != *name));
        Ok(Self {
            run: run.to_owned(),
            seed,
            tenants: Tenants::new(tenants, keys)?,
            tiers: tiers.allowed.clone(),
            no_tier: no_tier.context("the configuration allows every tier that could be refused")?,
            naming: Naming::of(config)?,
        })
    }

    pub fn run(&self) -> &str {
        &self.run
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Request number `number`.
    pub fn request(&self, number: u64) -> Request {
        let (kind, of) = self.kind(number);
        let mut random = self.random(of, 1);
        let mut draw = Draw { traffic: self, of, random: &mut random, events: Vec::new() };
        let (call, expected) = draw.request(kind);
        let events = draw.events;
        Request { call, events, of, expected }
    }

    /// What an id says: the number of the request that had the event first, and the event's index in it. `None` if it is no id of
    /// this run.
    pub(crate) fn place(&self, id: &str) -> Option<(u64, usize)> {
        let (number, index) = id.strip_prefix(&self.run)?.strip_prefix('-')?.split_once('-')?;
        Some((number.parse().ok()?, index.parse().ok()?))
    }

    pub(crate) fn event(&self, number: u64, index: usize) -> Option<Event> {
        self.events(number).into_iter().nth(index)
    }

    /// The events that a request is the first to send.
    pub(crate) fn events(&self, number: u64) -> Vec<Event> {
        let request = self.request(number);
        if request.of == number { request.events } else { Vec::new() }
    }

    /// What kind it is, and the number of the request that it repeats or its own.
    fn kind(&self, number: u64) -> (Kind, u64) {
        let (kind, back) = self.own_kind(number);
        if kind != Kind::Again {
            return (kind, number);
        }
        let of = number.checked_sub(1 + back % AGAIN_WITHIN.min(number.max(1)));
        let first = of.map(|of| (self.own_kind(of).0, of)).filter(|(kind, _)| kind.is_stored());
        first.unwrap_or((Kind::Object, number))
    }

    fn own_kind(&self, number: u64) -> (Kind, u64) {
        let mut random = self.random(number, 0);
        (Kind::draw(&mut random), random.u64(..))
    }

    fn random(&self, number: u64, purpose: u64) -> Rng {
        Rng::with_seed(mixed(self.seed ^ mixed(number.wrapping_mul(2).wrapping_add(purpose))))
    }
}

/// Splitmix64: seeds that differ in one bit give numbers that have nothing in common.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Makes one request.
struct Draw<'a> {
    traffic: &'a Traffic,
    of: u64,
    random: &'a mut Rng,
    events: Vec<Event>,
}

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const INGEST: &str = "/ingest";

impl Draw<'_> {
    fn request(&mut self, kind: Kind) -> (Call, Expected) {
        let tenant = self.traffic.tenants.draw(self.random);
        let tier = self.random.choice(&self.traffic.tiers).cloned();
        let expected = match kind {
            Kind::Object | Kind::Webhook | Kind::Text => Expected::One,
            Kind::Array | Kind::Lines | Kind::Gzip => Expected::All,
            Kind::PartlyBad => Expected::Part,
            // A key has a tier of its own.
            Kind::ForbiddenTier if self.traffic.tenants.have_keys() => {
                Expected::Refused(403, "credential_mismatch")
            }
            Kind::ForbiddenTier => Expected::Refused(403, "tier_not_allowed"),
            Kind::Malformed(how) => how.expected(),
            Kind::Again => unreachable!("it repeats a request of another kind"),
        };
        let call = match kind {
            Kind::Text if self.traffic.naming.header.is_some() => self.text(tenant, tier.as_ref()),
            Kind::Webhook => {
                let path = format!("/v1/webhooks/{}/events/new", self.traffic.tenants.name(tenant));
                let object = self.object(tenant, Source::Webhook, tier.as_ref());
                Call::post(path, JSON, object)
            }
            Kind::Array => {
                let objects = self.objects(tier.as_ref(), tenant);
                Call::post(INGEST, JSON, format!("[{}]", objects.join(",")))
            }
            Kind::Lines => {
                let objects = self.objects(tier.as_ref(), tenant);
                Call::post(INGEST, NDJSON, objects.join("\n") + "\n")
            }
            Kind::PartlyBad => {
                let mut lines = self.objects(tier.as_ref(), tenant);
                lines.insert(1, "this line is no JSON".to_owned());
                Call::post(INGEST, NDJSON, lines.join("\n") + "\n")
            }
            Kind::Gzip => {
                let lines = self.objects(tier.as_ref(), tenant).join("\n") + "\n";
                let body = gzip::compress(lines.as_bytes(), Level::FAST);
                // Not JSON: a Function URL would take its bytes for a text.
                Call::post(INGEST, NDJSON, body).header("Content-Encoding", "gzip")
            }
            Kind::Malformed(how) => {
                let object = self.object(tenant, Source::JsonUpload, tier.as_ref());
                how.call(&object, self.traffic.tenants.name(tenant).as_str())
            }
            _ => {
                let object = self.object(tenant, Source::JsonUpload, tier.as_ref());
                Call::post(INGEST, JSON, object)
            }
        };
        let tier = match kind {
            Kind::ForbiddenTier => Some(self.traffic.no_tier),
            _ => tier.as_ref().map(Tier::as_str).filter(|_| !self.traffic.tenants.have_keys()),
        };
        let call = match tier {
            Some(tier) => call.header("X-Customer-Tier", tier),
            None => call,
        };
        let call = match self.traffic.tenants.key(tenant) {
            Some(key) => call.header("X-Api-Key", key),
            None => call,
        };
        (call, expected)
    }

    fn text(&mut self, tenant: usize, tier: Option<&Tier>) -> Call {
        let event = self.event(tenant, Source::TextUpload, tier.cloned());
        let text = event.text.clone().unwrap_or_default();
        let (id, name) = (event.id.to_string(), event.tenant.to_string());
        self.events.push(event);
        let header = self.traffic.naming.header.clone().unwrap_or_default();
        Call::text(INGEST, text).header(header, id).header("X-Tenant-ID", name)
    }

    fn objects(&mut self, tier: Option<&Tier>, first: usize) -> Vec<String> {
        let count = self.random.usize(2..=BATCH);
        let mut tenant = first;
        let mut objects = Vec::with_capacity(count);
        for _ in 0..count {
            objects.push(self.object(tenant, Source::JsonUpload, tier));
            if !self.traffic.tenants.have_keys() {
                tenant = self.traffic.tenants.draw(self.random);
            }
        }
        objects
    }

    fn object(&mut self, tenant: usize, source: Source, tier: Option<&Tier>) -> String {
        let event = self.event(tenant, source, tier.cloned());
        let object = event.object(&self.traffic.naming);
        self.events.push(event);
        object
    }

    fn event(&mut self, tenant: usize, source: Source, tier: Option<Tier>) -> Event {
        let id = format!("{}-{}-{}", self.traffic.run, self.of, self.events.len());
        let tier = tier.filter(|_| !self.traffic.tenants.have_keys());
        Event::draw(self.random, self.traffic.tenants.name(tenant).clone(), tier, id, source)
    }
}

#[cfg(test)]
mod tests;
