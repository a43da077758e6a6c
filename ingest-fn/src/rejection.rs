//! Why a request or an event is refused. One table gives each reason its HTTP status, its
//! stable code, and the calls that it may answer; metric and log level follow from the status.

use std::time::Duration;

use http::StatusCode;
use shared::client_object::InvalidObject;
use shared::config::{AuthMode, Recipe, WorkTooLong};
use shared::gzip::InflateError;
use shared::id::{EventId, InvalidEventId, InvalidTenantId};
use shared::json::Unreadable;
use shared::metric::Metric;
use tracing::Level;

use crate::publish::Unpublished;
use crate::reads::MOST;

/// Why something was not accepted. The message is for the client: it names the input and the limit, and nothing about
/// streams, queues and buckets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejection {
    /// What Lambda's event says cannot be a request.
    #[error(
        "the request cannot be read: its path, its query or its base64 is malformed (percent-encode quotes and blanks)"
    )]
    RequestMalformed,
    #[error("the request's head cannot be read: it is not HTTP/1.1")]
    HeadUnreadable,
    #[error("the request's head has {limit} bytes or more, or more than 100 headers")]
    HeadTooLarge { limit: usize },
    /// All of them have a request in progress.
    #[error("too many connections are open ({limit} at once): send it again")]
    TooManyConnections { limit: usize },
    #[error("no credential was sent: {}", needed(*.0))]
    CredentialMissing(AuthMode),
    /// It does not say which part is wrong: a sender that guesses should not learn it.
    #[error("the credential is not valid: {}", needed(*.0))]
    CredentialInvalid(AuthMode),
    #[error("the credential is for {what} `{own}`, but `{named}` is named")]
    CredentialMismatch { what: &'static str, own: String, named: String },
    #[error("the request did not come through the gateway in front of this service")]
    OriginRefused,
    #[error("the quota of {per_second} {what}/s is used up: send again in {} s", retry_after.as_secs())]
    QuotaExceeded { what: &'static str, per_second: u32, retry_after: Duration },
    #[error(
        "the header `X-Customer-Tier` is missing (allowed: {allowed}): send it, or set `tiers.default`, or start with `--recipe {}`",
        Recipe::ROBUST_DATA_PROCESSOR.name
    )]
    TierMissing { allowed: String },
    #[error("tier `{tier}` is not allowed (allowed: {allowed})")]
    TierNotAllowed { tier: String, allowed: String },
    #[error("two tiers are named: `{first}` and `{second}`")]
    TierConflict { first: String, second: String },
    #[error(
        "no tenant is named: use the path, the header `X-Tenant-ID` or the member `tenant_id`, or set `tenants.default`, or start with `--recipe {}`",
        Recipe::HTTP_INGESTION.name
    )]
    TenantMissing,
    #[error("{0}")]
    TenantInvalid(String),
    #[error("two tenants are named: `{first}` and `{second}`")]
    TenantConflict { first: String, second: String },
    #[error("{0}")]
    EventIdInvalid(String),
    #[error("the header `{header}` names two ids: `{first}` and `{second}` (a comma separates them)")]
    EventIdConflict { header: String, first: String, second: String },
    #[error("the header `{0}` is not UTF-8 text")]
    HeaderNotText(String),
    #[error(
        "media type {given} cannot be read (accepted: application/json, application/x-ndjson, text/plain)"
    )]
    MediaType {
        /// What `Content-Type` says, in quotes, or that it is missing.
        given: String,
    },
    /// Of log records.
    #[error("media type {given} cannot be read here (accepted: application/x-protobuf, application/json)")]
    LogsMediaType { given: String },
    #[error(
        "charset `{0}` cannot be read (accepted: utf-8, utf-16, iso-8859-1 and the others of the WHATWG Encoding Standard)"
    )]
    Charset(String),
    #[error("the body is not text in its charset, {0}")]
    NotOfCharset(&'static str),
    #[error("content encoding `{given}` cannot be read (accepted: identity, gzip, deflate, zstd)")]
    ContentEncoding { given: String },
    #[error("the body is larger than {limit} bytes (after decompression)")]
    BodyTooLarge { limit: usize },
    #[error("the body inflates to more than {limit} times its size")]
    InflateRatio {
        /// Bytes of output for each byte of input.
        limit: u32,
    },
    #[error("the body is not what its content encoding says: {0}")]
    BodyCorrupt(#[source] std::io::Error),
    /// AWS takes a body for text by its media type, also if it is compressed.
    #[error(
        "the body is compressed, and bytes of it that are not UTF-8 were replaced on the way, as a Function URL does with application/json and text/*: send `Content-Type: application/x-ndjson` (log records: application/x-protobuf), or do not compress it"
    )]
    BodyMangled,
    #[error("the body did not arrive within {limit_ms} ms")]
    BodyTimeout { limit_ms: u64 },
    /// The connection broke while the body arrived, so most likely the client does not see the answer.
    #[error("the body ended early")]
    BodyInterrupted,
    #[error("the body is empty")]
    BodyEmpty,
    #[error("it is not UTF-8: byte {at} cannot be read")]
    NotUtf8 {
        /// The index of the first bad byte, from 0.
        at: usize,
    },
    #[error("it is not JSON: {0}")]
    MalformedJson(#[source] serde_json::Error),
    #[error("it is not an OTLP request: {0}")]
    MalformedProtobuf(#[source] prost::DecodeError),
    #[error("it has so many small parts that it would take more than {limit} bytes of memory: split it")]
    TooManyParts { limit: usize },
    /// Nor, as a body, an array of objects.
    #[error("it is JSON, but not an object")]
    NotAnObject,
    #[error("{0}")]
    CloudEventInvalid(String),
    /// Readers downstream would refuse this JSON.
    #[error(transparent)]
    JsonUnreadable(#[from] Unreadable),
    /// The consumer could never finish the event.
    #[error(transparent)]
    WorkTooLong(#[from] WorkTooLong),
    #[error("the batch has no events")]
    BatchEmpty,
    #[error("the batch has more than {limit} events")]
    BatchTooLarge { limit: usize },
    #[error("none of the batch's events can be accepted")]
    BatchRejected,
    /// Neither the stream nor the spill queue confirmed the event in time. One of them may have it.
    #[error(
        "neither the stream nor the spill queue took the event within {budget_ms} ms: send it again (under the same id it counts once)"
    )]
    StreamUnavailable {
        /// The sum of both budgets.
        budget_ms: u64,
        /// The last failures, for the log only.
        cause: String,
    },
    /// The event's claim check could not be stored.
    #[error("the event's content could not be stored: send it again (under the same id it counts once)")]
    ClaimStoreUnavailable {
        /// The failure, for the log only.
        cause: String,
    },
    /// See [`crate::fault`]. Reported once where it is found, not for each request.
    #[error("events cannot be stored now: the operator finds the cause in `/health`; send it again later")]
    StorageFailing,
    /// The memory for bodies is used up, and none became free in time.
    #[error("too many bodies are in progress ({limit} bytes at once): send it again")]
    Overloaded { limit: usize },
    #[error("events cannot be read back here: set `reads.enabled`, on AWS `reads.public` too")]
    ReadsDisabled,
    #[error("no tenant is named: use the header `X-Tenant-ID`, or set `tenants.default`")]
    ReaderTenantMissing,
    #[error("there is no parameter `{name}` (known: {known})")]
    ParameterUnknown { name: String, known: String },
    #[error("the parameter `{0}` is given more than once")]
    ParameterRepeated(&'static str),
    #[error("`limit` is `{given}`, allowed: 1 to {MOST}")]
    LimitInvalid { given: String },
    #[error("`cursor` is not the `next_cursor` of a page of this tenant's events")]
    CursorInvalid,
    #[error(
        "`from` is `{given}`, allowed: a time of RFC 3339 such as 2026-11-21T09:30:00Z (in a query, write `+` as %2B)"
    )]
    FromInvalid { given: String },
    #[error(
        "`to` is `{given}`, allowed: a time of RFC 3339 such as 2026-11-21T09:30:00Z (in a query, write `+` as %2B)"
    )]
    ToInvalid { given: String },
    #[error("`to` is `{to}`, not after `from`, `{from}`")]
    ToNotAfterFrom { from: String, to: String },
    /// Of this tenant. Whether another one has it must not be seen.
    #[error("there is no event `{id}` (an event that was accepted can be read within five seconds)")]
    EventNotFound { id: String },
    #[error("events cannot be read now: send the request again")]
    ReadUnavailable {
        /// The failure, for the log only.
        cause: String,
    },
    #[error("there is nothing at `{0}`")]
    NotFound(String),
    #[error("method {0} is not allowed here")]
    MethodNotAllowed(String),
    /// A bug in Tidegate.
    #[error("the request could not be handled")]
    Defect,
}

