//! An event as clients read it, and answers that fit.

use axum::body::Body;
use axum::response::Response;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::fields::Fields;
use shared::format::archive_line::ArchiveLine;
use shared::format::facts::{EventTime, Source};
use shared::format::item::HeldText;
use shared::gzip::{self, Level};
use shared::id::{EventId, TenantId};
use shared::tier::Tier;
use shared::time::Timestamp;

use super::page::Page;
use super::port::StoredEvent;

/// The largest answer, in bytes of the JSON in which Lambda returns it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerLimit(pub(crate) usize);

/// Room for status and headers in an answer.
const HEAD_BYTES: usize = 4_096;

/// A smaller answer is not worth compressing.
const COMPRESSED_FROM: usize = 32 * 1024;

/// Names are in the programs of clients: never renamed. docs/http-api.md explains them.
#[derive(Debug, Serialize)]
pub(crate) struct EventView<'a> {
    event_id: &'a EventId,
    tenant_id: &'a TenantId,
    tier: &'a Tier,
    source: Source,
    received_at: Timestamp,
    processed_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_time: Option<EventTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<&'a Fields>,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_text_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dispatch_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
}

impl<'a> EventView<'a> {
    /// The event as its item has it; of `line`, its archive line, what that has is whole.
    pub(crate) fn to_json(event: &'a StoredEvent, line: Option<&'a ArchiveLine<'_>>) -> String {
        let item = &event.item;
        let facts = &item.facts;
        let held = item.content.as_ref();
        let text = line.map(|line| (&*line.text, None));
        let text = text.or_else(|| Some(part(held?.text())));
        let original = line.and_then(|line| Some((line.original_text.as_deref()?, None)));
        let original = original.or_else(|| Some(part(&held?.original_text)));
        let fields = line.map(|line| (&*line.fields, None));
        let fields = fields.or_else(|| Some((&held?.fields.held, held?.fields.whole_bytes)));
        let view = Self {
            event_id: &facts.id,
            tenant_id: &facts.tenant,
            tier: &facts.tier,
            source: facts.source,
            received_at: facts.received_at,
            processed_at: item.processed_at,
            event_time: facts.event_time,
            text: text.map(|(text, _)| text),
            original_text: original.map(|(text, _)| text),
            fields: fields.map(|(fields, _)| fields),
            truncated: line.is_none() && event.is_cut(),
            text_bytes: text.and_then(|(_, bytes)| bytes),
            original_text_bytes: original.and_then(|(_, bytes)| bytes),
            fields_bytes: fields.and_then(|(_, bytes)| bytes),
            dispatch_status: event.dispatch_status.as_deref(),
            expires_at: item.expires_at.map(|at| Timestamp::from_unix_ms(at.saturating_mul(1_000))),
            trace: facts.trace.as_deref(),
        };
        serde_json::to_string(&view).expect("an event always serialises")
    }
}

/// What an item has of a text, and the size of the whole, if it has less.
fn part(text: &HeldText) -> (&str, Option<i64>) {
    (&text.held, text.whole_bytes)
}

#[derive(Debug, Serialize)]
pub(crate) struct PageView<'a> {
    events: Vec<&'a RawValue>,
    /// `null` on the last page.
    next_cursor: Option<String>,
}

impl<'a> PageView<'a> {
    pub(crate) fn new(page: &'a Page) -> Self {
        let event = |json: &'a String| serde_json::from_str(json).expect("an event is JSON");
        Self {
            events: page.events.iter().map(event).collect(),
            next_cursor: page.next.as_ref().map(super::cursor::Cursor::write),
        }
    }

    pub(crate) fn answer(&self, headers: &HeaderMap) -> Response {
        answer(serde_json::to_string(self).expect("a page always serialises"), headers)
    }
}

/// The answer `200` with this JSON; compressed, if the client takes that and it is large.
pub(crate) fn answer(json: String, headers: &HeaderMap) -> Response {
    answer_within(json, headers, None).expect("without a limit everything fits")
}

/// The same; `None` if it would exceed `limit`, compressed or not.
pub(crate) fn answer_within(
    json: String,
    headers: &HeaderMap,
    limit: Option<AnswerLimit>,
) -> Option<Response> {
    let room = limit.map_or(usize::MAX, |AnswerLimit(bytes)| bytes - HEAD_BYTES);
    let (body, is_compressed) = if json.len() >= COMPRESSED_FROM && takes_gzip(headers) {
        let compressed = gzip::compress(json.as_bytes(), Level::FAST);
        // Lambda returns bytes in base64.
        if compressed.len().div_ceil(3) * 4 > room {
            return None;
        }
        (Body::from(compressed), true)
    } else {
        // Lambda returns text within JSON: quotes and backslashes become two bytes.
        let escaped = json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        if json.len() + escaped > room {
            return None;
        }
        (Body::from(json), false)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if is_compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(response)
}

/// Whether `Accept-Encoding` names gzip, or everything, and does not give it the weight 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut any = false;
    for coding in values.flat_map(|value| value.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let is_zero = |part: &str| {
            let weight = part.strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
            weight.is_some_and(|weight| weight <= 0.0)
        };
        let is_taken = !parts.any(is_zero);
        if name.eq_ignore_ascii_case("gzip") {
            return is_taken;
        }
        any |= name == "*" && is_taken;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())])
    }

    #[test]
    fn gzip_is_used_only_where_the_client_takes_it() {
        for yes in ["gzip", "br, GZIP;q=0.5", "*", "deflate, *;q=0.1"] {
            assert!(takes_gzip(&accepting(yes)), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip; q=0.0, *", "*;q=0", "x-gzip"] {
            assert!(!takes_gzip(&accepting(no)), "{no}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn an_answer_is_within_the_limit_as_lambda_counts_it() {
        let limit = |bytes| Some(AnswerLimit(bytes + HEAD_BYTES));
        let plain = HeaderMap::new();
        let json = || format!("\"{}\"", "x".repeat(100_000));
        assert!(answer_within(json(), &plain, limit(100_004)).is_some(), "two quotes are escaped");
        assert!(answer_within(json(), &plain, limit(100_003)).is_none());
        let compressed = answer_within(json(), &accepting("gzip"), limit(10_000)).unwrap();
        assert_eq!(compressed.headers()[CONTENT_ENCODING], "gzip");
        assert!(answer_within(json(), &accepting("gzip"), limit(10)).is_none());
    }

    #[test]
    fn a_small_answer_is_not_compressed() {
        assert!(!answer("{}".to_owned(), &accepting("gzip")).headers().contains_key(CONTENT_ENCODING));
    }
}
