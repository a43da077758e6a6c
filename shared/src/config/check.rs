//! The bounds of the configuration's values. All that a function would refuse or fail on later is refused here, by every
//! function, also where the function itself does not use the value.

use std::collections::BTreeMap;
use std::fmt::Display;

use http::HeaderName;
use serde_json::Value;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::transform::constants_bytes;
use super::{Archive, Auth, Config, ConfigError, Consumer, IdSources, Quota};
use crate::client_object::is_taken;
use crate::limits;

mod dispatch;
mod transform;

/// The most of a rate or a burst. Up to here a rate is exact to a few percent: the limiter counts in nanoseconds.
const QUOTA: u32 = 100_000_000;

/// What is wrong, in the order of the sections.
#[derive(Debug, Default)]
struct Problems(Vec<ConfigError>);

impl Problems {
    fn refuse(&mut self, key: &str, value: impl Display, allowed: impl Into<String>) {
        self.0.push(ConfigError::value(key, value, allowed));
    }

    /// Constants go into every item or call.
    fn constants(&mut self, key: &str, constants: &BTreeMap<String, Value>) {
        let bytes = constants_bytes(constants);
        if bytes > limits::CONSTANTS_BYTES {
            let allowed = format!("at most {} bytes", limits::CONSTANTS_BYTES);
            self.refuse(key, format_args!("{bytes} bytes of JSON"), allowed);
        }
    }

    fn within<T: Copy + PartialOrd + Display>(&mut self, key: &str, value: T, least: T, most: T) {
        if !(least..=most).contains(&value) {
            self.refuse(key, value, format!("{least} to {most}"));
        }
    }
}

