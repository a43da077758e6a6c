//! What the Function URL makes of a body, by its media type and size. AWS puts the request into a JSON event: the body is text
//! for some media types and base64 for all others, whatever its content encoding.

use accept::client::Answer;
use serde_json::json;
use shared::gzip::{Level, compress};

use super::report::{Check, Finding};
use super::site::Site;

pub(super) const ENCODINGS: Check = Check {
    name: "encodings",
    answers: "which media types the Function URL passes on as text, and so which may carry gzip",
    does: "sends 8 small requests; seconds",
};

pub(super) const SIZES: Check = Check {
    name: "sizes",
    answers: "how large a body may be, as text and as base64",
    does: "sends 4 requests, 22 MB in all; seconds on a fast line",
};

/// A request of one case, and the answer that is documented.
struct Case {
    /// The id of its event.
    id: &'static str,
    what: &'static str,
    media_type: &'static str,
    is_gzip: bool,
    body: Vec<u8>,
    expected: Expected,
}

/// A status, and where it is an error of ours, its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Expected(u16, Option<&'static str>);

const ACCEPTED: Expected = Expected(202, None);
const MANGLED: Expected = Expected(400, Some("body_mangled"));
/// From AWS, which is why it has no code of ours.
const TOO_LARGE: Expected = Expected(413, None);

pub(super) async fn encodings(site: &Site) -> anyhow::Result<Vec<Finding>> {
    send_all(site, &ENCODINGS, encoding_cases()).await
}

pub(super) async fn sizes(site: &Site) -> anyhow::Result<Vec<Finding>> {
    send_all(site, &SIZES, size_cases()).await
}

async fn send_all(site: &Site, check: &Check, cases: Vec<Case>) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for case in cases {
        let Case { id, what, media_type, is_gzip, body, expected } = case;
        let mut headers = vec![("content-type", media_type)];
        headers.extend(is_gzip.then_some(("content-encoding", "gzip")));
        let answer = site.post(id, &headers, body).await;
        findings.push(match answer {
            Ok(answer) => judge(check, what, expected, &answer),
            Err(error) => check.finding(what, expected, format_args!("no answer: {error:#}"), false),
        });
    }
    Ok(findings)
}

fn judge(check: &Check, what: &str, expected: Expected, answer: &Answer) -> Finding {
    let code = answer.json()["code"].as_str().map(str::to_owned);
    if code.as_deref().is_some_and(|code| code.starts_with("credential")) || is_unsigned(answer) {
        let why = format!("{answer}: name a file with the credentials (--headers, --tenant)");
        return check.not_checked(what, expected, why);
    }
    let is_so = answer.status == expected.0 && expected.1.is_none_or(|named| code.as_deref() == Some(named));
    check.finding(what, expected, answer, is_so)
}

/// AWS itself refused the request: it wants IAM.
fn is_unsigned(answer: &Answer) -> bool {
    answer.status == 403 && answer.json()["code"].is_null()
}

fn encoding_cases() -> Vec<Case> {
    let event = json!({"text": "an event of verify, ü"}).to_string().into_bytes();
    let line = [&event[..], b"\n"].concat();
    let zipped = |body: &[u8]| compress(body, Level::FAST);
    let case = |id, what, media_type, is_gzip, body, expected| Case {
        id,
        what,
        media_type,
        is_gzip,
        body,
        expected,
    };
    vec![
        case("json", "JSON", "application/json", false, event.clone(), ACCEPTED),
        case("text", "text", "text/plain", false, b"an event of verify".to_vec(), ACCEPTED),
        case("ndjson", "NDJSON", "application/x-ndjson", false, line.clone(), ACCEPTED),
        case("gzip-ndjson", "gzip as NDJSON", "application/x-ndjson", true, zipped(&line), ACCEPTED),
        case("gzip-plus", "gzip as +json", "application/vnd.api+json", true, zipped(&event), ACCEPTED),
        case("gzip-json", "gzip as application/json", "application/json", true, zipped(&event), MANGLED),
        case("gzip-text", "gzip as text/plain", "text/plain", true, zipped(b"an event of verify"), MANGLED),
        // AWS replaces the byte by U+FFFD. Elsewhere this is `not_utf8`.
        case(
            "not-utf8",
            "JSON that is not UTF-8",
            "application/json",
            false,
            b"{\"text\":\"an event of verify \xff\"}".to_vec(),
            ACCEPTED,
        ),
    ]
}

/// The limit is 6,291,456 bytes for the event: text with its escapes, or base64, and about a thousand bytes of headers.
fn size_cases() -> Vec<Case> {
    let sized = |bytes: usize| {
        let around = json!({"text": ""}).to_string().len();
        json!({"text": "x".repeat(bytes - around)}).to_string().into_bytes()
    };
    let case = |id, what, media_type, bytes, expected| Case {
        id,
        what,
        media_type,
        is_gzip: false,
        body: sized(bytes),
        expected,
    };
    vec![
        case("6m-json", "6,200,000 bytes of JSON", "application/json", 6_200_000, ACCEPTED),
        case("6m-json-over", "6,300,000 bytes of JSON", "application/json", 6_300_000, TOO_LARGE),
        case("4m-ndjson", "4,650,000 bytes of NDJSON", "application/x-ndjson", 4_650_000, ACCEPTED),
        case("4m-ndjson-over", "4,800,000 bytes of NDJSON", "application/x-ndjson", 4_800_000, TOO_LARGE),
    ]
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self(status, Some(code)) => write!(f, "{status} {code}"),
            Self(413, None) => f.write_str("413, from AWS"),
            Self(status, None) => write!(f, "{status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::report::Verdict;
    use super::*;

    fn verdict(expected: Expected, status: u16, body: &'static str) -> Verdict {
        let answer =
            Answer { status, headers: http::HeaderMap::default(), body: body.into(), took: Duration::ZERO };
        judge(&ENCODINGS, "JSON", expected, &answer).verdict
    }

    #[test]
    fn an_answer_is_as_documented_by_its_status_and_code() {
        assert_eq!(verdict(ACCEPTED, 202, "{}"), Verdict::AsDocumented);
        assert_eq!(verdict(MANGLED, 400, r#"{"code":"body_mangled"}"#), Verdict::AsDocumented);
        assert_eq!(
            verdict(TOO_LARGE, 413, r#"{"Message":"Request must be smaller"}"#),
            Verdict::AsDocumented
        );
        assert_eq!(verdict(MANGLED, 400, r#"{"code":"malformed_json"}"#), Verdict::Differs);
        assert_eq!(verdict(MANGLED, 202, "{}"), Verdict::Differs);
        assert_eq!(verdict(ACCEPTED, 502, "Bad Gateway"), Verdict::Differs);
    }

    #[test]
    fn a_request_without_the_right_credentials_checks_nothing() {
        assert_eq!(verdict(ACCEPTED, 401, r#"{"code":"credential_missing"}"#), Verdict::NotChecked);
        assert_eq!(verdict(MANGLED, 403, r#"{"Message":"Forbidden"}"#), Verdict::NotChecked);
    }

    #[test]
    fn bodies_are_on_both_sides_of_the_limit_of_the_event() {
        const EVENT_BYTES: usize = 6_291_456;
        for Case { what, media_type, body, expected, .. } in size_cases() {
            let event = if media_type == "application/json" { body.len() } else { body.len() * 4 / 3 };
            // What the event has besides the body is less than this.
            let is_small = event + 50_000 < EVENT_BYTES;
            assert_eq!(
                (is_small, event > EVENT_BYTES),
                (expected == ACCEPTED, expected == TOO_LARGE),
                "{what}"
            );
        }
    }
}
