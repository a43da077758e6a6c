//! Fixed values in place of those that differ from run to run.

use std::collections::HashMap;
use std::path::Path;

use regex::{Captures, Regex};
use shared::format::item::short;
use shared::id::AdmissionId;
use shared::time::Timestamp;
use uuid::Uuid;

/// Every time of the run becomes this one.
pub(super) fn at() -> Timestamp {
    Timestamp::from_unix_ms(1_795_253_400_000)
}

const DAY: i64 = 24 * 60 * 60;

pub(super) struct Mask {
    data: String,
    address: String,
    started: i64,
    pattern: Regex,
    log: Regex,
    ids: HashMap<String, usize>,
}

impl Mask {
    pub(super) fn new(data: &Path, url: &str) -> Self {
        // Clients' times are of 2024 and stay.
        let pattern = r"(?x)
            (?<time>20(?:2[5-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)
            |(?<day>dt=\d{4}-\d\d-\d\d)
            |(?<hour>/hr=\d\d)
            |(?<id>[0-9a-f]{8}-[0-9a-f]{4}-(?<version>[0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})
            |(?<epoch>\b17\d{11}\b)";
        Self {
            data: data.display().to_string(),
            address: url.trim_start_matches("http://").to_owned(),
            started: shared::time::Clock::system().now().unix_ms() / 1_000,
            pattern: Regex::new(pattern).expect("a pattern"),
            log: Regex::new(r"object\.bytes=\d+|Root=[0-9a-f-]+|(?<digest>[0-9a-f]{16})\.ndjson|pid=\d+")
                .expect("a pattern"),
            ids: HashMap::new(),
        }
    }

    /// Ids are numbered in the order in which they appear first.
    pub(super) fn text(&mut self, text: &str) -> String {
        let text = text.replace(&self.data, ".tidegate").replace(&self.address, "127.0.0.1:8080");
        let ids = &mut self.ids;
        let replaced = self.pattern.replace_all(&text, |found: &Captures<'_>| {
            let is = |name| found.name(name).is_some();
            if is("time") {
                at().to_string()
            } else if is("day") {
                at().day_partition()
            } else if is("hour") {
                "/hr=09".to_owned()
            } else if is("epoch") {
                at().unix_ms().to_string()
            } else {
                let next = ids.len() + 1;
                let number = ids.entry(found["id"].to_owned()).or_insert(next);
                format!("019aa553-4a00-{}000-8000-{number:012}", &found["version"])
            }
        });
        replaced.into_owned()
    }

    /// The same of an admission as items have it.
    pub(super) fn admission(&mut self, text: &str) -> String {
        let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).expect("base64");
        let id = Uuid::from_slice(&bytes).expect("16 bytes").to_string();
        short::admission(AdmissionId(self.text(&id).parse().expect("a UUID")))
    }

    /// Days after [`at`], as the item's life in the run.
    pub(super) fn expiry(&self, seconds: i64) -> i64 {
        let days = (seconds - self.started + DAY / 2) / DAY;
        at().unix_ms() / 1_000 + days * DAY
    }

    /// The log has the sizes and the checksum of the masked objects.
    pub(super) fn log(&mut self, log: &str, object_bytes: usize, quarantine_sha256: &str) -> String {
        let log = self.text(log);
        let replaced = self.log.replace_all(&log, |found: &Captures<'_>| match &found[0] {
            size if size.starts_with("object") => format!("object.bytes={object_bytes}"),
            trace if trace.starts_with("Root") => format!("Root=1-6a202e08-{:024}", 1),
            _ if found.name("digest").is_some() => format!("{}.ndjson", &quarantine_sha256[..16]),
            _ => "pid=4711".to_owned(),
        });
        replaced.into_owned()
    }
}
