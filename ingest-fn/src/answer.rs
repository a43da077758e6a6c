//! The last stage: turns the outcome of a request into an HTTP answer, counts it and logs it.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;
use shared::id::EventId;
use shared::metric::Metric;
use tracing::Level;

use crate::cut::{Form, RequestEvents};
use crate::health::{Amount, Covers, Reason, Report, Status};
use crate::rejection::Rejection;
use crate::request_id::RequestId;

#[derive(Serialize)]
struct Accepted<'a> {
    status: &'static str,
    event_id: &'a EventId,
}

/// Several events, at least one of them accepted.
#[derive(Serialize)]
struct Several<'a> {
    status: &'static str,
    accepted: usize,
    events: Vec<EventAnswer<'a>>,
}

#[derive(Serialize)]
struct EventAnswer<'a> {
    index: usize,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// An error, as defined by RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<EventAnswer<'a>>>,
}

#[derive(Serialize)]
struct Health<'a> {
    status: Status,
    version: &'static str,
    /// Of the configuration ([`shared::config::Config::fingerprint`]).
    config: &'a str,
    covers: Covers,
    reasons: Vec<HealthReason<'a>>,
    gauges: HealthGauges<'a>,
}

#[derive(Serialize)]
struct HealthGauges<'a> {
    #[serde(flatten)]
    amounts: BTreeMap<&'static str, Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_record_shard: Option<&'a str>,
}

#[derive(Serialize)]
struct HealthReason<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Amount>,
    runbook: String,
}

impl<'a> HealthReason<'a> {
    fn of(Reason { concern, message, measured, .. }: &'a Reason) -> Self {
        let (value, limit) = measured.unzip();
        Self { code: concern.name(), message, value, limit, runbook: concern.runbook() }
    }
}

