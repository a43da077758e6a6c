//! A body's media type and content coding, from its headers.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use crate::rejection::Rejection;

/// How a body is cut into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// One JSON value: an object, or an array of objects.
    Json,
    /// One JSON object on each line.
    Ndjson,
    /// One text.
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    /// gzip (RFC 1952), any number of members.
    Gzip,
    /// zlib (RFC 1950) or, as some clients send under this name, raw deflate (RFC 1951).
    Deflate,
    /// Zstandard (RFC 8878), any number of frames.
    Zstd,
}

/// The media type that `Content-Type` names.
pub(crate) fn media_type(headers: &HeaderMap) -> Result<MediaType, Rejection> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Err(Rejection::MediaType { given: "(no `Content-Type`)".to_owned() });
    };
    let given = String::from_utf8_lossy(value.as_bytes());
    let mut parts = given.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let media_type = match essence.as_str() {
        "application/json" => MediaType::Json,
        "application/x-ndjson" | "application/ndjson" => MediaType::Ndjson,
        "text/plain" => MediaType::Text,
        other if other.starts_with("application/") && other.ends_with("+json") => MediaType::Json,
        _ => return Err(Rejection::MediaType { given: format!("`{}`", cut(&given)) }),
    };
    match parts.find_map(charset) {
        Some(name) if !["utf-8", "utf8", "us-ascii"].contains(&name.to_ascii_lowercase().as_str()) => {
            Err(Rejection::Charset(cut(name)))
        }
        _ => Ok(media_type),
    }
}

/// The coding that `Content-Encoding` names. Several codings are not accepted: clients do not send them, and each would
/// multiply the size of a decompression bomb.
pub(crate) fn coding(headers: &HeaderMap) -> Result<Coding, Rejection> {
    let values: Vec<_> = headers.get_all(CONTENT_ENCODING).iter().collect();
    let given = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let given = given.collect::<Vec<_>>().join(", ");
    match given.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Coding::Identity),
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        "deflate" => Ok(Coding::Deflate),
        "zstd" => Ok(Coding::Zstd),
        _ => Err(Rejection::ContentEncoding { given: cut(&given) }),
    }
}

fn charset(parameter: &str) -> Option<&str> {
    let (name, value) = parameter.split_once('=')?;
    name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
}

/// A header's value, escaped and shortened for an error.
fn cut(value: &str) -> String {
    value.chars().take(100).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &str, expected: Result<MediaType, &str>) {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
        match (media_type(&headers), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{content_type}"),
            (Err(rejection), Err(expected)) => assert_eq!(rejection.to_string(), expected),
            (found, _) => panic!("{content_type}: {found:?}"),
        }
    }

    #[test]
    fn a_media_type_is_recognised_whatever_its_case_and_parameters() {
        check("application/json", Ok(MediaType::Json));
        check("Application/JSON ; charset=UTF-8", Ok(MediaType::Json));
        check("application/cloudevents+json; charset=\"utf-8\"; x=y", Ok(MediaType::Json));
        check("application/x-ndjson", Ok(MediaType::Ndjson));
        check("application/ndjson", Ok(MediaType::Ndjson));
        check("text/plain;charset=us-ascii", Ok(MediaType::Text));
    }

    #[test]
    fn a_refusal_names_the_input_and_the_accepted_media_types() {
        check(
            "text/csv",
            Err(
                "media type `text/csv` cannot be read (accepted: application/json, application/x-ndjson, text/plain)",
            ),
        );
        check(
            "",
            Err(
                "media type `` cannot be read (accepted: application/json, application/x-ndjson, text/plain)",
            ),
        );
        check(
            "text/plain; charset=latin1",
            Err("charset `latin1` cannot be read (accepted: utf-8, us-ascii)"),
        );
    }

    #[test]
    fn one_coding_is_accepted_and_several_are_not() {
        let coding =
            |given: &str| coding(&HeaderMap::from_iter([(CONTENT_ENCODING, given.parse().unwrap())]));
        assert_eq!(coding("GZIP").unwrap(), Coding::Gzip);
        assert_eq!(coding("identity").unwrap(), Coding::Identity);
        insta::assert_snapshot!(coding("gzip, zstd").unwrap_err(), @"content encoding `gzip, zstd` cannot be read (accepted: identity, gzip, deflate, zstd)");
    }
}