/// What a request needs.
fn needed(mode: AuthMode) -> &'static str {
    match mode {
        AuthMode::None => "none is needed",
        AuthMode::ApiKey => "send the key in `Authorization: Bearer …` or `X-Api-Key`",
        AuthMode::Signature => {
            "name the tenant in the path or in `X-Tenant-ID`, and sign the body's exact bytes: `webhook-id`, `webhook-timestamp` and `webhook-signature`, or the header of GitHub, Shopify or Stripe"
        }
    }
}

impl Rejection {
    pub(crate) fn mismatch(what: &'static str, own: &str, named: &str) -> Self {
        Self::CredentialMismatch { what, own: own.to_owned(), named: named.to_owned() }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status_and_code().0
    }

    pub(crate) fn code(&self) -> &'static str {
        self.status_and_code().1
    }

    /// What counts it, if it refuses an event or a request with events.
    pub(crate) fn metric(&self) -> Option<Metric> {
        match self.status() {
            _ if self.is_about_credentials() => Some(Metric::CredentialsRefused),
            StatusCode::FORBIDDEN => Some(Metric::RequestsFiltered),
            StatusCode::TOO_MANY_REQUESTS => Some(Metric::QuotasExceeded),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::INTERNAL_SERVER_ERROR => {
                None
            }
            _ => Some(Metric::EventsRejected),
        }
    }

    fn is_about_credentials(&self) -> bool {
        matches!(
            self,
            Self::CredentialMissing(_)
                | Self::CredentialInvalid(_)
                | Self::CredentialMismatch { .. }
                | Self::OriginRefused
        )
    }

    /// `WWW-Authenticate`, which a 401 must have. For signatures no scheme is registered.
    pub(crate) fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::CredentialMissing(AuthMode::ApiKey) => Some(r#"Bearer realm="tidegate""#),
            Self::CredentialInvalid(AuthMode::ApiKey) => {
                Some(r#"Bearer realm="tidegate", error="invalid_token""#)
            }
            Self::CredentialMissing(_) | Self::CredentialInvalid(_) => {
                Some(r#"StandardWebhooks realm="tidegate""#)
            }
            _ => None,
        }
    }

    /// When the client may send again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QuotaExceeded { retry_after, .. } => Some(*retry_after),
            // Someone must do something first.
            Self::StorageFailing => Some(Duration::from_secs(30)),
            // Publishing recovers sooner, or takes long.
            _ if self.is_unpublished() => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// A client's mistake is logged at debug level only.
    pub(crate) fn level(&self) -> Level {
        match self.status() {
            _ if matches!(self, Self::StorageFailing) => Level::DEBUG,
            StatusCode::INTERNAL_SERVER_ERROR => Level::ERROR,
            StatusCode::SERVICE_UNAVAILABLE => Level::WARN,
            _ => Level::DEBUG,
        }
    }

    /// Whether the request was good, and may be sent again: its event could not be published, or read.
    pub(crate) fn is_unpublished(&self) -> bool {
        matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        match self {
            Self::BodyTooLarge { limit }
            | Self::BatchTooLarge { limit }
            | Self::TooManyParts { limit }
            | Self::HeadTooLarge { limit }
            | Self::TooManyConnections { limit }
            | Self::Overloaded { limit }
            | Self::WorkTooLong(WorkTooLong { limit, .. }) => Some(*limit as u64),
            Self::InflateRatio { limit } => Some(u64::from(*limit)),
            Self::LimitInvalid { .. } => Some(MOST as u64),
            Self::BodyTimeout { limit_ms } => Some(*limit_ms),
            Self::QuotaExceeded { per_second, .. } => Some(u64::from(*per_second)),
            Self::EventIdInvalid(_) => Some(shared::limits::EVENT_ID_BYTES as u64),
            Self::JsonUnreadable(Unreadable::TooDeep) => Some(shared::limits::JSON_DEPTH as u64),
            _ => None,
        }
    }

    /// The cause, for the log only.
    pub(crate) fn cause(&self) -> Option<&str> {
        match self {
            Self::StreamUnavailable { cause, .. }
            | Self::ClaimStoreUnavailable { cause }
            | Self::ReadUnavailable { cause } => Some(cause),
            _ => None,
        }
    }
}

