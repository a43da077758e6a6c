//! An event of which the item has only the beginning, or no content at all. The whole is in the archive, found by the item's
//! origin.

use bytes::Bytes;
use shared::archive::{NotRead, each_line, members_of, whole};
use shared::format::archive_line::ArchiveLine;
use shared::format::manifest_row::ManifestRow;
use shared::objects::ObjectStore;
use shared::origin::ShardPosition;

use super::port::{EventReader, ReadFailure, StoredEvent};
use crate::offload::offload;

/// The archive line of the event; `None` if it is not archived yet, or the archive has expired.
pub(crate) async fn archived(
    event: &StoredEvent,
    reader: &impl EventReader,
    objects: &impl ObjectStore,
) -> Result<Option<ArchiveLine<'static>>, ReadFailure> {
    let Some(row) = reader.archive_object(&event.item.origin).await? else { return Ok(None) };
    match line(event, &row, objects).await {
        Ok(Some(line)) => return Ok(Some(line)),
        Ok(None) => tracing::warn!(
            object.key = row.key,
            "the archive does not have an event any more; it is answered as its item has it"
        ),
        Err(NotRead::Store(failure)) => return Err(ReadFailure(failure.to_string())),
        Err(NotRead::Unreadable(why)) => tracing::error!(
            object.key = row.key,
            why,
            "an event cannot be read from the archive, and is answered as its item has it: {why}"
        ),
    }
    Ok(None)
}

/// The archive line of the event; `None` if its object does not exist.
async fn line(
    event: &StoredEvent,
    row: &ManifestRow,
    objects: &impl ObjectStore,
) -> Result<Option<ArchiveLine<'static>>, NotRead> {
    let facts = &event.item.facts;
    let Some(members) = members_of(objects, row, &facts.tenant).await?.members else { return Ok(None) };
    let at = ShardPosition::from(&event.item.origin);
    let bytes = members.iter().map(Bytes::len).sum();
    let found = offload(bytes, move || line_at(&members, &at)).await?;
    let found = found.ok_or_else(|| NotRead::Unreadable("it has no line of the event".to_owned()))?;
    let line = whole(&found, objects).await?;
    if (&line.facts.tenant, &line.facts.id) != (&facts.tenant, &facts.id) {
        return Err(NotRead::Unreadable("it has another event where this one should be".to_owned()));
    }
    Ok(Some(line))
}

fn line_at(members: &[Bytes], at: &ShardPosition) -> Result<Option<Vec<u8>>, NotRead> {
    let mut found = None;
    for member in members {
        each_line(member, |position: ShardPosition, line| {
            if position == *at {
                found = Some(line.to_vec());
            }
        })?;
    }
    Ok(found)
}