/// An answer, before it becomes the server's or Lambda's.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    media_type: &'static str,
    /// Besides those that every answer has.
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Self {
        Self { status, media_type, headers: Vec::new(), body }
    }

    fn json(status: StatusCode, media_type: &'static str, body: &impl Serialize) -> Self {
        Self::new(status, media_type, serde_json::to_vec(body).expect("an answer always serialises"))
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn into_parts(self) -> (StatusCode, Vec<(HeaderName, HeaderValue)>, Vec<u8>) {
        let headers = Self::usual(self.media_type).into_iter().chain(self.headers).collect();
        (self.status, headers, self.body)
    }

    /// What every answer has.
    fn usual(media_type: &'static str) -> [(HeaderName, HeaderValue); 2] {
        [
            (CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ]
    }

    /// When to send again, and what credential is needed.
    pub(crate) fn add_headers(&mut self, rejection: &Rejection) {
        if let Some(wait) = rejection.retry_after() {
            self.set(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        if let Some(challenge) = rejection.challenge() {
            self.set(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
    }

    pub(crate) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        let mut response = response(answer.status, answer.media_type, answer.body);
        response.headers_mut().extend(answer.headers);
        response
    }
}

/// Answers how the process stands, with its version and configuration.
pub(crate) fn health(config: &str, report: &Report) -> Response {
    let status = report.status();
    let code = match status {
        Status::Ok | Status::Degraded => StatusCode::OK,
        Status::Failing => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        config,
        covers: report.covers,
        reasons: report.reasons.iter().map(HealthReason::of).collect(),
        gauges: HealthGauges {
            amounts: report.gauges.iter().map(|(gauge, amount)| (gauge.name(), *amount)).collect(),
            oldest_record_shard: report.oldest_record_shard.as_deref(),
        },
    };
    Answer::json(code, "application/json", &body).into()
}

/// Answers with the OpenAPI document.
pub(crate) fn document(json: Bytes) -> Response {
    response(StatusCode::OK, "application/json", json)
}

/// Answers a request that was cut into events.
pub(crate) fn outcome(batch: &RequestEvents<EventId>, body_bytes: usize, request_id: &RequestId) -> Answer {
    note(batch, body_bytes, request_id);
    match (batch.form, &batch.events[..]) {
        (Form::Single, [Ok(event_id)]) => {
            Answer::json(StatusCode::ACCEPTED, "application/json", &Accepted { status: "success", event_id })
        }
        (Form::Single, [Err(rejection)]) => problem(rejection, request_id, None),
        (_, events) => several(events, request_id),
    }
}

/// Answers a request that was refused whole.
pub(crate) fn refusal(rejection: &Rejection, request_id: &RequestId) -> Answer {
    note_refusal(rejection, request_id);
    problem(rejection, request_id, None)
}

/// Counts and logs the outcome of a request that was cut into events.
pub(crate) fn note(batch: &RequestEvents<EventId>, body_bytes: usize, request_id: &RequestId) {
    count(batch, body_bytes);
    log_unpublished(batch, request_id);
}

/// Counts and logs a request that was refused whole.
pub(crate) fn note_refusal(rejection: &Rejection, request_id: &RequestId) {
    if let Some(metric) = rejection.metric() {
        metric.add(1);
    }
    log(rejection, 1, request_id);
}

/// Answers a request to read that was refused. No event is rejected by it, so it is not counted.
pub(crate) fn not_read(rejection: &Rejection, request_id: &RequestId) -> Response {
    log(rejection, 0, request_id);
    problem(rejection, request_id, None).into()
}

fn several(events: &[Result<EventId, Rejection>], request_id: &RequestId) -> Answer {
    let accepted = events.iter().filter(|event| event.is_ok()).count();
    let answers = events.iter().enumerate().map(event_answer).collect();
    if accepted > 0 || is_mixed(events) {
        let (code, status) = if accepted == events.len() {
            (StatusCode::ACCEPTED, "success")
        } else {
            (StatusCode::MULTI_STATUS, "partial")
        };
        return Answer::json(code, "application/json", &Several { status, accepted, events: answers });
    }
    match events.first() {
        Some(Err(first)) if first.is_unpublished() => problem(first, request_id, Some(answers)),
        _ => problem(&Rejection::BatchRejected, request_id, Some(answers)),
    }
}

/// Whether some events are bad and others could not be published. To send all again would not help the bad ones.
fn is_mixed(events: &[Result<EventId, Rejection>]) -> bool {
    let unpublished = |event: &&Result<_, Rejection>| event.as_ref().is_err_and(Rejection::is_unpublished);
    (1..events.len()).contains(&events.iter().filter(unpublished).count())
}

fn event_answer((index, event): (usize, &Result<EventId, Rejection>)) -> EventAnswer<'_> {
    match event {
        Ok(id) => EventAnswer { index, status: "accepted", event_id: Some(id), code: None, detail: None },
        Err(rejection) => EventAnswer {
            index,
            status: if rejection.is_unpublished() { "unpublished" } else { "rejected" },
            event_id: None,
            code: Some(rejection.code()),
            detail: Some(rejection.to_string()),
        },
    }
}

fn problem(rejection: &Rejection, request_id: &RequestId, events: Option<Vec<EventAnswer<'_>>>) -> Answer {
    let code = rejection.code();
    let body = Problem {
        r#type: format!("urn:tidegate:problem:{code}"),
        title: title(code),
        status: rejection.status().as_u16(),
        detail: rejection.to_string(),
        code,
        limit: rejection.limit(),
        request_id: &request_id.0,
        events,
    };
    let mut answer = Answer::json(rejection.status(), "application/problem+json", &body);
    answer.add_headers(rejection);
    answer
}

/// A code as a title: `tier_not_allowed` is "Tier not allowed".
fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let (first, rest) = words.split_at(1);
    first.to_uppercase() + rest
}

fn response(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().extend(Answer::usual(media_type));
    response
}

fn count(batch: &RequestEvents<EventId>, body_bytes: usize) {
    let accepted = batch.events.iter().filter(|event| event.is_ok()).count();
    Metric::EventsAccepted.add(accepted);
    Metric::EventsRejected.add(batch.events.len() - accepted);
    if accepted > 0 {
        Metric::BytesAccepted.add(body_bytes);
    }
}

/// Logs one line for all unpublished events of a request: they failed together, for one reason.
fn log_unpublished(batch: &RequestEvents<EventId>, request_id: &RequestId) {
    let unpublished = batch.events.iter().filter_map(|event| event.as_ref().err());
    let unpublished: Vec<_> = unpublished.filter(|rejection| rejection.is_unpublished()).collect();
    if let Some(first) = unpublished.first() {
        log(first, unpublished.len(), request_id);
    }
}

fn log(rejection: &Rejection, events: usize, request_id: &RequestId) {
    let request_id = &*request_id.0;
    let (code, cause) = (rejection.code(), rejection.cause().unwrap_or_default());
    // The message of a client's mistake quotes the client's data, so only its code is logged.
    match rejection.level() {
        Level::ERROR => tracing::error!(request_id, code, "a request could not be handled: {code}"),
        Level::WARN if matches!(rejection, Rejection::ReadUnavailable { .. }) => {
            tracing::warn!(request_id, code, cause, "events could not be read: {cause}");
        }
        Level::WARN if matches!(rejection, Rejection::TooManyConnections { .. }) => {
            tracing::warn!(request_id, code, "a connection was refused: {rejection}");
        }
        Level::WARN => {
            tracing::warn!(request_id, code, events, cause, "events were not published: {cause}");
        }
        _ => tracing::debug!(request_id, code, "a request was refused: {code}"),
    }
}
