//! The bounds of the configuration's values.

use std::fmt::Display;

use tracing_subscriber::EnvFilter;

use super::{Auth, Config, ConfigError, Consumer, Dispatch, IdSources, Quota, placeholder};
use crate::client_object::is_taken;
use crate::limits;

/// The most of a rate or a burst. Up to here a rate is exact to a few percent: the limiter counts in nanoseconds.
const QUOTA: u32 = 100_000_000;

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let tiers = &self.tiers;
        if tiers.allowed.is_empty() {
            return Err(ConfigError::value("tiers.allowed", "[]", "at least one tier"));
        }
        if let Some(tier) = tiers.default.as_ref().filter(|tier| !tiers.allowed.contains(tier)) {
            let allowed = format!("one of tiers.allowed: {}", tiers.listed());
            return Err(ConfigError::value("tiers.default", tier, allowed));
        }

        for (tenant, keys) in &self.tenants.spread {
            within(&format!("tenants.spread.{tenant}"), *keys, 2, 1_000)?;
        }

        self.ids.check(&self.auth)?;

        let auth = &self.auth;
        within("auth.refresh_seconds", auth.refresh_seconds, 1, 86_400)?;
        within("auth.tolerance_seconds", auth.tolerance_seconds, 1, 86_400)?;
        if let Some(name) = &auth.origin_header
            && !is_header_name(name)
        {
            return Err(ConfigError::value("auth.origin_header", name, "the name of a header"));
        }
        self.check_quotas()?;

        for origin in &self.cors.origins {
            if origin != "*" && !is_origin(origin) {
                return Err(ConfigError::value(
                    "cors.origins",
                    origin,
                    "`*`, or scheme, host and port such as https://app.example.com, in lower case",
                ));
            }
        }

        let caps = &self.limits;
        within("limits.body_bytes", caps.body_bytes, 1, limits::BODY_BYTES)?;
        within("limits.batch_events", caps.batch_events, 1, 10_000)?;
        within("limits.inflate_ratio", caps.inflate_ratio, 2, 1_000_000)?;
        let two_bodies = 2 * caps.body_bytes;
        within("limits.bodies_in_memory_bytes", caps.bodies_in_memory_bytes, two_bodies, 1 << 40)?;
        within("limits.body_timeout_ms", caps.body_timeout_ms, 100, 900_000)?;
        within("limits.batch_bytes", caps.batch_bytes, limits::RECORD_INFLATED_BYTES, 1 << 40)?;
        let largest_line = 6 * caps.body_bytes + limits::LINE_BYTES_BESIDES_TEXT;
        within("limits.claim_check_bytes", caps.claim_check_bytes, largest_line, 1 << 40)?;

        let server = &self.server;
        if let Some(connections) = server.connections {
            within("server.connections", connections, 1, 1_000_000)?;
        }
        within("server.head_timeout_ms", server.head_timeout_ms, 100, 900_000)?;
        within("server.idle_timeout_ms", server.idle_timeout_ms, 100, 900_000)?;

        let publish = &self.publish;
        within("publish.budget_ms", publish.budget_ms, 10, 60_000)?;
        within("publish.attempt_ms", publish.attempt_ms, 5, publish.budget_ms)?;
        within("publish.spill_ms", publish.spill_ms, 10, 60_000)?;
        within("publish.claim_check_ms", publish.claim_check_ms, 100, 300_000)?;
        // At least, since heads have a few kilobytes. At most: Kinesis's default, and the local stream's limit.
        within("publish.record_bytes", publish.record_bytes, 65_536, limits::RECORD_BYTES)?;

        let timeout = self.consumer.timeout_seconds;
        within("consumer.timeout_seconds", timeout, Consumer::SHORTEST_TIMEOUT, Consumer::LONGEST_TIMEOUT)?;

        let transform = &self.transform;
        // At most what leaves one character: otherwise every text would be refused.
        let most = self.consumer.longest_work().as_secs_f64();
        if !(0.0..=most).contains(&transform.simulate_work) {
            let allowed = format!("0 to {most}, with `consumer.timeout_seconds` at {timeout}");
            return Err(ConfigError::value("transform.simulate_work", transform.simulate_work, allowed));
        }
        for (index, step) in transform.steps.iter().enumerate() {
            if transform.steps[..index].contains(step) {
                return Err(ConfigError::value("transform.steps", format!("{step:?}"), "each step once"));
            }
        }

        within("archive.object_bytes", self.archive.object_bytes, 1_000_000, limits::OBJECT_BYTES)?;
        within("archive.compression_level", self.archive.compression_level, 1, 12)?;

        for (tier, days) in &self.items.days_to_live {
            // Events are deduplicated by their items, so an item lives longer than its event may be delivered.
            // Where dispatch is on, also than its dead letter: an event without an item is not sent.
            let least = if self.dispatch.enabled { limits::DISPATCH_DAYS } else { limits::DELIVERY_DAYS };
            within(&format!("items.days_to_live.{tier}"), u64::from(*days), least, 36_500)?;
        }

        self.dispatch.check()?;

        // At start-up, the log subscriber would ignore the directives that it cannot parse, and log less.
        let level = &self.telemetry.log_level;
        let allowed =
            "a level (off, error, warn, info, debug, trace), or a filter such as info,ingest_fn=debug";
        let parsed = EnvFilter::try_new(level.to_lowercase());
        parsed.map(drop).map_err(|_| ConfigError::value("telemetry.log_level", level, allowed))
    }

    fn check_quotas(&self) -> Result<(), ConfigError> {
        let tiers = &self.tiers;
        self.check_quota("quotas.default", &self.quotas.default)?;
        for (tier, quota) in &self.quotas.tiers {
            if !tiers.allowed.contains(tier) {
                let allowed = format!("one of tiers.allowed: {}", tiers.listed());
                return Err(ConfigError::value("quotas.tiers", tier, allowed));
            }
            self.check_quota(&format!("quotas.tiers.{tier}"), quota)?;
        }
        for (tenant, quota) in &self.quotas.tenants {
            self.check_quota(&format!("quotas.tenants.{tenant}"), quota)?;
        }
        Ok(())
    }

    fn check_quota(&self, name: &str, quota: &Quota) -> Result<(), ConfigError> {
        let Quota { requests_per_second, requests_burst, bytes_per_second, bytes_burst } = *quota;
        // A body larger than the burst could never be accepted.
        let body = u32::try_from(self.limits.body_bytes).unwrap_or(u32::MAX);
        for (unit, rate, burst, least) in [
            ("requests", requests_per_second, requests_burst, 1),
            ("bytes", bytes_per_second, bytes_burst, body),
        ] {
            if let Some(rate) = rate {
                within(&format!("{name}.{unit}_per_second"), rate, 1, QUOTA)?;
            }
            match (burst, rate) {
                (Some(burst), None) => {
                    let allowed = format!("only with {name}.{unit}_per_second");
                    return Err(ConfigError::value(&format!("{name}.{unit}_burst"), burst, allowed));
                }
                (Some(burst), Some(_)) => within(&format!("{name}.{unit}_burst"), burst, least, QUOTA)?,
                (None, _) => {}
            }
        }
        Ok(())
    }
}

