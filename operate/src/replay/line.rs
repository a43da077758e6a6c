//! An archive line as an event for another deployment.

use anyhow::{Context, bail};
use bytes::Bytes;
use shared::format::archive_line::ArchiveLine;
use shared::format::claim_check::BlobRef;
use shared::format::event_line::{Event, Text};
use shared::objects::ObjectStore;

/// The event of an archive line: with the original text if the archive has it, else with the transformed one. It keeps its
/// admission id, so a repeated replay stores it once. Large parts are read, since another deployment cannot read the
/// bucket.
pub(crate) async fn event(line: &[u8], objects: &impl ObjectStore) -> anyhow::Result<Event> {
    let line: ArchiveLine<'_> = serde_json::from_slice(line).context("it is no archive line")?;
    let text = match (line.original_text, line.original_ref, line.text, line.text_ref) {
        (Some(text), ..) | (None, None, Some(text), _) => text.into_owned(),
        (None, Some(blob), ..) | (None, None, None, Some(blob)) => {
            String::from_utf8(fetch(&blob, objects).await?.into()).context("its text is not UTF-8")?
        }
        (None, None, None, None) => bail!("it has no text"),
    };
    let fields = match &line.fields_ref {
        None => line.fields.into_owned(),
        Some(blob) => serde_json::from_slice(&fetch(blob, objects).await?).context("its fields")?,
    };
    Ok(Event {
        facts: line.facts.into_owned(),
        text: Text::Inline(text),
        fields,
        fields_ref: None,
        redrive_of: Vec::new(),
    })
}

async fn fetch(blob: &BlobRef, objects: &impl ObjectStore) -> anyhow::Result<Bytes> {
    let mut parts = Vec::new();
    for key in blob.part_keys() {
        let part = objects.get(&key).await?;
        parts.push(part.with_context(|| format!("`{key}`, which it refers to, does not exist"))?);
    }
    Ok(blob.join(parts)?)
}

#[cfg(test)]
mod tests {
    use shared::objects::memory::MemoryObjects;

    use super::*;

    /// As it was in archives on 21 November 2026, but for the members that are put in.
    fn line(members: &str) -> String {
        format!(
            r#"{{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50.234200Z","processed_at":"2026-11-21T09:30:02.000Z",{members},"shard":"shardId-000000000000","sequence_number":"95","position":0}}"#
        )
    }

    async fn text_of(members: &str, objects: &MemoryObjects) -> Result<String, String> {
        match event(line(members).as_bytes(), objects).await {
            Ok(Event { text: Text::Inline(text), .. }) => Ok(text),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    #[tokio::test]
    async fn an_archive_line_is_the_event_that_was_admitted_with_the_text_that_is_known() {
        let nothing = MemoryObjects::default();
        let event =
            event(line(r#""text":"[REDACTED]","fields":{"a":1e2}"#).as_bytes(), &nothing).await.unwrap();
        insta::assert_snapshot!(serde_json::to_string(&event).unwrap(), @r#"{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50.234200Z","text":"[REDACTED]","fields":{"a":1e2}}"#);
        let both = r#""text":"[REDACTED]","original_text":"555-0199""#;
        assert_eq!(text_of(both, &nothing).await.unwrap(), "555-0199");
        assert_eq!(text_of(r#""fields":{}"#, &nothing).await.unwrap_err(), "it has no text");
    }

    #[tokio::test]
    async fn what_lies_elsewhere_is_fetched_and_checked() {
        let blob = BlobRef::to(b"large", |sha256| format!("texts/acme/123/{sha256}"));
        let members = format!(r#""text_ref":{}"#, serde_json::to_string(&blob).unwrap());
        let there = |bytes: &'static [u8]| {
            let objects = MemoryObjects::default();
            objects.add(&blob.key, bytes);
            objects
        };
        assert_eq!(text_of(&members, &there(b"large")).await.unwrap(), "large");
        assert!(text_of(&members, &there(b"other")).await.unwrap_err().contains("another checksum"));
        assert!(text_of(&members, &MemoryObjects::default()).await.unwrap_err().contains("does not exist"));
    }
}
