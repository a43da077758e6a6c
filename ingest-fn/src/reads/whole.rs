//! A large event: its item holds the beginning of its text. The whole is in the archive, found by the item's origin.

use bytes::Bytes;
use shared::archive::{NotRead, each_line, members_of, whole};
use shared::format::archive_line::ArchiveLine;
use shared::format::manifest_row::ManifestRow;
use shared::objects::ObjectStore;
use shared::origin::ShardPosition;

use super::port::{EventReader, ReadFailure, StoredEvent};
use crate::offload::offload;

/// Replaces what the item left out, if the event is archived. Otherwise, or if the archive has expired, it stays as it is.
pub(crate) async fn fill_in(
    event: &mut StoredEvent,
    reader: &impl EventReader,
    objects: &impl ObjectStore,
) -> Result<(), ReadFailure> {
    let Some(row) = reader.archive_object(&event.item.origin).await? else { return Ok(()) };
    match line(event, &row, objects).await {
        Ok(Some(line)) => put_in(event, line),
        Ok(None) => tracing::warn!(
            object.key = row.key,
            "the archive does not have a large event any more; it is answered in part"
        ),
        Err(NotRead::Store(failure)) => return Err(ReadFailure(failure.to_string())),
        Err(NotRead::Unreadable(why)) => tracing::error!(
            object.key = row.key,
            why,
            "a large event cannot be read from the archive, and is answered in part: {why}"
        ),
    }
    Ok(())
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

fn put_in(event: &mut StoredEvent, line: ArchiveLine<'static>) {
    let item = &mut event.item;
    (item.modified_data, item.modified_data_bytes) = (line.text.into_owned(), None);
    (item.fields, item.fields_bytes) = (line.fields.into_owned(), None);
    if let Some(original) = line.original_text {
        (item.original_text, item.original_text_bytes) = (original.into_owned(), None);
    }
}
