//! The sections of the configuration, with their defaults.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ConfigError, constant};
use crate::backoff::Backoff;
use crate::gzip::Level;
use crate::id::TenantId;
use crate::limits;
use crate::tier::Tier;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub tiers: Tiers,
    pub tenants: Tenants,
    pub ids: IdSources,
    pub auth: Auth,
    pub quotas: Quotas,
    pub cors: Cors,
    pub otlp: Otlp,
    pub limits: Limits,
    pub server: Server,
    pub publish: Publish,
    pub transform: Transform,
    pub consumer: Consumer,
    pub archive: Archive,
    pub items: Items,
    pub reads: Reads,
    pub dispatch: Dispatch,
    pub telemetry: Telemetry,
}

impl Config {
    /// Twelve hexadecimal digits. Two processes share them if they run with the same configuration.
    pub fn fingerprint(&self) -> String {
        let json = serde_json::to_vec(self).expect("a configuration always serialises");
        crate::digest::sha256(&json)[..12].to_owned()
    }
}

/// Declares sections: each key with its type and its default.
macro_rules! sections {
    ($(
        $(#[$about:meta])*
        $section:ident { $($(#[$about_key:meta])* $key:ident: $type:ty = $default:expr,)+ }
    )+) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $section {
            $($(#[$about_key])* pub $key: $type,)+
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }
    )+};
}

sections! {
    /// `[tiers]`: which requests are accepted.
    Tiers {
        /// The values of `X-Customer-Tier` that are accepted.
        allowed: Vec<Tier> = ["free", "pro", "enterprise"].map(tier).to_vec(),
        /// The tier of a request without the header. If it is not set, such a request is refused.
        default: Option<Tier> = None,
    }

    /// `[tenants]`
    Tenants {
        /// The tenant of a request that names none. If it is not set, such a request is refused.
        default: Option<TenantId> = None,
        /// Tenants that outgrow a shard (1 MB/s, 1,000 records/s) or the index of items by time (1,000 events/s). The
        /// number of partition keys over which each is spread on both ([`crate::partition`]).
        spread: BTreeMap<TenantId, u16> = BTreeMap::new(),
    }

    /// `[ids]`: what names an event.
    IdSources {
        /// The headers. The first that is given counts, and names the event over its body. With `auth.mode = "signature"` it
        /// is that of the message's scheme alone, such as `webhook-id`.
        headers: Vec<String> = ["Idempotency-Key", "webhook-id"].map(str::to_owned).to_vec(),
        /// The members of an object. The first that is given counts.
        members: Vec<String> = ["event_id", "log_id", "id"].map(str::to_owned).to_vec(),
    }

    /// `[auth]`: how a request proves which tenant sends it. Keys and secrets are in a document of their own, never here.
    Auth {
        mode: AuthMode = AuthMode::None,
        /// The document of credentials on this machine. On AWS it is a secret in Secrets Manager instead.
        credentials_file: Option<String> = None,
        /// How old the document may be before it is read again, in seconds.
        refresh_seconds: u64 = 300,
        /// How far the time of a signature may be from now, in seconds.
        tolerance_seconds: u64 = 300,
        /// A header that must carry one of the document's `origin_secrets`. A gateway in front adds it.
        origin_header: Option<String> = None,
    }

    /// `[quotas]`: the most that one tenant may send, in each process.
    Quotas {
        /// The quota of a tenant that has none under `tenants`, and none by its tier.
        default: Quota = Quota {
            bytes_per_second: Some(limits::TENANT_BYTES_PER_SECOND),
            bytes_burst: Some(limits::TENANT_BYTES_BURST),
            ..Quota::default()
        },
        /// The quota of each tenant of a tier.
        tiers: BTreeMap<Tier, Quota> = BTreeMap::new(),
        /// Tenants with a quota of their own. It replaces that of the tier as a whole.
        tenants: BTreeMap<TenantId, Quota> = BTreeMap::new(),
    }

    /// One tenant's quota. A rate that is not set is not limited.
    Quota {
        requests_per_second: Option<u32> = None,
        /// Requests at once, after a pause. As many as in a second, if it is not set.
        requests_burst: Option<u32> = None,
        /// Of bodies, after decompression; of an event at least [`limits::EVENT_QUOTA_BYTES`].
        bytes_per_second: Option<u32> = None,
        /// Bytes at once, after a pause. As many as in a second and at least the largest body, if it is not set.
        bytes_burst: Option<u32> = None,
    }

    /// `[cors]`: what scripts in browsers may do.
    Cors {
        /// Pages whose scripts may call the API, such as `https://app.example.com`, or `*` for all. None may, if it is empty.
        /// Senders of CloudEvents that ask first are answered by the same list.
        origins: Vec<String> = Vec::new(),
        /// Whether a `text/plain` body that is a JSON object or array is read as JSON. A browser's `sendBeacon` sends JSON so.
        text_is_json: bool = false,
    }

    /// `[otlp]`: logs of OpenTelemetry.
    Otlp {
        /// The resource attribute that names the tenant, such as `tenant.id`. None does, if it is empty.
        tenant_attribute: String = String::new(),
    }

    /// `[limits]`: bounds of size, number and time for requests and records.
    Limits {
        /// The largest body, in bytes after decompression.
        body_bytes: usize = limits::BODY_BYTES,
        /// The most events in one request.
        batch_events: usize = 10_000,
        /// The most bytes of output for one byte of input when a body is inflated.
        inflate_ratio: u32 = limits::INFLATE_RATIO,
        /// Bytes of bodies in the server's memory at once. Further requests wait.
        bodies_in_memory_bytes: usize = 256 * 1024 * 1024,
        /// Time limit for receiving a body, in milliseconds.
        body_timeout_ms: u64 = 30_000,
        /// Bytes of events, inflated, that one invocation of the consumer takes. The rest of the batch is left to the
        /// next one.
        batch_bytes: usize = 128 * 1024 * 1024,
        /// Bytes of lines, inflated, that one invocation of the consumer reads from claim checks. At least one line of the
        /// largest body, in which JSON may escape each byte of text with six.
        claim_check_bytes: usize = 64 * 1024 * 1024,
    }

    /// `[server]`: connections, in a container and on the local run. On AWS, Lambda has them.
    Server {
        /// The most connections at once. If it is not set, three quarters of the open files that the system allows, at most
        /// 10,000.
        connections: Option<usize> = None,
        /// Time limit for a request's head to arrive, in milliseconds.
        head_timeout_ms: u64 = 10_000,
        /// How long a connection may stay open between two requests, in milliseconds. Longer than load balancers hold one (AWS:
        /// 60 s), so that they do not send a request into a connection that is closed.
        idle_timeout_ms: u64 = 75_000,
    }

    /// `[publish]`: how events reach the stream.
    Publish {
        /// Time limit for putting a request's events on the stream, in milliseconds.
        budget_ms: u64 = 250,
        /// Time limit for one attempt, in milliseconds.
        attempt_ms: u64 = 120,
        /// Time limit for writing to the spill queue, in milliseconds. It begins when the budget has ended.
        spill_ms: u64 = 150,
        /// Time limit for storing the claim checks of a request, in milliseconds.
        claim_check_ms: u64 = 10_000,
        /// The largest record, partition key included. A line that does not fit it, compressed, is stored as a claim check.
        record_bytes: usize = limits::RECORD_BYTES,
        /// Smaller records are not compressed, unless the stream throttled a record in the last minute.
        compress_from_bytes: usize = limits::PUT_UNIT_BYTES,
    }

    /// `[transform]`: the changes to an event's text.
    Transform {
        /// The steps, in order.
        steps: Vec<TransformStep> = vec![TransformStep::Redact],
        /// Seconds of simulated work for each character of a text, before the steps; 0 for none. All texts of a batch are
        /// worked on at the same time. The longest text follows from it ([`super::SimulatedWork`]).
        simulate_work: f64 = 0.0,
        redact: Redact = Redact::default(),
        /// The constant fields that `enrich` adds. They replace a client's fields of the same names.
        #[serde(deserialize_with = "constant::all")]
        enrich: BTreeMap<String, Value> = BTreeMap::new(),
    }

    /// `[transform.redact]`: the personal data that is replaced.
    Redact {
        /// The built-in kinds.
        kinds: Vec<RedactKind> = vec![RedactKind::Phone, RedactKind::Email, RedactKind::Card],
        /// Further regular expressions (the `regex` crate's syntax).
        patterns: Vec<String> = Vec::new(),
        /// The text that replaces a match.
        replacement: String = "[REDACTED]".to_owned(),
    }

    /// `[consumer]`: the function that reads the stream.
    Consumer {
        /// Its time-out, on AWS and on the local run.
        timeout_seconds: u64 = 60,
    }

    /// `[archive]`: objects on S3.
    Archive {
        content: ArchiveContent = ArchiveContent::Transformed,
        /// The largest object, in bytes, compressed.
        object_bytes: usize = limits::OBJECT_BYTES,
        /// gzip level, 1 (fast) to 12 (small).
        compression_level: u8 = 3,
        /// How long the event source mapping gathers a batch, in seconds. A shard writes one object in each window.
        window_seconds: u64 = 3,
    }

    /// `[items]`: items in DynamoDB.
    Items {
        content: ItemContent = ItemContent::Both,
        /// How many days an item lives, by tier. Items of other tiers do not expire.
        days_to_live: BTreeMap<Tier, u32> =
            [("free", 30), ("pro", 90), ("enterprise", 365)].map(|(name, days)| (tier(name), days)).into(),
    }

    /// `[reads]`: reading events back over HTTP.
    Reads {
        /// Whether it is on. If it is not set: on the local run it is, on AWS it is not.
        enabled: Option<bool> = None,
        /// On AWS: whether it may be on although callers are not identified (`auth.mode = "none"`).
        public: bool = false,
    }

    /// `[dispatch]`: stored events are sent to a GraphQL target.
    Dispatch {
        enabled: bool = false,
        /// Where calls go, `https://…` or `http://…`.
        url: String = String::new(),
        /// The GraphQL document of a call: one mutation.
        document: String = DOCUMENT.to_owned(),
        /// The variables of a call, with placeholders ([`super::placeholder`]).
        #[serde(deserialize_with = "constant::all")]
        variables: BTreeMap<String, Value> =
            [("event", "{event}"), ("idempotencyKey", "{key}")].map(|(name, value)| (name.to_owned(), value.into())).into(),
        /// Constant members of the placeholder `{event}`.
        #[serde(deserialize_with = "constant::all")]
        constants: BTreeMap<String, Value> = BTreeMap::new(),
        /// Headers of a call. `{secret}` in a value becomes the secret.
        headers: BTreeMap<String, String> = BTreeMap::new(),
        /// The file with the secret. On AWS the secret comes from Secrets Manager instead.
        secret_file: Option<PathBuf> = None,
        /// The most calls that the target gets in any second, from all functions together.
        rate_per_second: f64 = 10.0,
        /// By how much clocks and network delays may differ without more calls reaching the target in a second.
        guard_ms: u64 = 100,
        /// Time limit for opening a connection, in milliseconds.
        connect_timeout_ms: u64 = 3_000,
        /// Time limit for a call on an open connection, in milliseconds.
        timeout_ms: u64 = 10_000,
        /// After so many calls that failed, an event becomes a dead letter.
        max_attempts: u32 = 25,
        /// The wait after the first failed call is at most this, in milliseconds; it doubles with each.
        backoff_ms: u64 = 1_000,
        /// The longest wait between two calls for an event, in milliseconds.
        backoff_most_ms: u64 = 900_000,
        /// Codes in `errors[].extensions.code` of an answer that say: later. All others are permanent.
        retry_codes: Vec<String> = RETRY_CODES.map(str::to_owned).to_vec(),
    }

    /// `[telemetry]`
    Telemetry {
        /// A level, or a filter such as `info,ingest_fn=debug`.
        log_level: String = "info".to_owned(),
        /// Where spans are sent by OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`. Nowhere, if it is empty.
        traces_url: String = String::new(),
        /// The share of requests that are traced, from 0 to 1, of those for which `traceparent` decides nothing.
        traces_share: f64 = 1.0,
    }
}

/// The default document. Its field names are those of the test target: a real one has its own.
const DOCUMENT: &str = "mutation Dispatch($event: EventInput!, $idempotencyKey: String!) { dispatch(event: $event, idempotencyKey: $idempotencyKey) { id } }";

/// What GraphQL servers and gateways answer if they are busy or broken: Apollo, Hasura, Shopify, GitHub.
const RETRY_CODES: [&str; 7] = [
    "THROTTLED",
    "RATE_LIMITED",
    "TOO_MANY_REQUESTS",
    "MAX_COST_EXCEEDED",
    "INTERNAL_SERVER_ERROR",
    "SERVICE_UNAVAILABLE",
    "TIMEOUT",
];

fn tier(name: &str) -> Tier {
    Tier::parse(name).expect("the default tiers are valid names")
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
}

/// How a request proves which tenant sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// Not at all: path, headers or body name the tenant, a header the tier.
    None,
    /// By a key in `Authorization: Bearer …` or `X-Api-Key`.
    ApiKey,
    /// By a signature over the body (Standard Webhooks).
    Signature,
}

impl AuthMode {
    /// As the configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ApiKey => "api_key",
            Self::Signature => "signature",
        }
    }
}

impl Auth {
    /// The key that makes the document of credentials necessary, if one does.
    pub fn needs_credentials(&self) -> Option<&'static str> {
        match (self.mode, &self.origin_header) {
            (AuthMode::ApiKey | AuthMode::Signature, _) => Some("auth.mode"),
            (AuthMode::None, Some(_)) => Some("auth.origin_header"),
            (AuthMode::None, None) => None,
        }
    }

    pub fn refresh(&self) -> Duration {
        Duration::from_secs(self.refresh_seconds)
    }

    pub fn tolerance(&self) -> Duration {
        Duration::from_secs(self.tolerance_seconds)
    }
}