impl Config {
    /// Every problem that there is, not the first only.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.check_requests(&mut problems);
        self.check_sizes(&mut problems);
        self.transform.check(&self.consumer, &mut problems);
        problems.within("archive.object_bytes", self.archive.object_bytes, 1_000_000, limits::OBJECT_BYTES);
        problems.within("archive.compression_level", self.archive.compression_level, 1, 12);
        let [least, most] = [Archive::SHORTEST_WINDOW, Archive::LONGEST_WINDOW];
        problems.within("archive.window_seconds", self.archive.window_seconds, least, most);
        for (tier, days) in &self.items.days_to_live {
            // Events are deduplicated by their items, so an item lives longer than its event may be delivered.
            // Where dispatch is on, also than its dead letter: an event without an item is not sent.
            let least = if self.dispatch.enabled { limits::DISPATCH_DAYS } else { limits::DELIVERY_DAYS };
            problems.within(&format!("items.days_to_live.{tier}"), u64::from(*days), least, 36_500);
        }
        self.dispatch.check(&mut problems);
        let level = &self.telemetry.log_level;
        if !is_log_filter(level) {
            let allowed =
                "a level (off, error, warn, info, debug, trace), or a filter such as info,ingest_fn=debug";
            problems.refuse("telemetry.log_level", level, allowed);
        }
        let url = &self.telemetry.traces_url;
        if !url.is_empty() && !dispatch::is_url(url) {
            let allowed = "the URL of a collector such as `http://127.0.0.1:4318/v1/traces`";
            problems.refuse("telemetry.traces_url", url, allowed);
        }
        problems.within("telemetry.traces_share", self.telemetry.traces_share, 0.0, 1.0);
        ConfigError::all(problems.0)
    }

    /// Who may send what.
    fn check_requests(&self, problems: &mut Problems) {
        let tiers = &self.tiers;
        if tiers.allowed.is_empty() {
            problems.refuse("tiers.allowed", "[]", "at least one tier");
        }
        for (index, tier) in tiers.allowed.iter().enumerate() {
            if tiers.allowed[..index].contains(tier) {
                problems.refuse("tiers.allowed", tier, "each tier once");
            }
        }
        if let Some(tier) = tiers.default.as_ref().filter(|tier| !tiers.allowed.contains(tier)) {
            problems.refuse("tiers.default", tier, format!("one of tiers.allowed: {}", tiers.listed()));
        }
        for (tenant, keys) in &self.tenants.spread {
            problems.within(&format!("tenants.spread.{tenant}"), *keys, 2, 1_000);
        }
        self.ids.check(&self.auth, problems);

        let auth = &self.auth;
        problems.within("auth.refresh_seconds", auth.refresh_seconds, 1, 86_400);
        problems.within("auth.tolerance_seconds", auth.tolerance_seconds, 1, 86_400);
        if let Some(name) = &auth.origin_header {
            let not = [&SPOKEN_FOR[..], &UNREAD_HEADERS[..]].concat();
            if !is_header_name(name) || names(&not, name) {
                let allowed = format!("the name of a header, but not {}", not.join(", "));
                problems.refuse("auth.origin_header", name, allowed);
            }
        }
        if auth.credentials_file.as_deref() == Some("") {
            problems.refuse("auth.credentials_file", "", "the path of a file");
        }
        self.check_quotas(problems);
        for origin in &self.cors.origins {
            if origin != "*" && !is_origin(origin) {
                let allowed = "`*`, or scheme, host and port such as https://app.example.com, in lower case";
                problems.refuse("cors.origins", origin, allowed);
            }
        }
    }

    /// Bounds of size and time, each within what the others leave.
    fn check_sizes(&self, problems: &mut Problems) {
        let caps = &self.limits;
        problems.within("limits.body_bytes", caps.body_bytes, 1, limits::BODY_BYTES);
        problems.within("limits.batch_events", caps.batch_events, 1, 10_000);
        problems.within("limits.inflate_ratio", caps.inflate_ratio, 2, 1_000_000);
        // A body that is too large is one problem, not three.
        let body = caps.body_bytes.min(limits::BODY_BYTES);
        problems.within("limits.bodies_in_memory_bytes", caps.bodies_in_memory_bytes, 2 * body, 1 << 40);
        problems.within("limits.body_timeout_ms", caps.body_timeout_ms, 100, 900_000);
        problems.within("limits.batch_bytes", caps.batch_bytes, limits::RECORD_INFLATED_BYTES, 1 << 40);
        let largest_line = 6 * body + limits::LINE_BYTES_BESIDES_TEXT;
        problems.within("limits.claim_check_bytes", caps.claim_check_bytes, largest_line, 1 << 40);

        let server = &self.server;
        if let Some(connections) = server.connections {
            problems.within("server.connections", connections, 1, 1_000_000);
        }
        problems.within("server.head_timeout_ms", server.head_timeout_ms, 100, 900_000);
        problems.within("server.idle_timeout_ms", server.idle_timeout_ms, 100, 900_000);

        let publish = &self.publish;
        problems.within("publish.budget_ms", publish.budget_ms, 10, 60_000);
        problems.within("publish.attempt_ms", publish.attempt_ms, 5, publish.budget_ms.clamp(10, 60_000));
        problems.within("publish.spill_ms", publish.spill_ms, 10, 60_000);
        problems.within("publish.claim_check_ms", publish.claim_check_ms, 100, 300_000);
        // At least, since heads have a few kilobytes. At most: Kinesis's default, and the local stream's limit.
        problems.within("publish.record_bytes", publish.record_bytes, 65_536, limits::RECORD_BYTES);
        let unit = limits::PUT_UNIT_BYTES;
        problems.within("publish.compress_from_bytes", publish.compress_from_bytes, 1, unit);

        let timeout = self.consumer.timeout_seconds;
        let [least, most] = [Consumer::SHORTEST_TIMEOUT, Consumer::LONGEST_TIMEOUT];
        problems.within("consumer.timeout_seconds", timeout, least, most);
    }

    fn check_quotas(&self, problems: &mut Problems) {
        let tiers = &self.tiers;
        self.check_quota("quotas.default", &self.quotas.default, problems);
        for (tier, quota) in &self.quotas.tiers {
            if !tiers.allowed.contains(tier) {
                problems.refuse("quotas.tiers", tier, format!("one of tiers.allowed: {}", tiers.listed()));
            }
            self.check_quota(&format!("quotas.tiers.{tier}"), quota, problems);
        }
        for (tenant, quota) in &self.quotas.tenants {
            self.check_quota(&format!("quotas.tenants.{tenant}"), quota, problems);
        }
    }

    fn check_quota(&self, name: &str, quota: &Quota, problems: &mut Problems) {
        let Quota { requests_per_second, requests_burst, bytes_per_second, bytes_burst } = *quota;
        // A body larger than the burst could never be accepted.
        let body = u32::try_from(self.limits.body_bytes.min(limits::BODY_BYTES)).unwrap_or(u32::MAX);
        for (unit, rate, burst, least) in [
            ("requests", requests_per_second, requests_burst, 1),
            ("bytes", bytes_per_second, bytes_burst, body),
        ] {
            if let Some(rate) = rate {
                problems.within(&format!("{name}.{unit}_per_second"), rate, 1, QUOTA);
            }
            let key = format!("{name}.{unit}_burst");
            match (burst, rate) {
                (Some(burst), None) => {
                    problems.refuse(&key, burst, format!("only with {name}.{unit}_per_second"));
                }
                (Some(burst), Some(_)) => problems.within(&key, burst, least, QUOTA),
                (None, _) => {}
            }
        }
    }
}

