//! The items table: the items that were inserted last, and the way of one event through the pipeline.

use ingest_fn::EventReader;
use serde_json::{Value, json};
use shared::archive::{each_line, members_of};
use shared::format::archive_line::Identity;
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::origin::Origin;

use super::{Failure, ROWS, Shown};
use crate::embedded::{EmbeddedItems, EmbeddedReader, ListedItem, StreamedRecord};

/// The most tenants that are offered to choose from.
const TENANTS: u32 = 200;
/// Of a text, or of an archive line, in characters.
const TEXT: usize = 20_000;

impl Shown {
    pub(super) async fn items(&self) -> Result<Value, Failure> {
        let items = self.overview.items(ROWS).await?.into_iter().map(|item| {
            let ListedItem { tenant, id, tier, received_at, text } = item;
            json!({ "tenant": tenant, "id": id, "tier": tier, "received_at": received_at, "text": text })
        });
        Ok(json!({ "items": items.collect::<Vec<_>>(), "tenants": self.overview.tenants(TENANTS).await? }))
    }

    /// Where one event has been: its record, its item, its line.
    pub(super) async fn event(&self, tenant: &str, id: &str) -> Result<Value, Failure> {
        let tenant = TenantId::parse(tenant).map_err(|why| Failure::Parameter(why.to_string()))?;
        let id = EventId::parse(id).map_err(|why| Failure::Parameter(why.to_string()))?;
        let database = self.overview.0.clone();
        let name = [(tenant, id)];
        let found = EmbeddedItems(database.clone()).attributes(&name).await?;
        let [(tenant, id)] = name;
        let Some(mut item) = found.into_iter().next().flatten() else {
            return Ok(json!({ "found": false }));
        };
        for value in item.values_mut() {
            if let Some(text) = value.as_str() {
                *value = cut(text).into();
            }
        }
        let reader = EmbeddedReader(database);
        let Some(event) = reader.find(&tenant, &id).await? else { return Ok(json!({ "found": false })) };
        let origin = &event.item.origin;
        let record = self.overview.record(&origin.sequence_number).await?;
        let row = reader.archive_object(origin).await?;
        let line = match &row {
            Some(row) => self.line(row, &tenant, origin).await?,
            None => None,
        };
        let object = match row {
            Some(row) => {
                // When its file was written is when the event was durable.
                let listed = self.page.objects.folder.list(&row.key).await?;
                let written = listed.first().map(|object| object.written);
                Some(json!({ "key": row.key, "bytes": row.bytes, "lines": row.lines, "written": written }))
            }
            None => None,
        };
        Ok(json!({
            "found": true,
            "item": item,
            "received_at": event.item.facts.received_at,
            "processed_at": event.item.processed_at,
            "origin": origin,
            "record": record.map(|StreamedRecord { arrival, bytes }| json!({ "arrival": arrival, "bytes": bytes })),
            "object": object,
            "line": line,
            "dispatch": event.dispatch_status,
        }))
    }

    /// The archive line at `origin`, of the tenant's part of the object.
    async fn line(
        &self,
        row: &ManifestRow,
        tenant: &TenantId,
        origin: &Origin,
    ) -> Result<Option<String>, Failure> {
        let members = members_of(&self.page.objects, row, tenant).await?.members.unwrap_or_default();
        let origin = origin.clone();
        let find = move || {
            let mut found = None;
            for member in &members {
                each_line(member, |line: Identity, bytes| {
                    if line.origin() == origin {
                        found = Some(cut(&String::from_utf8_lossy(bytes)));
                    }
                })?;
            }
            Ok::<_, Failure>(found)
        };
        tokio::task::spawn_blocking(find).await?
    }
}

/// The beginning of a text, with a mark if that is not all.
fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