impl Limits {
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }
}

impl Server {
    pub fn head_timeout(&self) -> Duration {
        Duration::from_millis(self.head_timeout_ms)
    }

    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }
}

impl Publish {
    pub fn budget(&self) -> Duration {
        Duration::from_millis(self.budget_ms)
    }

    pub fn attempt(&self) -> Duration {
        Duration::from_millis(self.attempt_ms)
    }

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

/// A built-in kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedactKind {
    /// Phone numbers, also short ones such as `555-0199`.
    Phone,
    Email,
    /// Card numbers: 13 to 19 digits with a valid Luhn check digit.
    Card,
}

impl Consumer {
    /// Storing a batch needs some seconds.
    pub const SHORTEST_TIMEOUT: u64 = 30;
    /// Lambda's limit (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
    pub const LONGEST_TIMEOUT: u64 = 900;
}

/// The texts in an archive line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveContent {
    /// `text` only.
    Transformed,
    /// `text` and `original_text`.
    Both,
}

/// What an item has of its event's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemContent {
    /// The text before and after the transform, and the fields.
    Both,
    /// The same, but the text after the transform only where it differs.
    Changed,
    /// Nothing: the content is in the archive only.
    Reference,
}

impl Archive {
    pub const SHORTEST_WINDOW: u64 = 1;
    /// Lambda's limit (<https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>).
    pub const LONGEST_WINDOW: u64 = 300;

