//! What a client sent, as one hash: two events with one id are the same event, or they are not.

use shared::digest::sha256;
use shared::format::event_line::{Event, Text};

/// SHA-256 over text, fields and event time; what the door or we make of them does not count. The same whether the
/// parts came in the line or by reference. On disk, and compared with hashes that other versions wrote: never changed.
pub fn content_hash(event: &Event) -> String {
    let inline;
    let text = match &event.text {
        Text::Inline(text) => {
            inline = sha256(text.as_bytes());
            &inline
        }
        Text::Ref(blob) => &blob.sha256,
    };
    let fields = match &event.fields_ref {
        None => sha256(event.fields.as_json().as_bytes()),
        Some(blob) => blob.sha256.clone(),
    };
    let time = event.facts.event_time.map(|time| time.to_string()).unwrap_or_default();
    sha256(format!("{text}\n{fields}\n{time}").as_bytes())
}

#[cfg(test)]
mod tests {
    use shared::fields::Fields;
    use shared::format::claim_check::BlobRef;

    use super::*;

    const LINE: &str = r#"{"v":1,"id":"1","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50Z","text":"hello","fields":{"a":1}}"#;

    fn event() -> Event {
        serde_json::from_str(LINE).unwrap()
    }

    #[test]
    fn yesterdays_hash_is_todays() {
        insta::assert_snapshot!(content_hash(&event()), @"da6f69ecaf008807fd91ea6948136d2409e5248a2ff8332b155713a7021fea19");
    }

    #[test]
    fn what_came_by_reference_has_the_same_hash() {
        let mut by_reference = event();
        by_reference.text = Text::Ref(BlobRef::to(b"hello", str::to_owned));
        by_reference.fields = Fields::empty();
        by_reference.fields_ref = Some(BlobRef::to(br#"{"a":1}"#, str::to_owned));
        assert_eq!(content_hash(&by_reference), content_hash(&event()));
    }

    #[test]
    fn another_text_field_or_time_is_another_content() {
        let changed = |from, to| content_hash(&serde_json::from_str(&LINE.replace(from, to)).unwrap());
        let hashes = [
            content_hash(&event()),
            changed("hello", "hallo"),
            changed(r#""a":1"#, r#""a":2"#),
            changed("01:42:50Z", "01:42:51Z"),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..index].contains(hash));
        }
        assert_eq!(changed("09:30:00", "09:31:00"), hashes[0], "when the door had it does not count");
    }
}
