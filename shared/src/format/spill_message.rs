//! A message of the spill queue: the lines of one partition key, as text, since SQS takes only text. A message may be in the
//! dead-letter queue for days, so newer versions of Tidegate read it too.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::outgoing_line::{OutgoingLine, is_head};
use super::record;
use crate::gzip::{self, Cap, InflateError};
use crate::limits;

/// The version of the body. A reader takes this one and those before it.
const VERSION: u32 = 1;

/// The most bytes that a body adds to its lines and its partition key: names, quotes, braces, the end of the base64.
const ENVELOPE_BYTES: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpillMessage {
    partition_key: Arc<str>,
    body: Arc<str>,
}

/// A body without lines that can be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("the body is not a spilled message: {0}")]
    Body(#[from] serde_json::Error),
    #[error("the body has version {0}, this reader knows {VERSION}")]
    NewerVersion(u32),
    #[error("the lines are not base64")]
    Base64,
    #[error("the lines are a gzip stream, but {0}")]
    Gzip(#[from] InflateError),
    #[error("there are no lines")]
    Empty,
}

/// The body. Names are in queues: never renamed.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    v: u32,
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    /// [`record::pack`], in base64.
    #[serde(borrow)]
    lines: Cow<'a, str>,
}

impl SpillMessage {
    pub fn of<L: AsRef<[u8]>>(partition_key: &str, lines: &[L]) -> Self {
        let encoded = base64_simd::STANDARD.encode_to_string(record::pack(lines));
        let body = Body { v: VERSION, partition_key: partition_key.into(), lines: encoded.into() };
        let body = serde_json::to_string(&body).expect("a body always serialises");
        Self { partition_key: partition_key.into(), body: body.into() }
    }

    /// How many bytes of packed lines a message takes.
    pub fn room(partition_key: &str) -> usize {
        (limits::MESSAGE_BYTES - ENVELOPE_BYTES - partition_key.len()) / 4 * 3
    }

    /// Whether a message takes the line.
    pub fn fits(line: &OutgoingLine) -> bool {
        let room = Self::room(&line.partition_key);
        let packed = || line.record.as_ref().map_or_else(|| record::pack(&[&line.line]).len(), Bytes::len);
        line.line.len() < room || packed() <= room
    }

    /// SQS treats messages with different keys fairly, so one tenant does not delay others.
    pub fn partition_key(&self) -> &str {
        &self.partition_key
    }

    pub fn body(&self) -> &str {
        &self.body
    }

    /// The lines of a body, in their order.
    pub fn read(body: &str) -> Result<Vec<OutgoingLine>, Unreadable> {
        let Body { v, partition_key, lines } = serde_json::from_str(body)?;
        if v > VERSION {
            return Err(Unreadable::NewerVersion(v));
        }
        let packed = base64_simd::STANDARD.decode_to_vec(lines.as_bytes()).map_err(|_| Unreadable::Base64)?;
        let cap = Cap { bytes: limits::RECORD_INFLATED_BYTES, ratio: limits::INFLATE_RATIO };
        let is_packed = packed.starts_with(&gzip::MAGIC);
        let plain = Bytes::from(if is_packed { gzip::inflate(&packed, cap)? } else { packed });
        let lines: Vec<_> = plain
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| OutgoingLine {
                partition_key: partition_key.clone().into(),
                is_head: is_head(line),
                line: plain.slice_ref(line),
                record: None,
            })
            .collect();
        if lines.is_empty() { Err(Unreadable::Empty) } else { Ok(lines) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bodies were in queues on 21 November 2026.
    const GOLDEN: &str = r#"{"v":1,"partition_key":"acme#3","lines":"eyJhIjoxfQp7ImIiOjJ9Cg=="}"#;

    fn line(text: &str) -> OutgoingLine {
        OutgoingLine {
            partition_key: "acme#3".to_owned(),
            line: Bytes::copy_from_slice(text.as_bytes()),
            is_head: false,
            record: None,
        }
    }

    #[test]
    fn golden_bodies_are_read_and_written_to_the_same_bytes() {
        assert_eq!(SpillMessage::read(GOLDEN).unwrap(), [line("{\"a\":1}"), line("{\"b\":2}")]);
        assert_eq!(SpillMessage::of("acme#3", &["{\"a\":1}", "{\"b\":2}"]).body(), GOLDEN);
    }

    #[test]
    fn lines_that_compress_come_back_as_well() {
        let text = "x".repeat(100_000);
        let message = SpillMessage::of("acme#3", &[&text, &text]);
        assert!(message.body().len() < 2_000);
        assert_eq!(SpillMessage::read(message.body()).unwrap(), [line(&text), line(&text)]);
    }

    #[test]
    fn the_envelope_is_no_larger_than_it_says() {
        let (key, lines) = ("k".repeat(70), "x".repeat(100));
        let body = SpillMessage::of(&key, &[&lines]).body().len();
        assert!(body <= ENVELOPE_BYTES + key.len() + (lines.len() + 1).div_ceil(3) * 4, "{body}");
    }

    #[test]
    fn a_body_that_holds_no_lines_says_why() {
        let check = |body: &str, expected: &str| {
            let error = SpillMessage::read(body).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check("garbage", "the body is not a spilled message: ");
        check(r#"{"v":2,"partition_key":"a","lines":""}"#, "the body has version 2, this reader knows 1");
        check(r#"{"v":1,"partition_key":"a","lines":"?"}"#, "the lines are not base64");
        check(
            r#"{"v":1,"partition_key":"a","lines":"H4sA"}"#,
            "the lines are a gzip stream, but it is corrupt",
        );
        check(r#"{"v":1,"partition_key":"a","lines":"Cgo="}"#, "there are no lines");
    }
}