    pub fn window(&self) -> Duration {
        Duration::from_secs(self.window_seconds)
    }

    pub fn level(&self) -> Level {
        Level::new(self.compression_level).expect("the level was checked when it was read")
    }
}

impl Dispatch {
    /// The variable that overrides `url`. The stack sets it for every function, if it is deployed with an address.
    pub const URL_VARIABLE: &str = "TIDEGATE__DISPATCH__URL";

    /// What stands for the secret in a header.
    pub const SECRET: &str = "{secret}";

    /// Between two calls. So many calls at this interval as are allowed in a second take longer than a second, by the guard.
    pub fn interval(&self) -> Duration {
        (Duration::from_secs(1) + Duration::from_millis(self.guard_ms)).div_f64(self.rate_per_second)
    }

    /// Whether a header of a call has the secret.
    pub fn needs_secret(&self) -> bool {
        self.headers.values().any(|value| value.contains(Self::SECRET))
    }

    pub fn guard(&self) -> Duration {
        Duration::from_millis(self.guard_ms)
    }

    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub fn backoff(&self) -> Backoff {
        let [first, cap] = [self.backoff_ms, self.backoff_most_ms].map(Duration::from_millis);
        Backoff { first, cap }
    }
}

impl Items {
    pub fn time_to_live(&self, tier: &Tier) -> Option<Duration> {
        self.days_to_live.get(tier).map(|days| Duration::from_hours(24 * u64::from(*days)))
    }
}