/// What a client calls. It decides which problems may be the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Sends events.
    Send,
    /// Lists events.
    List,
    /// Reads one event.
    One,
    /// Needs no credential, and has no input.
    Open,
}

const ANY: &[Call] = &[Call::Send, Call::List, Call::One, Call::Open];
/// Calls for a tenant.
const TENANT: &[Call] = &[Call::Send, Call::List, Call::One];
const ID: &[Call] = &[Call::Send, Call::One];
const SEND: &[Call] = &[Call::Send];
const READ: &[Call] = &[Call::List, Call::One];
const LIST: &[Call] = &[Call::List];
const ONE: &[Call] = &[Call::One];
/// Log records: the answer is no problem document, but has the code.
const LOGS: &[Call] = &[];
/// What is not a call of the API.
const NONE: &[Call] = &[];

/// A problem, as the OpenAPI document lists it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProblemKind {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    /// The calls that it may answer.
    pub(crate) calls: &'static [Call],
}

/// From one table: status and code of each rejection, and the list of all. So a rejection that is not listed does not compile.
macro_rules! problems {
    ($($rejection:pat => $status:ident, $code:literal, $calls:ident;)+) => {
        impl ProblemKind {
            pub(crate) const ALL: &[Self] =
                &[$(Self { status: StatusCode::$status, code: $code, calls: $calls }),+];
        }

        impl Rejection {
            fn status_and_code(&self) -> (StatusCode, &'static str) {
                match self {
                    $($rejection => (StatusCode::$status, $code),)+
                }
            }
        }
    };
}

