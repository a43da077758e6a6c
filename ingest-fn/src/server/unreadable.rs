//! Answers request heads that cannot be read. hyper answers them itself, without a body; its bytes are replaced.

use bytes::Bytes;
use futures::FutureExt;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http_body_util::BodyExt;
use shared::id::Ids;

use super::connection::HEAD_BYTES;
use crate::rejection::Rejection;
use crate::request_id::RequestId;
use crate::{answer, stamp};

/// What to write instead of `bytes`, if they are such an answer of hyper's.
pub(super) fn instead_of(bytes: &[u8]) -> Option<Vec<u8>> {
    // Ours all have a content type.
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 4")?.get(..2)?;
    if head.contains("content-type") {
        return None;
    }
    Some(written(&match status {
        "31" => Rejection::HeadTooLarge { limit: HEAD_BYTES },
        _ => Rejection::HeadUnreadable,
    }))
}

fn written(rejection: &Rejection) -> Vec<u8> {
    let mut response = refusal(rejection);
    let collected = response.body_mut().collect().now_or_never();
    let body = collected.and_then(Result::ok).map_or_else(Bytes::new, http_body_util::Collected::to_bytes);
    response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes
}

/// The last answer on a connection.
pub(super) fn refusal(rejection: &Rejection) -> axum::response::Response {
    let id = RequestId(Ids::system().next().to_string().into());
    let mut response = stamp::named(answer::refusal(rejection, &id).into(), &id);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
