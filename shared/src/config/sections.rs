//! One struct a concern, with its defaults and its own checks.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing_subscriber::EnvFilter;

use super::{ConfigError, constant};
use crate::id::TenantId;
use crate::limits;
use crate::tier::Tier;

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which requests are let in.
    pub tiers: Tiers,
    /// Tenants with settings of their own.
    pub tenants: Tenants,
    /// What a request or a record may cost us.
    pub limits: Limits,
    /// How events reach the stream.
    pub publish: Publish,
    /// What happens to an event's text.
    pub transform: Transform,
    /// Objects on S3.
    pub archive: Archive,
    /// Items in DynamoDB.
    pub items: Items,
    /// Logs.
    pub telemetry: Telemetry,
}

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.tiers.check()?;
        self.tenants.check()?;
        self.limits.check()?;
        self.publish.check()?;
        self.transform.check()?;
        self.archive.check()?;
        self.items.check()?;
        self.telemetry.check()
    }

    /// Twelve hexadecimal digits that two processes share when they run with the same configuration.
    pub fn fingerprint(&self) -> String {
        let json = serde_json::to_vec(self).expect("a configuration always serialises");
        crate::digest::sha256(&json)[..12].to_owned()
    }
}

/// `[tiers]`: which requests are let in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tiers {
    /// The values of `X-Customer-Tier` that are let in.
    pub allowed: Vec<Tier>,
    /// The tier of a request without the header; without it such a request is refused.
    pub default: Option<Tier>,
}

impl Default for Tiers {
    fn default() -> Self {
        let tier = |name| Tier::parse(name).expect("the default tiers are valid names");
        Self { allowed: ["free", "pro", "enterprise"].map(tier).to_vec(), default: None }
    }
}

impl Tiers {
    /// The tier of foreign producers' events: the default, else the first allowed.
    pub fn of_foreign(&self) -> &Tier {
        self.default.as_ref().unwrap_or(&self.allowed[0])
    }

    /// The allowed tiers, as an error message lists them.
    pub fn listed(&self) -> String {
        self.allowed.iter().map(Tier::as_str).collect::<Vec<_>>().join(", ")
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.allowed.is_empty() {
            return Err(ConfigError::value("tiers.allowed", "[]", "at least one tier"));
        }
        match &self.default {
            Some(tier) if !self.allowed.contains(tier) => Err(ConfigError::value(
                "tiers.default",
                tier,
                format!("one of tiers.allowed: {}", self.listed()),
            )),
            _ => Ok(()),
        }
    }
}

/// `[tenants]`: tenants with settings of their own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tenants {
    /// The tenant of a request that names none; without it such a request is refused.
    pub default: Option<TenantId>,
    /// Tenants that outgrow a shard (1 MB/s, 1,000 records/s) or the index of items by time (1,000 events/s), and over
    /// how many partition keys each is spread on both ([`crate::partition`]).
    pub spread: BTreeMap<TenantId, u16>,
}

impl Tenants {
    fn check(&self) -> Result<(), ConfigError> {
        for (tenant, keys) in &self.spread {
            within(&format!("tenants.spread.{tenant}"), u64::from(*keys), 2, 1_000)?;
        }
        Ok(())
    }
}

