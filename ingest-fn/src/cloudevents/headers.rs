//! The attributes of a CloudEvent in binary mode, in `ce-` headers.

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;

use super::REQUIRED;
use crate::rejection::Rejection;
use crate::repeated::distinct;

/// What no header may set: the body is the data, and `Content-Type` its type.
const OF_THE_BODY: [&str; 3] = ["data", "data_base64", "datacontenttype"];

/// The attributes in `ce-` headers, as a JSON object. `None` if no header has one that every CloudEvent has.
pub(crate) fn attributes(headers: &HeaderMap) -> Result<Option<String>, Rejection> {
    let is_required = |(header, value): (&HeaderName, &HeaderValue)| {
        !value.is_empty() && header.as_str().strip_prefix("ce-").is_some_and(|name| REQUIRED.contains(&name))
    };
    if !headers.iter().any(is_required) {
        return Ok(None);
    }
    let mut attributes = BTreeMap::new();
    for header in headers.keys().map(HeaderName::as_str) {
        let name = header.strip_prefix("ce-").filter(|name| !OF_THE_BODY.contains(name));
        if let Some(name) = name {
            let value = decoded(&value(headers, header));
            let value = value.ok_or_else(|| Rejection::HeaderNotText(header.to_owned()))?;
            if !value.is_empty() {
                attributes.insert(name, value);
            }
        }
    }
    let media_type = value(headers, CONTENT_TYPE.as_str());
    if !media_type.is_empty() {
        attributes.insert("datacontenttype", String::from_utf8_lossy(&media_type).into_owned());
    }
    Ok(Some(serde_json::to_string(&attributes).expect("texts always serialise")))
}

/// A value may have commas, so only a list of equal parts is a repeated header.
fn value(headers: &HeaderMap, name: &str) -> Vec<u8> {
    match distinct(headers, name)[..] {
        [only] => only.to_vec(),
        _ => headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b","[..]),
    }
}

/// By the rules of the HTTP binding (3.1.3.2): quotes first, which older senders use, then one round of percent-decoding.
fn decoded(value: &[u8]) -> Option<String> {
    let quoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let mut is_escaped = false;
    let unescaped = quoted.map(|quoted| {
        let bytes = quoted.iter().copied();
        bytes
            .filter(|byte| {
                is_escaped = *byte == b'\\' && !is_escaped;
                !is_escaped
            })
            .collect::<Vec<_>>()
    });
    let text = percent_decode(unescaped.as_deref().unwrap_or(value)).decode_utf8().ok()?;
    Some(text.into_owned())
}
