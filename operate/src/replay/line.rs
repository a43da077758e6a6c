//! An archive line as an event for another deployment.

use shared::archive;
use shared::format::event_line::Event;
use shared::objects::ObjectStore;

/// The event of an archive line: with the text as it came in if the archive has it, else as it was transformed. It keeps
/// its admission, so that a repeated replay stores it once. The line of a head is fetched, since another deployment has
/// another bucket.
pub(crate) async fn event(line: &[u8], objects: &impl ObjectStore) -> anyhow::Result<Event> {
    let line = archive::whole(line, objects).await?;
    Ok(Event {
        facts: line.facts.into_owned(),
        text: line.original_text.unwrap_or(line.text).into_owned(),
        fields: line.fields.into_owned(),
        // The archive does not say how the event was named, and its text may be another than the fields'.
        is_flattened: false,
        is_message: false,
        claim_check: None,
        redrive_of: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::objects::memory::MemoryObjects;

    use shared::format::claim_check::ClaimCheck;
    use shared::gzip;

    use super::*;

    /// As it was in archives on 21 November 2026, but for the members that are put in.
    fn line(members: &str) -> String {
        format!(
            r#"{{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50.234200Z","processed_at":"2026-11-21T09:30:02.000Z",{members},"shard":"shardId-000000000000","sequence_number":"95","position":0}}"#
        )
    }

    async fn text_of(members: &str, objects: &MemoryObjects) -> Result<String, String> {
        match event(line(members).as_bytes(), objects).await {
            Ok(event) => Ok(event.text),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    #[tokio::test]
    async fn an_archive_line_is_the_event_that_was_admitted_with_the_text_that_is_known() {
        let nothing = MemoryObjects::default();
        let event =
            event(line(r#""text":"[REDACTED]","fields":{"a":1e2}"#).as_bytes(), &nothing).await.unwrap();
        insta::assert_snapshot!(String::from_utf8(event.line()).unwrap(), @r#"{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50.234200Z","text":"[REDACTED]","fields":{"a":1e2}}"#);
        let both = r#""text":"[REDACTED]","original_text":"555-0199""#;
        assert_eq!(text_of(both, &nothing).await.unwrap(), "555-0199");
        assert!(text_of(r#""fields":{}"#, &nothing).await.unwrap_err().contains("not an archive line"));
    }

    #[tokio::test]
    async fn a_line_that_is_stored_apart_is_fetched_and_checked() {
        let whole = line(r#""text":"large""#);
        let (claim_check, parts) = ClaimCheck::new(
            gzip::compress(whole.as_bytes(), gzip::Level::FAST),
            whole.len(),
            "hash".to_owned(),
            |sha256| format!("texts/acme/123/{sha256}"),
        );
        let members = format!(r#""claim_check":{}"#, serde_json::to_string(&claim_check).unwrap());
        let there = |bytes: Bytes| {
            let objects = MemoryObjects::default();
            objects.add(&parts[0].0, bytes);
            objects
        };
        assert_eq!(text_of(&members, &there(parts[0].1.clone())).await.unwrap(), "large");
        let other = text_of(&members, &there(Bytes::from_static(b"other"))).await;
        assert!(other.unwrap_err().contains("another checksum"));
        let missing = text_of(&members, &MemoryObjects::default()).await;
        assert!(missing.unwrap_err().contains("does not exist"));
    }
}