// Never rename a code: clients branch on it.
problems! {
    Rejection::CredentialMissing(_) => UNAUTHORIZED, "credential_missing", TENANT;
    Rejection::CredentialInvalid(_) => UNAUTHORIZED, "credential_invalid", TENANT;
    Rejection::CredentialMismatch { .. } => FORBIDDEN, "credential_mismatch", TENANT;
    Rejection::OriginRefused => FORBIDDEN, "origin_refused", TENANT;
    Rejection::QuotaExceeded { .. } => TOO_MANY_REQUESTS, "quota_exceeded", TENANT;
    Rejection::TierMissing { .. } => FORBIDDEN, "tier_missing", SEND;
    Rejection::TierNotAllowed { .. } => FORBIDDEN, "tier_not_allowed", SEND;
    Rejection::TierConflict { .. } => BAD_REQUEST, "tier_conflict", SEND;
    Rejection::TenantMissing | Rejection::ReaderTenantMissing => BAD_REQUEST, "tenant_missing", TENANT;
    Rejection::TenantInvalid(_) => BAD_REQUEST, "tenant_invalid", TENANT;
    Rejection::TenantConflict { .. } => BAD_REQUEST, "tenant_conflict", TENANT;
    Rejection::EventIdInvalid(_) => BAD_REQUEST, "event_id_invalid", ID;
    Rejection::EventIdConflict { .. } => BAD_REQUEST, "event_id_conflict", SEND;
    Rejection::HeaderNotText(_) => BAD_REQUEST, "header_not_text", SEND;
    Rejection::MediaType { .. } | Rejection::LogsMediaType { .. } => UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported", SEND;
    Rejection::Charset(_) => UNSUPPORTED_MEDIA_TYPE, "charset_unsupported", SEND;
    Rejection::ContentEncoding { .. } => UNSUPPORTED_MEDIA_TYPE, "content_encoding_unsupported", SEND;
    Rejection::BodyTooLarge { .. } => PAYLOAD_TOO_LARGE, "body_too_large", SEND;
    Rejection::InflateRatio { .. } => PAYLOAD_TOO_LARGE, "inflate_ratio", SEND;
    Rejection::BodyCorrupt(_) => BAD_REQUEST, "body_corrupt", SEND;
    Rejection::BodyMangled => BAD_REQUEST, "body_mangled", SEND;
    Rejection::BodyTimeout { .. } => REQUEST_TIMEOUT, "body_timeout", SEND;
    Rejection::BodyInterrupted => BAD_REQUEST, "body_interrupted", SEND;
    Rejection::BodyEmpty => BAD_REQUEST, "body_empty", SEND;
    Rejection::NotUtf8 { .. } => BAD_REQUEST, "not_utf8", SEND;
    Rejection::NotOfCharset(_) => BAD_REQUEST, "not_of_charset", SEND;
    Rejection::MalformedJson(_) => BAD_REQUEST, "malformed_json", SEND;
    Rejection::MalformedProtobuf(_) => BAD_REQUEST, "malformed_protobuf", LOGS;
    Rejection::TooManyParts { .. } => PAYLOAD_TOO_LARGE, "too_many_parts", LOGS;
    Rejection::NotAnObject => BAD_REQUEST, "not_an_object", SEND;
    Rejection::CloudEventInvalid(_) => BAD_REQUEST, "cloudevent_invalid", SEND;
    Rejection::JsonUnreadable(_) => BAD_REQUEST, "json_unreadable", SEND;
    Rejection::WorkTooLong(_) => PAYLOAD_TOO_LARGE, "work_too_long", SEND;
    Rejection::BatchEmpty => BAD_REQUEST, "batch_empty", SEND;
    Rejection::BatchTooLarge { .. } => PAYLOAD_TOO_LARGE, "batch_too_large", SEND;
    Rejection::BatchRejected => UNPROCESSABLE_ENTITY, "batch_rejected", SEND;
    Rejection::StreamUnavailable { .. } => SERVICE_UNAVAILABLE, "stream_unavailable", SEND;
    Rejection::ClaimStoreUnavailable { .. } => SERVICE_UNAVAILABLE, "claim_store_unavailable", SEND;
    Rejection::StorageFailing => SERVICE_UNAVAILABLE, "storage_failing", SEND;
    Rejection::Overloaded { .. } => SERVICE_UNAVAILABLE, "overloaded", SEND;
    Rejection::ReadsDisabled => FORBIDDEN, "reads_disabled", READ;
    Rejection::ParameterUnknown { .. } => BAD_REQUEST, "parameter_unknown", LIST;
    Rejection::ParameterRepeated(_) => BAD_REQUEST, "parameter_repeated", LIST;
    Rejection::LimitInvalid { .. } => BAD_REQUEST, "limit_invalid", LIST;
    Rejection::CursorInvalid => BAD_REQUEST, "cursor_invalid", LIST;
    Rejection::FromInvalid { .. } => BAD_REQUEST, "from_invalid", LIST;
    Rejection::ToInvalid { .. } | Rejection::ToNotAfterFrom { .. } => BAD_REQUEST, "to_invalid", LIST;
    Rejection::EventNotFound { .. } => NOT_FOUND, "event_not_found", ONE;
    Rejection::ReadUnavailable { .. } => SERVICE_UNAVAILABLE, "read_unavailable", READ;
    Rejection::HeadUnreadable => BAD_REQUEST, "head_unreadable", NONE;
    Rejection::HeadTooLarge { .. } => REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", NONE;
    Rejection::TooManyConnections { .. } => SERVICE_UNAVAILABLE, "too_many_connections", NONE;
    Rejection::RequestMalformed => BAD_REQUEST, "request_malformed", NONE;
    Rejection::NotFound(_) => NOT_FOUND, "not_found", NONE;
    Rejection::MethodNotAllowed(_) => METHOD_NOT_ALLOWED, "method_not_allowed", NONE;
    Rejection::Defect => INTERNAL_SERVER_ERROR, "internal", ANY;
}