/// `[limits]`: what a request or a record may cost us.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The largest body, in bytes after decompression.
    pub body_bytes: usize,
    /// The most events in one request.
    pub batch_events: usize,
    /// The most output for a byte of input when a body is inflated.
    pub inflate_ratio: u32,
    /// Bytes of bodies that the server holds at once; further requests wait.
    pub bodies_in_memory_bytes: usize,
    /// How long a body may take to arrive, in milliseconds.
    pub body_timeout_ms: u64,
    /// Bytes of events that one invocation of the consumer takes on, inflated; the rest of the batch is left to the
    /// next one.
    pub batch_bytes: usize,
    /// Bytes of lines that one invocation of the consumer reads from claim checks, inflated. At least one line of the
    /// largest body, whose text JSON may spell with six bytes for one.
    pub claim_check_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: limits::BODY_BYTES,
            batch_events: 10_000,
            inflate_ratio: limits::INFLATE_RATIO,
            bodies_in_memory_bytes: 256 * 1024 * 1024,
            body_timeout_ms: 30_000,
            batch_bytes: 128 * 1024 * 1024,
            claim_check_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// How long a body may take to arrive.
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    fn check(&self) -> Result<(), ConfigError> {
        within("limits.body_bytes", self.body_bytes as u64, 1, limits::BODY_BYTES as u64)?;
        within("limits.batch_events", self.batch_events as u64, 1, 10_000)?;
        within("limits.inflate_ratio", u64::from(self.inflate_ratio), 2, 1_000_000)?;
        within(
            "limits.bodies_in_memory_bytes",
            self.bodies_in_memory_bytes as u64,
            2 * self.body_bytes as u64,
            1 << 40,
        )?;
        within("limits.body_timeout_ms", self.body_timeout_ms, 100, 900_000)?;
        within("limits.batch_bytes", self.batch_bytes as u64, limits::RECORD_INFLATED_BYTES as u64, 1 << 40)?;
        let largest_line = 6 * self.body_bytes + limits::LINE_BYTES_BESIDE_TEXT;
        within("limits.claim_check_bytes", self.claim_check_bytes as u64, largest_line as u64, 1 << 40)
    }
}

/// `[publish]`: how events reach the stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Publish {
    /// How long a request waits for the stream in all, in milliseconds.
    pub budget_ms: u64,
    /// How long one attempt may take, in milliseconds.
    pub attempt_ms: u64,
    /// How long what the stream did not take may take to reach the spill queue, in milliseconds: after the budget.
    pub spill_ms: u64,
    /// Time limit for storing the claim checks of a request, in milliseconds.
    pub claim_check_ms: u64,
    /// The largest record, partition key included. A line that does not fit it, compressed, is stored as a claim check.
    pub record_bytes: usize,
}

impl Default for Publish {
    fn default() -> Self {
        Self {
            budget_ms: 250,
            attempt_ms: 120,
            spill_ms: 150,
            claim_check_ms: 10_000,
            record_bytes: limits::RECORD_BYTES,
        }
    }
}

impl Publish {
    /// How long a request waits for the stream in all.
    pub fn budget(&self) -> Duration {
        Duration::from_millis(self.budget_ms)
    }

    /// How long one attempt may take.
    pub fn attempt(&self) -> Duration {
        Duration::from_millis(self.attempt_ms)
    }

    /// How long a request waits for the spill queue, after the stream.
    pub fn spill(&self) -> Duration {
        Duration::from_millis(self.spill_ms)
    }

    pub fn claim_check(&self) -> Duration {
        Duration::from_millis(self.claim_check_ms)
    }

    /// The longest that all of it may take for one request.
    pub fn request(&self) -> Duration {
        self.claim_check() + self.budget() + self.spill()
    }

    fn check(&self) -> Result<(), ConfigError> {
        within("publish.budget_ms", self.budget_ms, 10, 60_000)?;
        within("publish.attempt_ms", self.attempt_ms, 5, self.budget_ms)?;
        within("publish.spill_ms", self.spill_ms, 10, 60_000)?;
        within("publish.claim_check_ms", self.claim_check_ms, 100, 300_000)?;
        // At least: heads are a few kilobytes. At most: what Kinesis takes by default, and the local stream.
        within("publish.record_bytes", self.record_bytes as u64, 65_536, limits::RECORD_BYTES as u64)
    }
}

/// `[transform]`: what happens to an event's text, in the order of `steps`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transform {
    /// The steps, in order.
    pub steps: Vec<TransformStep>,
    /// Seconds of simulated work for each character of a text, before the steps; 0 for none.
    pub simulate_work: f64,
    /// What `redact` looks for.
    pub redact: Redact,
    /// The constant fields that `enrich` adds; they win over a client's field of the same name.
    #[serde(deserialize_with = "constant::all")]
    pub enrich: BTreeMap<String, Value>,
}

/// One step of the transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransformStep {
    /// Personal data in the text becomes `[REDACTED]`.
    Redact,
    /// The text in upper case.
    Uppercase,
    /// Constant fields are added.
    Enrich,
}

/// `[transform.redact]`: what counts as personal data.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redact {
    /// The built-in kinds.
    pub kinds: Vec<RedactKind>,
    /// Regular expressions of your own (the `regex` crate's syntax).
    pub patterns: Vec<String>,
    /// What a match becomes.
    pub replacement: String,
}

