//! A message of the dispatch queue: one stored event, as its archive line. In the dead-letter queue it also says why. A
//! message may wait for weeks, so newer versions of Tidegate read it too.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::archive_line::ArchiveLine;
use super::claim_check::{ClaimCheck, Part};
use super::{key, record};
use crate::gzip::{self, Cap, InflateError, Level};
use crate::limits;
use crate::time::Timestamp;

/// The version of the body. A reader takes this one and those before it.
const VERSION: u32 = 1;

/// The most bytes of packed line in a body. The rest is for names, a reason, and base64.
const PACKED_BYTES: usize = limits::MESSAGE_BYTES / 4 * 3 - 4 * 1024;

/// The most bytes of a reason, which may quote the target.
const REASON_BYTES: usize = 2_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchMessage {
    /// [`record::pack`] of the archive line: whole, or the head of a stored line.
    packed: Vec<u8>,
    /// Failed calls that do not count, since they were made before a redrive. `None` if the message was not redriven.
    pub after_attempts: Option<u32>,
    /// Only of a dead letter.
    pub failure: Option<DispatchFailure>,
}

/// Why an event is not sent any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatchFailure {
    pub reason: String,
    /// All calls for the event that failed.
    pub attempts: u32,
    pub failed_at: Timestamp,
}

/// A body without an event that can be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableDispatch {
    #[error("the body is not a dispatch message: {0}")]
    Body(#[from] serde_json::Error),
    #[error("the body has version {0}, this reader knows {VERSION}")]
    NewerVersion(u32),
    #[error("the line is not base64")]
    Base64,
    #[error("the line is a gzip stream, but {0}")]
    Gzip(#[from] InflateError),
}

/// Names are in queues: never renamed.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    v: u32,
    /// In base64, since SQS takes not every character.
    #[serde(borrow)]
    line: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after_attempts: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<DispatchFailure>,
}

impl DispatchMessage {
    /// The message for an archive line. The parts must be stored before it is sent: they are the line, if it is too large.
    pub fn of(line: &[u8]) -> Result<(Self, Vec<Part>), serde_json::Error> {
        let line = line.trim_ascii_end();
        let packed = record::pack(&[line]);
        if packed.len() <= PACKED_BYTES && line.len() <= limits::INLINE_BYTES {
            return Ok((Self::packed(packed), Vec::new()));
        }
        let mut head: ArchiveLine<'_> = serde_json::from_slice(line)?;
        let stored = gzip::compress(line, Level::FAST);
        let key = |sha256: &str| key::claim(&head.facts.tenant, &head.facts.id, sha256);
        let (claim_check, parts) = ClaimCheck::new(stored, line.len(), String::new(), key);
        head.claim_check = Some(claim_check);
        Ok((Self::packed(record::pack(&[head.to_bytes().trim_ascii_end()])), parts))
    }

    fn packed(packed: Vec<u8>) -> Self {
        Self { packed, after_attempts: None, failure: None }
    }

    pub fn body(&self) -> String {
        let body = Body {
            v: VERSION,
            line: base64_simd::STANDARD.encode_to_string(&self.packed).into(),
            after_attempts: self.after_attempts,
            failure: self.failure.clone(),
        };
        serde_json::to_string(&body).expect("a body always serialises")
    }

    pub fn read(body: &str) -> Result<Self, UnreadableDispatch> {
        let Body { v, line, after_attempts, failure } = serde_json::from_str(body)?;
        if v > VERSION {
            return Err(UnreadableDispatch::NewerVersion(v));
        }
        let packed = base64_simd::STANDARD.decode_to_vec(line.as_bytes());
        let packed = packed.map_err(|_| UnreadableDispatch::Base64)?;
        Ok(Self { packed, after_attempts, failure })
    }