/// The characters of RFC 9110. Headers are compared without regard to case.
/// Whether a browser writes an origin like this: without a path, not even a slash.
fn is_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:[]".contains(&byte);
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(is_allowed))
}

fn is_header_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}

impl IdSources {
    fn check(&self, auth: &Auth) -> Result<(), ConfigError> {
        for (index, name) in self.headers.iter().enumerate() {
            // An id is stored and answered, so none of these may become one.
            let mut secrets = SECRETS.into_iter().chain(auth.origin_header.as_deref());
            let is_secret = secrets.any(|secret| secret.eq_ignore_ascii_case(name));
            if !is_header_name(name) || is_secret {
                let allowed = format!("names of headers, but not {}", SECRETS.join(", "));
                return Err(ConfigError::value("ids.headers", name, allowed));
            }
            if self.headers[..index].iter().any(|other| other.eq_ignore_ascii_case(name)) {
                return Err(ConfigError::value("ids.headers", name, "each header once"));
            }
        }
        for (index, name) in self.members.iter().enumerate() {
            if name.is_empty() || is_taken(name) {
                let allowed = "names of members that are not tenant, text or time (docs/http-api.md#members-of-an-object)";
                return Err(ConfigError::value("ids.members", name, allowed));
            }
            if self.members[..index].contains(name) {
                return Err(ConfigError::value("ids.members", name, "each member once"));
            }
        }
        Ok(())
    }
}

/// The headers that carry secrets.
const SECRETS: [&str; 4] = ["Authorization", "X-Api-Key", "Cookie", "webhook-signature"];

impl Dispatch {
    /// Also where dispatch is off, so that a mistake does not wait until it is turned on.
    fn check(&self) -> Result<(), ConfigError> {
        let host = ["https://", "http://"].iter().find_map(|scheme| self.url.strip_prefix(scheme));
        let is_url = host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', ':', '?']))
            && self.url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !is_url && (self.enabled || !self.url.is_empty()) {
            let allowed = "a URL such as `https://target.example.com/graphql`";
            return Err(ConfigError::value("dispatch.url", &self.url, allowed));
        }
        if self.document.trim().is_empty() {
            return Err(ConfigError::value("dispatch.document", &self.document, "a GraphQL mutation"));
        }
        for (name, value) in &self.variables {
            if let Some(unknown) = placeholder::unknown(value) {
                let (key, allowed) = (format!("dispatch.variables.{name}"), placeholder::ALLOWED);
                return Err(ConfigError::value(&key, unknown, allowed));
            }
        }
        for (name, value) in &self.headers {
            let is_name = !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte));
            if !is_name || OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
                let allowed = format!("names of headers, but not {}", OURS.join(", "));
                return Err(ConfigError::value("dispatch.headers", name, allowed));
            }
            if !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                return Err(ConfigError::value(
                    &format!("dispatch.headers.{name}"),
                    value,
                    "printable ASCII",
                ));
            }
        }
        within("dispatch.rate_per_second", self.rate_per_second, 0.001, 500.0)?;
        within("dispatch.guard_ms", self.guard_ms, 20, 10_000)?;
        within("dispatch.connect_timeout_ms", self.connect_timeout_ms, 50, 10_000)?;
        within("dispatch.timeout_ms", self.timeout_ms, 50, 30_000)?;
        within("dispatch.max_attempts", self.max_attempts, 1, 1_000)?;
        within("dispatch.backoff_ms", self.backoff_ms, 10, self.backoff_most_ms)?;
        within("dispatch.backoff_most_ms", self.backoff_most_ms, 10, limits::VISIBILITY.as_secs() * 1_000)
    }
}

/// The headers of a call that the dispatcher sets.
const OURS: [&str; 6] = ["Host", "Content-Type", "Content-Length", "Accept", "Idempotency-Key", "Connection"];

fn within<T: Copy + PartialOrd + Display>(key: &str, value: T, least: T, most: T) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::value(key, value, format!("{least} to {most}")))
    }
}