impl From<InvalidTenantId> for Rejection {
    fn from(error: InvalidTenantId) -> Self {
        Self::TenantInvalid(error.to_string())
    }
}

impl From<InvalidEventId> for Rejection {
    fn from(error: InvalidEventId) -> Self {
        Self::EventIdInvalid(error.to_string())
    }
}

impl From<std::str::Utf8Error> for Rejection {
    fn from(error: std::str::Utf8Error) -> Self {
        Self::NotUtf8 { at: error.valid_up_to() }
    }
}

impl From<Unpublished> for Rejection {
    fn from(Unpublished { budget_ms, cause }: Unpublished) -> Self {
        Self::StreamUnavailable { budget_ms, cause }
    }
}

impl From<InvalidObject> for Rejection {
    fn from(error: InvalidObject) -> Self {
        match error {
            InvalidObject::NotAnObject => Self::NotAnObject,
            InvalidObject::NotJson(error) => Self::MalformedJson(error),
            InvalidObject::Unreadable(error) => Self::JsonUnreadable(error),
            InvalidObject::Tenant(error) => error.into(),
            error @ InvalidObject::TenantNotAString(_) => Self::TenantInvalid(error.to_string()),
            InvalidObject::Id(error) => error.into(),
            error @ InvalidObject::IdNotAString { .. } => Self::EventIdInvalid(error.to_string()),
        }
    }
}

