//! Quarantine: what could not be read or stored, with reason and bytes, the newest first.

use std::time::Duration;

use base64_simd::STANDARD;
use operate::archive::earlier;
use operate::deployment::ListedObject;
use serde_json::{Value, json};
use shared::format::key;
use shared::format::quarantine_line::QuarantineLine;
use shared::objects::ObjectStore;

use super::{Failure, ROWS, Shown};

/// Only the objects of the last days are looked for, and of these only so many bytes are read.
const DAYS: u64 = 7;
const READ_BYTES: u64 = 4 * 1024 * 1024;
/// The most bytes that are shown of a line.
const SHOWN_BYTES: usize = 2_048;

impl Shown {
    pub(super) async fn quarantine(&self) -> Result<Value, Failure> {
        let most = ROWS as usize;
        let (mut lines, mut read_bytes) = (Vec::new(), 0);
        let mut objects = self.quarantine_objects(most).await?.into_iter();
        for object in objects.by_ref() {
            // One that is too large is named, not read.
            if object.bytes > READ_BYTES.saturating_sub(read_bytes) {
                lines.push(json!({ "key": object.key, "size": object.bytes, "too_large": true }));
            } else if let Some(bytes) = self.page.objects.get(&object.key).await? {
                read_bytes += object.bytes;
                let of_object = QuarantineLine::read_each(&bytes).map(|line| line_of(&object.key, line));
                lines.extend(of_object.take(most + 1 - lines.len().min(most)));
            }
            if lines.len() > most {
                break;
            }
        }
        let more = lines.len() > most || objects.next().is_some();
        lines.truncate(most);
        Ok(json!({ "lines": lines, "more": more, "days": DAYS }))
    }

    /// The objects of the last days that have some, the last written first.
    async fn quarantine_objects(&self, most: usize) -> Result<Vec<ListedObject>, Failure> {
        let now = self.page.clock.now();
        let mut found = Vec::new();
        for day in 0..DAYS {
            let day = earlier(now, Duration::from_hours(24 * day)).day_partition();
            let mut of_day = self.page.objects.folder.list(&format!("{}{day}/", key::QUARANTINE)).await?;
            of_day.sort_by_key(|object| std::cmp::Reverse(object.written));
            found.extend(of_day);
            if found.len() > most {
                break;
            }
        }
        found.truncate(most + 1);
        Ok(found)
    }
}

fn line_of(key: &str, line: Result<QuarantineLine, serde_json::Error>) -> Value {
    let line = match line {
        Ok(line) => line,
        Err(error) => return json!({ "key": key, "error": error.to_string() }),
    };
    let shown = &line.bytes[..line.bytes.len().min(SHOWN_BYTES)];
    json!({
        "key": key,
        "reason": line.reason,
        "detail": line.detail,
        "tenant": line.tenant,
        "id": line.id,
        "arrival": line.arrival,
        "shard": line.origin.shard,
        "size": line.bytes.len(),
        "bytes": STANDARD.encode_to_string(shown),
    })
}
