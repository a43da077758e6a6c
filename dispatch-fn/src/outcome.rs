//! What an answer of the target means. Pure.

use std::time::Duration;

use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;
use shared::limits;
use shared::time::Timestamp;

use crate::target::Answer;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Delivered,
    /// The target asks everyone to wait. It does not count as an attempt.
    Pause(Duration, String),
    /// Later, with a back-off.
    Retry(String),
    /// Calling again would not help.
    Permanent(String),
}

/// Characters of an error message that a reason quotes.
const QUOTED: usize = 500;

pub(crate) fn outcome(answer: &Answer, retry_codes: &[String], now: Timestamp) -> Outcome {
    let Answer::Response { status, retry_after, location, body } = answer else {
        let Answer::None(why) = answer else { unreachable!("an answer is a response or none") };
        return Outcome::Retry(why.clone());
    };
    let errors = errors(body);
    let why = why(*status, errors.as_deref().unwrap_or_default(), body);
    if let (429 | 503, Some(wait)) = (status, retry_after.as_deref().and_then(|text| wait(text, now))) {
        return Outcome::Pause(wait, why);
    }
    let is_later = |errors: &[GraphqlError]| {
        errors
            .iter()
            .any(|error| error.code().is_some_and(|code| retry_codes.iter().any(|other| other == code)))
    };
    match (status, errors) {
        (200..=299, Ok(errors)) if errors.is_empty() => Outcome::Delivered,
        // A proxy's page, or half an answer: the target has not answered.
        (200..=299, Err(problem)) => Outcome::Retry(format!("{why}: {problem}")),
        (_, Ok(errors)) if is_later(&errors) => Outcome::Retry(why),
        // 401 and 403 concern our credential, not the event: it may be renewed meanwhile.
        (401 | 403 | 408 | 409 | 425 | 429 | 500..=599, _) => Outcome::Retry(why),
        (300..=399, _) => {
            let location = location.as_deref().unwrap_or("nowhere");
            Outcome::Permanent(format!(
                "{status}: redirected to `{location}`, which is not followed: set `dispatch.url`"
            ))
        }
        _ => Outcome::Permanent(why),
    }
}

#[derive(Debug, Deserialize)]
struct GraphqlResponse {
    #[serde(default)]
    data: Option<Value>,
    #[serde(default)]
    errors: Option<Vec<GraphqlError>>,
}

#[derive(Debug, Deserialize)]
struct GraphqlError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    extensions: Option<Value>,
}

impl GraphqlError {
    fn code(&self) -> Option<&str> {
        self.extensions.as_ref()?.get("code")?.as_str()
    }
}

/// The errors of a GraphQL response. One without data and without errors is none.
fn errors(body: &[u8]) -> Result<Vec<GraphqlError>, String> {
    let response: GraphqlResponse =
        serde_json::from_slice(body).map_err(|_| "the body is not a GraphQL response".to_owned())?;
    match response.errors.unwrap_or_default() {
        errors if errors.is_empty() && response.data.is_none() => Err("neither data nor errors".to_owned()),
        errors => Ok(errors),
    }
}

fn why(status: u16, errors: &[GraphqlError], body: &[u8]) -> String {
    let listed: Vec<_> = errors
        .iter()
        .map(|error| match error.code() {
            Some(code) => format!("{code}: {}", error.message),
            None => error.message.clone(),
        })
        .collect();
    let text =
        if listed.is_empty() { String::from_utf8_lossy(body).trim().to_owned() } else { listed.join("; ") };
    let text: String = text.chars().take(QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.is_empty() { status.to_string() } else { format!("{status}: {text}") }
}

/// `Retry-After`: seconds, or a date. At most as long as a message can be hidden.
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    let wait = if let Ok(seconds) = text.trim().parse() {
        Duration::from_secs(seconds)
    } else {
        let at = DateTime::parse_from_rfc2822(text.trim()).ok()?;
        Timestamp::from_unix_ms(at.timestamp_millis()).since(now)
    };
    Some(wait.min(limits::VISIBILITY))
}

