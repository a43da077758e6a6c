//! The answers that exporters understand (<https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>). They send again only after
//! 429, 502, 503 and 504, and a whole request: so one record that could not be published makes the answer 503, and those that
//! were published are duplicates when they come again.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message;
use serde_json::{Value, json};
use shared::id::EventId;

use super::{Encoding, encoding};
use crate::answer::{self, Answer};
use crate::cut::RequestEvents;
use crate::rejection::Rejection;
use crate::request_id::RequestId;

/// `google.rpc.Status`, as far as OTLP uses it.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

/// Answers a request: what became of its records and the size of its body, or why it was refused.
pub(crate) fn answer(
    taken: &Result<(RequestEvents<EventId>, usize), Rejection>,
    headers: &HeaderMap,
    request_id: &RequestId,
) -> Answer {
    // A request of another media type has no encoding. This one can be read by anyone.
    let encoding = encoding(headers).unwrap_or(Encoding::Json);
    let (records, body_bytes) = match taken {
        Ok((records, body_bytes)) => (records, *body_bytes),
        Err(rejection) => {
            answer::note_refusal(rejection, request_id);
            return failure(encoding, rejection);
        }
    };
    answer::note(records, body_bytes, request_id);
    let rejected: Vec<_> = records.events.iter().filter_map(|record| record.as_ref().err()).collect();
    let unpublished = rejected.iter().find(|rejection| rejection.is_unpublished());
    match (unpublished, &rejected[..]) {
        (Some(unpublished), _) => failure(encoding, unpublished),
        (None, []) => success(encoding, None),
        // Not all exporters read a partial success, so it is no answer if nothing was accepted.
        (None, [first, ..]) if rejected.len() == records.events.len() => failure(encoding, first),
        (None, [first, ..]) => {
            let error_message = format!(
                "{} of {} log records were rejected, the first because {}",
                rejected.len(),
                records.events.len(),
                message(first)
            );
            let rejected_log_records = i64::try_from(rejected.len()).unwrap_or(i64::MAX);
            success(encoding, Some(ExportLogsPartialSuccess { rejected_log_records, error_message }))
        }
    }
}

fn success(encoding: Encoding, partial_success: Option<ExportLogsPartialSuccess>) -> Answer {
    let json = match &partial_success {
        None => json!({}),
        // Integers of 64 bits are strings in this encoding.
        Some(partial) => json!({ "partialSuccess": {
            "rejectedLogRecords": partial.rejected_log_records.to_string(),
            "errorMessage": partial.error_message,
        }}),
    };
    encoded(encoding, StatusCode::OK, &ExportLogsServiceResponse { partial_success }, &json)
}

fn failure(encoding: Encoding, rejection: &Rejection) -> Answer {
    let message = message(rejection);
    let json = json!({ "message": message });
    let status = match rejection {
        // It may arrive the next time.
        Rejection::BodyTimeout { .. } | Rejection::BodyInterrupted => StatusCode::SERVICE_UNAVAILABLE,
        rejection => rejection.status(),
    };
    let mut answer = encoded(encoding, status, &Status { message }, &json);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.set(RETRY_AFTER, HeaderValue::from(RETRY.as_secs()));
    }
    answer.add_headers(rejection);
    answer
}

/// After a body that did not arrive.
const RETRY: Duration = Duration::from_secs(1);

/// The code first: it does not change, and docs/http-api.md explains it.
fn message(rejection: &Rejection) -> String {
    format!("{}: {rejection}", rejection.code())
}

fn encoded(encoding: Encoding, status: StatusCode, message: &impl Message, json: &Value) -> Answer {
    match encoding {
        Encoding::Protobuf => Answer::new(status, "application/x-protobuf", message.encode_to_vec()),
        Encoding::Json => Answer::new(status, "application/json", json.to_string().into_bytes()),
    }
}
