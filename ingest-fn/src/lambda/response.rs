//! An answer as a Function URL takes it (payload format 2.0).

use std::string::FromUtf8Error;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Serialize, Serializer};

use crate::answer::Answer;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UrlAnswer {
    status_code: u16,
    #[serde(serialize_with = "as_map")]
    headers: Vec<(HeaderName, HeaderValue)>,
    body: String,
    is_base64_encoded: bool,
}

impl UrlAnswer {
    /// The answer of the router. A header that is there more than once is a list.
    pub(super) fn new(head: &Parts, body: Vec<u8>) -> Self {
        let joined = |name: &HeaderName| {
            let values: Vec<_> = head.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            let list = HeaderValue::from_bytes(&values.join(&b", "[..]));
            (name.clone(), list.expect("it is made of such values"))
        };
        Self::of(head.status, head.headers.keys().map(joined).collect(), body)
    }

    /// What is no text travels in base64.
    fn of(status: StatusCode, headers: Vec<(HeaderName, HeaderValue)>, body: Vec<u8>) -> Self {
        let text = if is_text(&headers) {
            String::from_utf8(body).map_err(FromUtf8Error::into_bytes)
        } else {
            Err(body)
        };
        let (body, is_base64_encoded) = match text {
            Ok(text) => (text, false),
            Err(bytes) => (base64_simd::STANDARD.encode_to_string(bytes), true),
        };
        Self { status_code: status.as_u16(), headers, body, is_base64_encoded }
    }
}

impl From<Answer> for UrlAnswer {
    fn from(answer: Answer) -> Self {
        let (status, headers, body) = answer.into_parts();
        Self::of(status, headers, body)
    }
}

fn is_text(headers: &[(HeaderName, HeaderValue)]) -> bool {
    let is_text = |media_type: &[u8]| media_type.ends_with(b"json") || media_type.starts_with(b"text/");
    headers.iter().all(|(name, value)| match *name {
        CONTENT_ENCODING => false,
        CONTENT_TYPE => is_text(value.as_bytes()),
        _ => true,
    })
}

fn as_map<S: Serializer>(headers: &[(HeaderName, HeaderValue)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        headers.iter().map(|header| (header.0.as_str(), String::from_utf8_lossy(header.1.as_bytes()))),
    )
}