#[cfg(test)]
mod tests {
    use shared::config::Config;

    use super::*;

    /// 2026-11-21T09:30:00Z
    const NOW_MS: i64 = 1_795_253_400_000;

    fn of(status: u16, retry_after: Option<&str>, body: &str) -> Outcome {
        let answer = Answer::Response {
            status,
            retry_after: retry_after.map(str::to_owned),
            location: (status == 301).then(|| "https://new/".to_owned()),
            body: body.to_owned().into(),
        };
        outcome(&answer, &Config::default().dispatch.retry_codes, Timestamp::from_unix_ms(NOW_MS))
    }

    fn check(status: u16, body: &str, expected: &Outcome) {
        assert_eq!(of(status, None, body), *expected);
    }

    fn retry(why: &str) -> Outcome {
        Outcome::Retry(why.to_owned())
    }

    fn permanent(why: &str) -> Outcome {
        Outcome::Permanent(why.to_owned())
    }

    #[test]
    fn a_success_without_errors_is_delivered() {
        check(200, r#"{"data":{"dispatch":{"id":"1"}}}"#, &Outcome::Delivered);
        check(202, r#"{"data":{},"errors":null}"#, &Outcome::Delivered);
        check(200, r#"{"data":{},"errors":[]}"#, &Outcome::Delivered);
    }

    #[test]
    fn throttle_codes_inside_a_200_are_retried_and_other_errors_are_permanent() {
        let error = |code: &str| {
            format!(r#"{{"data":null,"errors":[{{"message":"no","extensions":{{"code":"{code}"}}}}]}}"#)
        };
        check(200, &error("THROTTLED"), &retry("200: THROTTLED: no"));
        check(400, &error("RATE_LIMITED"), &retry("400: RATE_LIMITED: no"));
        check(200, &error("BAD_USER_INPUT"), &permanent("200: BAD_USER_INPUT: no"));
        check(200, r#"{"errors":[{"message":"a"},{"message":"b"}]}"#, &permanent("200: a; b"));
    }

    #[test]
    fn what_is_no_graphql_answer_is_retried() {
        check(200, "<html>", &retry("200: <html>: the body is not a GraphQL response"));
        check(200, "", &retry("200: the body is not a GraphQL response"));
        check(200, r#"{"data":null}"#, &retry(r#"200: {"data":null}: neither data nor errors"#));
    }

    #[test]
    fn by_its_status_an_answer_is_retried_or_permanent() {
        for status in [401, 403, 408, 409, 425, 429, 500, 502, 503, 504] {
            check(status, "busy", &retry(&format!("{status}: busy")));
        }
        for status in [400, 404, 413, 415, 422] {
            check(status, "no\nway", &permanent(&format!("{status}: no way")));
        }
        check(
            301,
            "",
            &permanent("301: redirected to `https://new/`, which is not followed: set `dispatch.url`"),
        );
        let none = outcome(&Answer::None("connection refused".to_owned()), &[], Timestamp::default());
        assert_eq!(none, retry("connection refused"));
    }

    #[test]
    fn retry_after_pauses_by_seconds_or_by_a_date() {
        let pause = |status, text: &str| of(status, Some(text), "slow down");
        let paused = |status: u16, seconds| {
            Outcome::Pause(Duration::from_secs(seconds), format!("{status}: slow down"))
        };
        assert_eq!(pause(429, "7"), paused(429, 7));
        assert_eq!(pause(503, " 0 "), paused(503, 0));
        assert_eq!(pause(429, "Sat, 21 Nov 2026 09:31:30 GMT"), paused(429, 90));
        assert_eq!(pause(429, "Sat, 21 Nov 2026 09:00:00 GMT"), paused(429, 0));
        assert_eq!(pause(429, "99999999"), paused(429, 12 * 3_600), "no longer than a message can be hidden");
        assert_eq!(pause(429, "soon"), retry("429: slow down"));
        assert_eq!(pause(500, "7"), retry("500: slow down"));
    }
}
