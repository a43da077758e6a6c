//! Whether two events with one id are the same event, sent again. It is decided by the value of what the client sent, not
//! by its spelling; and by the id alone, if both times it was the name of the message itself.

use sha2::{Digest, Sha256};

use super::event_line::Event;
use crate::canonical::{END, canonical};
use crate::digest::hex;

/// The hash of an event whose id is the message's own name begins with this.
const MESSAGE: &str = "message:";

/// 128 bits are enough: it is compared only with another event's of the same tenant and id. By chance two of them are equal once
/// in 2^128 times. A tenant who makes two contents of one hash, with some 2^64 attempts, loses the second of its own events as
/// a duplicate.
const BYTES: usize = 16;

/// A hash over text, fields and event time. It is compared with stored hashes of other versions: never change it.
pub(super) fn of(event: &Event) -> String {
    let mut hash = Sha256::new();
    // A flattened text has the spelling of the fields. An event without a text is another one than with an empty text.
    if !event.is_flattened {
        hash.update(&event.text);
        hash.update([END]);
    }
    // What is canonical shows where it ends.
    hash.update(canonical(event.fields.as_json()));
    if let Some(time) = event.facts.event_time {
        hash.update(time.to_string());
    }
    let hash = hex(&hash.finalize()[..BYTES]);
    if event.is_message { format!("{MESSAGE}{hash}") } else { hash }
}

/// Whether two events with the same id are the same event, by their hashes.
pub fn is_same(one: &str, other: &str) -> bool {
    match (one.strip_prefix(MESSAGE), other.strip_prefix(MESSAGE)) {
        (Some(_), Some(_)) => true,
        // An id from another source may be the same by chance, so the content decides.
        (one_content, other_content) => one_content.unwrap_or(one) == other_content.unwrap_or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of an event with these members.
    fn hash(members: &str) -> String {
        let event: Event = serde_json::from_str(&line(members)).unwrap();
        event.content_hash()
    }

    fn line(members: &str) -> String {
        format!(
            r#"{{"v":1,"id":"1","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z",{members}}}"#
        )
    }

    #[test]
    fn yesterdays_content_hash_is_todays() {
        let members = r#""event_time":"2024-01-11T01:42:50Z","text":"hello","fields":{"a":1}"#;
        insta::assert_snapshot!(hash(members), @"e09f9c7ad81b473e552cbe756433f613");
        insta::assert_snapshot!(hash(r#""text":"a=1","fields":{"a":1},"flattened":true"#), @"5c28d2865aa2d01bc9b8a77550e5a49b");
        insta::assert_snapshot!(hash(r#""text":"hello","message":true"#), @"message:9f31c04e7a3b184ab13d04f4589f511c");

        let mut event: Event = serde_json::from_str(&line(members)).unwrap();
        event.check_in(line(members).as_bytes());
        assert_eq!(event.content_hash(), hash(members), "a head has the hash of its whole line");
    }

    #[test]
    fn another_text_field_or_time_is_another_content_and_another_spelling_is_not() {
        let content =
            hash(r#""event_time":"2024-01-11T01:42:50Z","text":"1.0","fields":{"a":{"b":1,"c":2}}"#);
        for other in [
            r#""event_time":"2024-01-11T01:42:50Z","text":"1","fields":{"a":{"b":1,"c":2}}"#,
            r#""event_time":"2024-01-11T01:42:50Z","text":"1.0","fields":{"a":{"b":1.5,"c":2}}"#,
            r#""event_time":"2024-01-11T01:42:51Z","text":"1.0","fields":{"a":{"b":1,"c":2}}"#,
            r#""text":"1.0","fields":{"a":{"b":1,"c":2}}"#,
            r#""event_time":"2024-01-11T01:42:50Z","text":"1.0""#,
        ] {
            assert!(!is_same(&content, &hash(other)), "{other}");
        }
        let spelled =
            r#""event_time":"2024-01-11T01:42:50.000Z","text":"1.0","fields":{ "a":{"c":2.0,"\u0062":1}}"#;
        assert!(is_same(&content, &hash(spelled)));
    }

    #[test]
    fn a_flattened_text_counts_by_its_fields_and_is_no_empty_text() {
        let flat = hash(r#""text":"a=1.0","fields":{"a":1.0},"flattened":true"#);
        assert!(is_same(&flat, &hash(r#""text":"a=1","fields":{"a":1},"flattened":true"#)));
        assert!(!is_same(&flat, &hash(r#""text":"","fields":{"a":1}"#)));
        assert!(!is_same(&flat, &hash(r#""text":"a=1","fields":{"a":1}"#)));
    }

    #[test]
    fn two_messages_of_one_name_are_one_and_otherwise_the_content_decides() {
        let [message, changed] = ["x", "y"].map(|text| hash(&format!(r#""text":"{text}","message":true"#)));
        let [content, other] = ["x", "y"].map(|text| hash(&format!(r#""text":"{text}""#)));
        assert!(is_same(&message, &changed));
        assert!(is_same(&message, &content) && is_same(&content, &message));
        assert!(!is_same(&message, &other) && !is_same(&other, &message));
    }
}
