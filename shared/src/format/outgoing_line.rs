//! An event's line, ready for the stream: inline, or as the head of a stored line.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::claim_check::Part;
use super::event_line::Event;
use crate::gzip::{self, Level};
use crate::limits;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingLine {
    pub partition_key: String,
    /// Without its newline ([`Event::line`]).
    pub line: Bytes,
    /// Whether it is the head of a stored line. A record has at most one head: this bounds what its reader fetches.
    pub is_head: bool,
    /// The record of this line alone, if the line fits only compressed. It is compressed once, to know that.
    pub record: Option<Bytes>,
}

impl OutgoingLine {
    /// The event's line for a record of at most `record_bytes`. If the line does not fit, this is the head, and the parts
    /// must be stored before it is put on the stream.
    pub fn new(mut event: Event, partition_key: String, record_bytes: usize) -> (Self, Vec<Part>) {
        let line = event.line();
        let is_head = event.claim_check.is_some();
        let room = record_bytes.saturating_sub(partition_key.len());
        if is_head || line.len() < room {
            return (Self { partition_key, line: line.into(), is_head, record: None }, Vec::new());
        }
        let compressed = gzip::compress(&line, Level::FAST);
        // The bound on its uncompressed size is the bound on its reader's memory.
        if line.len() <= limits::INLINE_BYTES && compressed.len() <= room {
            let record = Some(compressed.into());
            return (Self { partition_key, line: line.into(), is_head, record }, Vec::new());
        }
        let parts = event.check_in_compressed(compressed, line.len());
        (Self::head(&event, partition_key), parts)
    }

    /// The head of this line, and the parts to store before the head is put anywhere.
    pub fn into_head(self) -> Result<(Self, Vec<Part>), serde_json::Error> {
        let mut event: Event = serde_json::from_slice(&self.line)?;
        let parts = event.check_in(&self.line);
        Ok((Self::head(&event, self.partition_key), parts))
    }

    fn head(event: &Event, partition_key: String) -> Self {
        Self { partition_key, line: event.line().into(), is_head: true, record: None }
    }
}

/// Whether a line is a head. It parses the line, so it is for readers of few lines.
pub fn is_head(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Head {
        claim_check: Option<IgnoredAny>,
    }
    serde_json::from_slice(line).is_ok_and(|Head { claim_check }| claim_check.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record;

    const LINE: &str = r#"{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","text":"","fields":{"a":1}}"#;

    fn noise(bytes: u32) -> String {
        let letter = |n: u32| n.wrapping_mul(2_654_435_761).wrapping_mul(n | 1).to_be_bytes()[0] % 64;
        (0..bytes).map(|n| char::from(b'0' + letter(n))).collect()
    }

    fn event(text: String) -> Event {
        Event { text, ..serde_json::from_str(LINE).unwrap() }
    }

    /// The stored line is the event, and the head has the same facts.
    fn check_head(event: &Event, outgoing: &OutgoingLine, parts: Vec<Part>) {
        let head: Event = serde_json::from_slice(&outgoing.line).unwrap();
        assert_eq!((&head.facts, head.content_hash()), (&event.facts, event.content_hash()));
        assert!(outgoing.is_head && is_head(&outgoing.line) && outgoing.line.len() < 1_000);
        let parts: Vec<_> = parts.into_iter().map(|(_, part)| part).collect();
        let line = head.claim_check.unwrap().line(&parts).unwrap();
        assert_eq!(serde_json::from_slice::<Event>(&line).unwrap(), *event);
    }

    #[test]
    fn a_line_that_fits_a_record_goes_inline_and_a_larger_one_is_stored() {
        let check = |text: String, fits: bool| {
            let event = event(text);
            let (outgoing, parts) = OutgoingLine::new(event.clone(), "acme".to_owned(), limits::RECORD_BYTES);
            assert_eq!(parts.is_empty(), fits);
            let record = outgoing.record.clone().unwrap_or_else(|| record::pack(&[&outgoing.line]).into());
            assert!(record.len() + "acme".len() <= limits::RECORD_BYTES);
            assert_eq!(record::unpack(&record, &[]).unwrap().entries.len(), 1);
            if !fits {
                return check_head(&event, &outgoing, parts);
            }
            assert_eq!(outgoing.line, event.line());
            assert!(!outgoing.is_head && !is_head(&outgoing.line));
        };
        check("short".to_owned(), true);
        check("again and ".repeat(1_000_000), true);
        check("again and ".repeat(1_700_000), false);
        check(noise(1_000_000), true);
        check(noise(2_000_000), false);
    }

    #[test]
    fn an_inline_line_can_still_become_a_head() {
        let event = event("hello".to_owned());
        let (outgoing, _) = OutgoingLine::new(event.clone(), "acme".to_owned(), limits::RECORD_BYTES);
        let (head, parts) = outgoing.into_head().unwrap();
        check_head(&event, &head, parts);
        // A head stays one.
        let read: Event = serde_json::from_slice(&head.line).unwrap();
        assert_eq!(OutgoingLine::new(read, "acme".to_owned(), limits::RECORD_BYTES), (head, Vec::new()));
    }
}