impl Reads {
    /// The variable that overrides `enabled`. The stack sets it for every function, if the stage says whether reads are on.
    pub const VARIABLE: &str = "TIDEGATE__READS__ENABLED";

    /// Whether it is on, on the local run.
    pub fn on_this_machine(&self) -> bool {
        self.enabled.unwrap_or(true)
    }
}

impl Config {
    /// As the functions on AWS have it: `reads.enabled` is set. Fails where these could not run, and where the events of
    /// all tenants would be public.
    pub fn as_deployed(mut self) -> Result<Self, ConfigError> {
        let is_on = self.reads.enabled.unwrap_or(false);
        if is_on && !self.reads.public && self.auth.mode == AuthMode::None {
            let allowed = "true where `reads.enabled` is true on AWS and `auth.mode` is `none`, because callers are not identified: anyone who has the address can read the events of every tenant";
            return Err(ConfigError::value("reads.public", self.reads.public, allowed));
        }
        // What an invocation reads is in memory twice, compressed and not, or as bytes and as events.
        let read = self.limits.batch_bytes.saturating_add(self.limits.claim_check_bytes);
        let most = limits::PROCESSOR_BYTES / 2;
        if read > most {
            let allowed = format!(
                "on AWS at most {most} with `limits.claim_check_bytes`, half of the consumer's memory"
            );
            return Err(ConfigError::value("limits.batch_bytes", self.limits.batch_bytes, allowed));
        }
        self.reads.enabled = Some(is_on);
        Ok(self)
    }
}