impl IdSources {
    fn check(&self, auth: &Auth, problems: &mut Problems) {
        // An id is stored and answered, so a secret may not become one.
        let not = [&SECRETS[..], &UNREAD_HEADERS[..]].concat();
        for (index, name) in self.headers.iter().enumerate() {
            let is_origin_secret =
                auth.origin_header.as_ref().is_some_and(|secret| secret.eq_ignore_ascii_case(name));
            if !is_header_name(name) || is_origin_secret || names(&not, name) {
                let allowed = format!("names of headers, but not {}", not.join(", "));
                problems.refuse("ids.headers", name, allowed);
            }
            if self.headers[..index].iter().any(|other| other.eq_ignore_ascii_case(name)) {
                problems.refuse("ids.headers", name, "each header once");
            }
        }
        for (index, name) in self.members.iter().enumerate() {
            if name.is_empty() || is_taken(name) {
                let allowed = "names of members that are not tenant, text or time (docs/http-api.md#members-of-an-object)";
                problems.refuse("ids.members", name, allowed);
            }
            if self.members[..index].contains(name) {
                problems.refuse("ids.members", name, "each member once");
            }
        }
    }
}

/// The headers that carry secrets.
const SECRETS: [&str; 4] = ["Authorization", "X-Api-Key", "Cookie", "webhook-signature"];

/// Headers that every request has and nothing reads, in lower case. In Lambda they are not passed on: they would take half of the
/// time for a request's headers.
pub const UNREAD_HEADERS: [&str; 6] =
    ["accept", "host", "user-agent", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"];

/// Headers with a meaning of their own. A request could not also carry a gateway's secret in one of them.
const SPOKEN_FOR: [&str; 8] = [
    "Authorization",
    "X-Api-Key",
    "webhook-signature",
    "X-Tenant-ID",
    "X-Customer-Tier",
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
];

/// Headers are compared without regard to case.
fn names(headers: &[&str], name: &str) -> bool {
    headers.iter().any(|header| header.eq_ignore_ascii_case(name))
}

fn is_header_name(name: &str) -> bool {
    HeaderName::try_from(name).is_ok()
}

/// Whether a browser writes an origin like this: without a path, not even a slash.
fn is_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:[]".contains(&byte);
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(is_allowed))
}

/// Whether the log subscriber takes it, and it says a level for everything. `loud` alone is a filter, too: it logs all of the
/// crate `loud`, and nothing else.
fn is_log_filter(filter: &str) -> bool {
    // As the subscriber gets it.
    let filter = filter.to_lowercase();
    let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    EnvFilter::try_new(&filter).is_ok()
        && filter.split(',').any(is_level)
        && filter.split(',').all(|part| is_level(part) || part.contains('='))
}