/// A built-in kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedactKind {
    /// Phone numbers, `555-0199` among them.
    Phone,
    /// E-mail addresses.
    Email,
    /// Card numbers: 13 to 19 digits with a valid Luhn check digit.
    Card,
}

impl Default for Transform {
    fn default() -> Self {
        Self {
            steps: vec![TransformStep::Redact],
            simulate_work: 0.0,
            redact: Redact::default(),
            enrich: BTreeMap::new(),
        }
    }
}

impl Default for Redact {
    fn default() -> Self {
        Self {
            kinds: vec![RedactKind::Phone, RedactKind::Email, RedactKind::Card],
            patterns: Vec::new(),
            replacement: "[REDACTED]".to_owned(),
        }
    }
}

impl Transform {
    /// How long each character of a text is worked on.
    pub fn work_per_character(&self) -> Duration {
        Duration::from_secs_f64(self.simulate_work)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !(0.0..=60.0).contains(&self.simulate_work) {
            return Err(ConfigError::value("transform.simulate_work", self.simulate_work, "0 to 60"));
        }
        for (index, step) in self.steps.iter().enumerate() {
            if self.steps[..index].contains(step) {
                return Err(ConfigError::value("transform.steps", format!("{step:?}"), "each step once"));
            }
        }
        Ok(())
    }
}

/// `[archive]`: objects on S3.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Archive {
    /// Whether a line holds the transformed text only, or the original as well.
    pub content: ArchiveContent,
    /// The largest object, in bytes, compressed.
    pub object_bytes: usize,
    /// gzip level, 1 (fast) to 12 (small).
    pub compression_level: u8,
}

/// What an archive line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveContent {
    /// `text` only.
    Transformed,
    /// `text` and `original_text`.
    Both,
}

impl Default for Archive {
    fn default() -> Self {
        Self {
            content: ArchiveContent::Transformed,
            object_bytes: limits::OBJECT_BYTES,
            compression_level: 6,
        }
    }
}

impl Archive {
    /// The gzip level as a value.
    pub fn level(&self) -> crate::gzip::Level {
        crate::gzip::Level::new(self.compression_level).expect("checked when it was read")
    }

    fn check(&self) -> Result<(), ConfigError> {
        within("archive.object_bytes", self.object_bytes as u64, 1_000_000, limits::OBJECT_BYTES as u64)?;
        within("archive.compression_level", u64::from(self.compression_level), 1, 12)
    }
}

/// `[items]`: items in DynamoDB.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Items {
    /// How many days an item lives, by tier; a tier that is not named keeps its items for ever.
    pub days_to_live: BTreeMap<Tier, u32>,
}

impl Default for Items {
    fn default() -> Self {
        let days = [("free", 30), ("pro", 90), ("enterprise", 365)];
        let tier = |name| Tier::parse(name).expect("the default tiers are valid names");
        Self { days_to_live: days.map(|(name, days)| (tier(name), days)).into() }
    }
}

impl Items {
    /// How long an item of `tier` lives.
    pub fn time_to_live(&self, tier: &Tier) -> Option<Duration> {
        self.days_to_live.get(tier).map(|days| Duration::from_secs(u64::from(*days) * 86_400))
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (tier, days) in &self.days_to_live {
            // Deduplication rests on the items, so they outlive what may still be delivered.
            within(&format!("items.days_to_live.{tier}"), u64::from(*days), limits::DELIVERY_DAYS, 36_500)?;
        }
        Ok(())
    }
}

/// `[telemetry]`: logs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// What is logged: a level, or a filter such as `info,ingest_fn=debug`.
    pub log_level: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log_level: "info".to_owned() }
    }
}

impl Telemetry {
    fn check(&self) -> Result<(), ConfigError> {
        // What reads it at start-up passes over what it does not understand, and logs less than was asked for.
        if EnvFilter::try_new(self.log_level.to_lowercase()).is_err() {
            let allowed =
                "a level (off, error, warn, info, debug, trace), or a filter such as info,ingest_fn=debug";
            return Err(ConfigError::value("telemetry.log_level", &self.log_level, allowed));
        }
        Ok(())
    }
}

fn within(key: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::value(key, value, format!("{least} to {most}")))
    }
}
