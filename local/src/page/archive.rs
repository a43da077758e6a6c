//! The archive: the objects that were noted last, and the lines of one.

use operate::deployment::NotedRow;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::archive::each_line_of_first;
use shared::format::manifest_row::TenantIndex;
use shared::objects::ObjectStore;

use super::{Failure, ROWS, Shown};

/// The most lines of an answer.
const LINES: usize = 100;
/// Of a text in a list, in characters.
const PREVIEW: usize = 200;

/// What a list shows of a line.
#[derive(Deserialize)]
struct Listed {
    id: String,
    tenant: String,
    tier: String,
    received_at: String,
    text: Option<String>,
}

impl Shown {
    pub(super) async fn objects(&self) -> Result<Value, Failure> {
        let rows = self.overview.objects(ROWS).await?;
        Ok(json!({ "objects": rows.iter().map(object).collect::<Vec<_>>() }))
    }

    /// The lines of an archive object from the line `from` on.
    pub(super) async fn lines(&self, key: &str, from: usize) -> Result<Value, Failure> {
        if !key.starts_with("events/") {
            return Err(Failure::Parameter(format!("`{key}` is not the key of an archive object")));
        }
        let Some(object) = self.page.objects.get(key).await? else { return Ok(json!({ "found": false })) };
        let key = key.to_owned();
        let read = move || {
            let (mut lines, mut count) = (Vec::new(), 0);
            let mut rest = &object[..];
            while !rest.is_empty() {
                let length = each_line_of_first(rest, |line: Listed, _| {
                    if (from..from.saturating_add(LINES)).contains(&count) {
                        lines.push(listed(line));
                    }
                    count += 1;
                })?;
                rest = &rest[length..];
            }
            let more = count > from.saturating_add(lines.len());
            Ok::<_, Failure>(json!({
                "found": true, "key": key, "bytes": object.len(), "count": count, "from": from, "lines": lines, "more": more,
            }))
        };
        tokio::task::spawn_blocking(read).await?
    }
}

fn object(row: &NotedRow) -> Value {
    let row = match row {
        Ok(row) => row,
        Err(unreadable) => return json!({ "key": unreadable.key, "error": unreadable.why }),
    };
    let tenants = match &row.tenants {
        TenantIndex::Ranges(ranges) => Some(ranges.len()),
        TenantIndex::Sidecar(_) => None,
    };
    let [oldest, youngest] = row.received_at;
    json!({
        "key": row.key, "bytes": row.bytes, "lines": row.lines, "tenants": tenants, "oldest": oldest, "youngest": youngest,
    })
}

fn listed(line: Listed) -> Value {
    let Listed { id, tenant, tier, received_at, text } = line;
    let text = text.map(|text| text.chars().take(PREVIEW).collect::<String>());
    json!({ "id": id, "tenant": tenant, "tier": tier, "received_at": received_at, "text": text })
}