impl Rejection {
    pub(crate) fn event_not_found(id: &EventId) -> Self {
        Self::EventNotFound { id: id.as_str().chars().take(64).collect() }
    }

    pub(crate) fn inflating(error: InflateError) -> Self {
        match error {
            InflateError::TooLarge { limit } => Self::BodyTooLarge { limit },
            InflateError::Ratio { limit } => Self::InflateRatio { limit },
            InflateError::Corrupt { error, .. } => Self::BodyCorrupt(error),
        }
    }
}

/// What was sent, as an error shows it: escaped, and the first `most` characters, so that it does not flood a log.
pub(crate) fn shown(sent: &str, most: usize) -> String {
    sent.chars().take(most).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use shared::client_object::ClientObject;
    use shared::format::record::Undecodable;

    use super::*;

    #[test]
    fn refusals_by_credential_tier_and_quota_are_counted_apart_from_bad_events() {
        let all = [AuthMode::ApiKey, AuthMode::Signature];
        let credentials =
            all.map(|mode| [Rejection::CredentialMissing(mode), Rejection::CredentialInvalid(mode)]);
        let credentials = credentials.into_iter().flatten();
        for refused in
            credentials.chain([Rejection::OriginRefused, Rejection::mismatch("tier", "pro", "free")])
        {
            assert_eq!(refused.metric(), Some(Metric::CredentialsRefused), "{refused}");
            assert_eq!(
                refused.challenge().is_some(),
                refused.status() == StatusCode::UNAUTHORIZED,
                "{refused}"
            );
        }
        let tier = Rejection::TierMissing { allowed: "pro".to_owned() };
        assert_eq!(tier.metric(), Some(Metric::RequestsFiltered));
        let retry_after = Duration::from_secs(2);
        let quota = Rejection::QuotaExceeded { what: "requests", per_second: 1, retry_after };
        assert_eq!(quota.metric(), Some(Metric::QuotasExceeded));
        assert_eq!(Rejection::BodyEmpty.metric(), Some(Metric::EventsRejected));
    }

    #[test]
    fn a_fault_has_the_same_name_in_quarantine() {
        let object = |json: &str| ClientObject::parse(json, &["id".to_owned()]).unwrap_err();
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(120), "]".repeat(120));
        for json in [
            "{",
            "5",
            &deep,
            r#"{"tenant_id":"a b"}"#,
            r#"{"tenant_id":[]}"#,
            "{\"id\":\"\\n\"}",
            r#"{"id":{}}"#,
        ] {
            let code = Undecodable::from(object(json)).code();
            assert_eq!(Rejection::from(object(json)).code(), code, "{json}");
        }
        let corrupt = || InflateError::Corrupt { error: std::io::Error::other("x"), inflated: 0 };
        let inflating: [fn() -> InflateError; 2] =
            [|| InflateError::TooLarge { limit: 1 }, || InflateError::Ratio { limit: 1 }];
        for error in inflating.map(|error| error()).into_iter().chain([corrupt()]) {
            let code = error.code();
            assert_eq!(Rejection::inflating(error).code(), code);
        }
        for (answered, quarantined) in [
            (Rejection::BodyEmpty, Undecodable::Empty),
            (Rejection::BatchTooLarge { limit: 1 }, Undecodable::TooManyLines),
            (Rejection::NotUtf8 { at: 0 }, Undecodable::NotUtf8),
            (Rejection::TenantMissing, Undecodable::TenantMissing),
        ] {
            assert_eq!(answered.code(), quarantined.code());
        }
    }

    #[test]
    fn http_api_md_lists_every_problem_with_its_status() {
        let page = include_str!("../../docs/http-api.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
        let rows = rows.filter_map(|(status, cells)| Some((status.parse::<u16>().ok()?, cells)));
        let codes = |(status, cells): (u16, &str)| {
            let (codes, _) = cells.split_once(" | ").unwrap();
            let quoted = codes.split('`').skip(1).step_by(2);
            quoted.map(|code| (status, code.to_owned())).collect::<Vec<_>>()
        };
        let mut documented: Vec<_> = rows.flat_map(codes).collect();
        // This one is in a sentence.
        assert!(page.contains("`500` with the code `internal`"));
        documented.push((500, "internal".to_owned()));
        let mut all: Vec<_> =
            ProblemKind::ALL.iter().map(|kind| (kind.status.as_u16(), kind.code.to_owned())).collect();
        documented.sort();
        all.sort();
        assert_eq!(documented, all);
    }
}
