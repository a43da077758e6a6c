//! An answer as a Function URL takes it (payload format 2.0).

use std::borrow::Cow;
use std::string::FromUtf8Error;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue};
use serde::{Serialize, Serializer};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UrlAnswer {
    status_code: u16,
    #[serde(serialize_with = "as_map")]
    headers: HeaderMap,
    body: String,
    is_base64_encoded: bool,
}

impl UrlAnswer {
    /// What is no text travels in base64.
    pub(super) fn new(head: Parts, body: Vec<u8>) -> Self {
        let (status_code, headers) = (head.status.as_u16(), head.headers);
        let text = if is_text(&headers) {
            String::from_utf8(body).map_err(FromUtf8Error::into_bytes)
        } else {
            Err(body)
        };
        let (body, is_base64_encoded) = match text {
            Ok(text) => (text, false),
            Err(bytes) => (base64_simd::STANDARD.encode_to_string(bytes), true),
        };
        Self { status_code, headers, body, is_base64_encoded }
    }
}

fn is_text(headers: &HeaderMap) -> bool {
    let is_text = |media_type: &HeaderValue| {
        media_type.as_bytes().ends_with(b"json") || media_type.as_bytes().starts_with(b"text/")
    };
    !headers.contains_key(CONTENT_ENCODING) && headers.get(CONTENT_TYPE).is_none_or(is_text)
}

/// A header that is there more than once is a list.
fn as_map<S: Serializer>(headers: &HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
    let joined = |name| {
        let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let first = values.next().unwrap_or_default();
        values.fold(first, |list, value| Cow::Owned(format!("{list}, {value}")))
    };
    serializer.collect_map(headers.keys().map(|name| (name.as_str(), joined(name))))
}
