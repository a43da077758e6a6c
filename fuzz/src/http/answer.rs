//! The rules for every answer, as docs/http-api.md documents them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::HeaderMap;
use serde_json::Value;

/// The codes that docs/http-api.md lists, each with the statuses of its row.
static DOCUMENTED: LazyLock<BTreeMap<String, Vec<u16>>> = LazyLock::new(|| {
    let mut codes = BTreeMap::new();
    for row in include_str!("../../../docs/http-api.md").lines() {
        let Some((statuses, cell)) = row.strip_prefix("| ").and_then(|row| row.split_once(" | ")) else {
            continue;
        };
        let Ok(statuses) = statuses.split(", ").map(str::parse).collect::<Result<Vec<u16>, _>>() else {
            continue;
        };
        let quoted = cell.split('`').skip(1).step_by(2);
        codes.extend(quoted.map(|code| (code.to_owned(), statuses.clone())));
    }
    assert!(codes.len() > 20, "docs/http-api.md has a table of codes: {codes:?}");
    codes
});

#[derive(Debug)]
pub(super) struct FuzzAnswer {
    pub(super) status: u16,
    /// The answer to a `HEAD` has no body.
    is_head: bool,
    headers: BTreeMap<String, String>,
    json: Value,
}

impl FuzzAnswer {
    pub(super) fn new(status: u16, is_head: bool, headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), value.to_str().expect("our headers are ASCII").to_owned())
        };
        let headers = headers.iter().map(header).collect();
        assert!(body.is_empty() || !is_head);
        Self { status, is_head, headers, json: serde_json::from_slice(body).unwrap_or(Value::Null) }
    }

    /// It is a success, or a problem by RFC 9457 with a code that docs/http-api.md lists for this status.
    pub(super) fn check(&self) {
        assert!(self.headers.contains_key("x-request-id"));
        if matches!(self.status, 200 | 202 | 207) {
            assert!(
                self.events().all(|event| event["code"].as_str().is_none_or(|code| self.is_documented(code)))
            );
            return;
        }
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!(self.headers.contains_key("retry-after"), self.status == 503, "{self:?}");
        assert!(self.status != 405 || self.headers.contains_key("allow"), "RFC 9110, 15.5.6: {self:?}");
        if !self.is_head {
            self.check_problem();
        }
    }

    fn check_problem(&self) {
        let text = |name: &str| self.json[name].as_str().unwrap_or_else(|| panic!("no `{name}`: {self:?}"));
        assert_eq!(self.json["status"], self.status, "{self:?}");
        let code = text("code");
        assert!(DOCUMENTED.get(code).is_some_and(|statuses| statuses.contains(&self.status)), "{self:?}");
        assert_eq!(text("type"), format!("urn:tidegate:problem:{code}"));
        assert_eq!(text("request_id"), self.headers["x-request-id"]);
        assert!(text("title").starts_with(|first: char| first.is_uppercase()));
        // Quotes of the client's input are short.
        assert!((1..1_000).contains(&text("detail").len()), "{self:?}");
    }

    /// The accepted events: their index in the request, and their id.
    pub(super) fn accepted(&self) -> Vec<(usize, String)> {
        let id = |event: &Value| event["event_id"].as_str().expect("an accepted event has an id").to_owned();
        if self.status == 202 && self.json["events"].is_null() {
            assert_eq!(self.json["status"], "success");
            return vec![(0, id(&self.json))];
        }
        let accepted = self.events().enumerate().filter(|(_, event)| event["status"] == "accepted");
        let accepted: Vec<_> = accepted.map(|(index, event)| (index, id(event))).collect();
        // 207 also if some events are bad and the others were not published.
        assert!(
            if accepted.is_empty() { self.status != 202 } else { matches!(self.status, 202 | 207) },
            "{self:?}"
        );
        if matches!(self.status, 202 | 207) {
            assert_eq!(self.json["accepted"], accepted.len(), "{self:?}");
        }
        accepted
    }

    /// The answer's events, in the order of the request.
    fn events(&self) -> impl Iterator<Item = &Value> {
        let events = self.json["events"].as_array().into_iter().flatten();
        events.enumerate().map(move |(index, event)| {
            assert_eq!(event["index"], index, "{self:?}");
            event
        })
    }

    fn is_documented(&self, code: &str) -> bool {
        DOCUMENTED.contains_key(code) || panic!("docs/http-api.md does not list `{code}`: {self:?}")
    }
}