    /// The event: whole, or a head. A head's claim check has the archive line.
    pub fn line(&self) -> Result<ArchiveLine<'static>, UnreadableDispatch> {
        let cap = Cap { bytes: limits::RECORD_INFLATED_BYTES, ratio: limits::INFLATE_RATIO };
        let inflated;
        let line = if self.packed.starts_with(&gzip::MAGIC) {
            inflated = gzip::inflate(&self.packed, cap)?;
            &inflated
        } else {
            &self.packed
        };
        Ok(serde_json::from_slice(line)?)
    }

    /// The same as a dead letter.
    #[must_use]
    pub fn failed(&self, reason: &str, attempts: u32, failed_at: Timestamp) -> Self {
        let reason = reason[..reason.floor_char_boundary(REASON_BYTES)].to_owned();
        let failure = Some(DispatchFailure { reason, attempts, failed_at });
        Self { packed: self.packed.clone(), after_attempts: None, failure }
    }

    /// The same for the queue again. The failed calls until now do not count any more.
    #[must_use]
    pub fn redriven(&self, attempts: u32) -> Self {
        Self { packed: self.packed.clone(), after_attempts: Some(attempts), failure: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::noise;

    /// These bodies were in queues on 27 November 2026.
    const GOLDEN: &str = r#"{"v":1,"line":"eyJ2IjoxLCJpZCI6IjEiLCJhZG1pc3Npb25faWQiOiIwMTlhYTU1My00YTAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDEiLCJ0ZW5hbnQiOiJhY21lIiwidGllciI6InBybyIsInNvdXJjZSI6Impzb25fdXBsb2FkIiwicmVjZWl2ZWRfYXQiOiIyMDI2LTExLTIxVDA5OjMwOjAwLjEyM1oiLCJwcm9jZXNzZWRfYXQiOiIyMDI2LTExLTIxVDA5OjMwOjAxLjAwMFoiLCJ0ZXh0IjoiaGVsbG8iLCJmaWVsZHMiOnsibmFtZSI6Im4ifSwic2hhcmQiOiJzIiwic2VxdWVuY2VfbnVtYmVyIjoiOSIsInBvc2l0aW9uIjowfQo="}"#;
    const LINE: &str = r#"{"v":1,"id":"1","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","processed_at":"2026-11-21T09:30:01.000Z","text":"hello","fields":{"name":"n"},"shard":"s","sequence_number":"9","position":0}"#;

    fn of(line: &str) -> (DispatchMessage, Vec<Part>) {
        DispatchMessage::of(format!("{line}\n").as_bytes()).unwrap()
    }

    #[test]
    fn golden_bodies_are_read_and_written_to_the_same_bytes() {
        let message = DispatchMessage::read(GOLDEN).unwrap();
        assert_eq!(message.body(), GOLDEN);
        assert_eq!(of(LINE).0, message);
        assert_eq!(message.line().unwrap().to_bytes().trim_ascii_end(), LINE.as_bytes());
    }

    #[test]
    fn a_dead_letter_says_why_and_a_redriven_message_what_does_not_count() {
        let at = Timestamp::from_unix_ms(1_795_253_400_000);
        let dead = of(LINE).0.failed("400: no such brand", 3, at);
        let body = dead.body();
        let failure = r#","failure":{"reason":"400: no such brand","attempts":3,"failed_at":"2026-11-21T09:30:00.000Z"}}"#;
        assert!(body.ends_with(failure), "{body}");
        assert_eq!(DispatchMessage::read(&body).unwrap(), dead);
        let redriven = dead.redriven(3).body();
        assert!(redriven.ends_with(r#","after_attempts":3}"#), "{redriven}");
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let dead = of(LINE).0.failed(&"é".repeat(5_000), 1, Timestamp::default());
        assert_eq!(dead.failure.unwrap().reason.len(), REASON_BYTES);
    }

    #[test]
    fn a_line_travels_in_the_message_or_as_a_head_with_its_parts_and_comes_back() {
        let check = |text: String, is_inline: bool| {
            let line = LINE.replace("hello", &text);
            let (message, parts) = of(&line);
            assert_eq!(parts.is_empty(), is_inline);
            let body = message.failed(&"\"".repeat(9_000), 9, Timestamp::default()).body();
            assert!(body.len() <= limits::MESSAGE_BYTES, "{}", body.len());
            let read = message.line().unwrap();
            let read = match read.claim_check {
                None => String::from_utf8(read.to_bytes()).unwrap().trim_end().to_owned(),
                Some(claim_check) => {
                    assert!(claim_check.key.starts_with("claims/acme/1/"), "{}", claim_check.key);
                    let parts: Vec<_> = parts.into_iter().map(|(_, part)| part).collect();
                    String::from_utf8(claim_check.line(&parts).unwrap()).unwrap()
                }
            };
            assert!(read == line, "the line of {} bytes comes back", line.len());
        };
        check("short".to_owned(), true);
        check("again and ".repeat(500_000), true);
        check(noise(900_000, 1), true);
        check(noise(1_500_000, 1), false);
        check("again and ".repeat(1_700_000), false);
    }

    #[test]
    fn a_body_that_holds_no_event_says_why() {
        let check = |body: &str, expected: &str| {
            let read = DispatchMessage::read(body).and_then(|message| message.line().map(drop));
            let error = read.unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check("garbage", "the body is not a dispatch message: ");
        check(r#"{"v":2,"line":""}"#, "the body has version 2, this reader knows 1");
        check(r#"{"v":1,"line":"?"}"#, "the line is not base64");
        check(r#"{"v":1,"line":"H4sA"}"#, "the line is a gzip stream, but it is corrupt");
        check(r#"{"v":1,"line":"e30="}"#, "the body is not a dispatch message: ");
    }
}
