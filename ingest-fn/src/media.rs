//! A body's media type, character set and content coding, from its headers.

use encoding_rs::{Encoding, UTF_8};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use crate::otlp;
use crate::rejection::{Rejection, shown};
use crate::repeated::{distinct, values};

/// How a body is cut into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// An object, or an array of objects. Several objects are read as NDJSON: many senders of lines use this type.
    Json,
    /// JSON objects one after another, usually one on each line.
    Ndjson,
    /// One text.
    Text,
    /// Log records of OpenTelemetry. Only their own path takes them.
    Otlp(otlp::Encoding),
    /// A CloudEvent, or an array of them, with their attributes.
    CloudEvents,
    /// The data of a CloudEvent that is neither JSON nor a text.
    Bytes,
}

/// What `Content-Type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentType {
    pub(crate) media_type: MediaType,
    /// UTF-8, if it names none.
    pub(crate) charset: &'static Encoding,
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

/// Reads `Content-Type`, whatever its case and its other parameters. The data of a CloudEvent in binary mode (`is_data`) may be
/// of any type, and is JSON without one.
pub(crate) fn content_type(headers: &HeaderMap, is_data: bool) -> Result<ContentType, Rejection> {
    // What nearly all senders send.
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    if values.next().is_some_and(|given| given == "application/json") && values.next().is_none() {
        return Ok(ContentType { media_type: MediaType::Json, charset: UTF_8 });
    }
    let given = match &distinct(headers, CONTENT_TYPE)[..] {
        [] if is_data => return Ok(ContentType { media_type: MediaType::Json, charset: UTF_8 }),
        [] => return Err(Rejection::MediaType { given: "(no `Content-Type`)".to_owned() }),
        [only] => String::from_utf8_lossy(only),
        // Several different ones are no media type.
        several => String::from_utf8_lossy(&several.join(&b", "[..])).into_owned().into(),
    };
    let essence = essence(&given);
    let unknown = || Rejection::MediaType { given: format!("`{}`", shown(&given, 100)) };
    let media_type = match essence.split_once('/').ok_or_else(unknown)? {
        ("application", "cloudevents+json" | "cloudevents-batch+json") => MediaType::CloudEvents,
        // Other formats of CloudEvents, such as Avro.
        ("application", subtype) if subtype.starts_with("cloudevents") => return Err(unknown()),
        _ if is_data && !essence.contains(',') => of_data(&essence),
        ("text", "plain") => MediaType::Text,
        ("application" | "text", "json") => MediaType::Json,
        ("application" | "text", subtype) if LINES.contains(&subtype) => MediaType::Ndjson,
        (_, subtype) if subtype.ends_with("+json-seq") => MediaType::Ndjson,
        (_, subtype) if subtype.ends_with("+json") => MediaType::Json,
        _ => return Err(unknown()),
    };
    let charset = match given.split(';').skip(1).find_map(charset) {
        None | Some("") => UTF_8,
        Some(label) => encoding(label).ok_or_else(|| Rejection::Charset(shown(label, 100)))?,
    };
    Ok(ContentType { media_type, charset })
}

/// What the data of a CloudEvent is, by its media type.
pub(crate) fn of_data(given: &str) -> MediaType {
    let essence = essence(given);
    match essence.split_once('/').unwrap_or_default() {
        (_, subtype) if subtype == "json" || subtype.ends_with("+json") => MediaType::Json,
        // Lines are one event here, so they are its text.
        ("text", _) | ("application", "xml" | "javascript" | "yaml") => MediaType::Text,
        (_, subtype) if subtype.ends_with("+xml") || LINES.contains(&subtype) => MediaType::Text,
        _ => MediaType::Bytes,
    }
}

/// A media type without its parameters.
fn essence(given: &str) -> String {
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The names under which senders send JSON lines, and RFC 7464.
const LINES: [&str; 8] =
    ["x-ndjson", "ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines", "json-lines", "json-seq"];

/// By the labels of browsers (<https://encoding.spec.whatwg.org/#names-and-labels>), in which ISO-8859-1 is windows-1252. Only
/// ASCII is not: as UTF-8 it is the same, and a byte that is neither is refused instead of guessed.
fn encoding(label: &str) -> Option<&'static Encoding> {
    match label.to_ascii_lowercase().as_str() {
        "us-ascii" | "ascii" => Some(UTF_8),
        label => Encoding::for_label_no_replacement(label.as_bytes()),
    }
}

/// The coding that `Content-Encoding` names. Several codings are not accepted: clients do not send them, and each would
/// multiply the size of a decompression bomb.
pub(crate) fn coding(headers: &HeaderMap) -> Result<Coding, Rejection> {
    let given = values(headers, CONTENT_ENCODING).map(String::from_utf8_lossy);
    let given = given.reduce(|list, value| format!("{list}, {value}").into()).unwrap_or_default();
    match given.to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Coding::Identity),
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        "deflate" => Ok(Coding::Deflate),
        "zstd" => Ok(Coding::Zstd),
        _ => Err(Rejection::ContentEncoding { given: shown(&given, 100) }),
    }
}

fn charset(parameter: &str) -> Option<&str> {
    let (name, value) = parameter.split_once('=')?;
    name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &str) -> Result<ContentType, String> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, given.parse().unwrap())]);
        content_type(&headers, false).map_err(|rejection| rejection.to_string())
    }

    fn check(given: &str, expected: MediaType) {
        assert_eq!(read(given).unwrap(), ContentType { media_type: expected, charset: UTF_8 }, "{given}");
    }

    #[test]
    fn a_media_type_is_recognised_whatever_its_case_and_parameters() {
        for json in [
            "application/json",
            "Application/JSON ; charset=UTF-8",
            "text/json;charset=",
            "application/vnd.api+json; charset=\"utf-8\"; x=y",
            "model/gltf+JSON",
        ] {
            check(json, MediaType::Json);
        }
        check("application/cloudevents+json; charset=utf-8", MediaType::CloudEvents);
        check("Application/CloudEvents-Batch+JSON", MediaType::CloudEvents);
        assert!(read("application/cloudevents+avro").is_err() && read("application/cloudevents").is_err());
        for lines in [
            "application/x-ndjson",
            "application/ndjson",
            "application/jsonl",
            "Application/X-JSONLines;profile=x",
            "text/x-jsonl",
            "application/json-seq",
            "application/geo+json-seq",
        ] {
            check(lines, MediaType::Ndjson);
        }
        check("text/plain;charset=us-ascii", MediaType::Text);
        check("TEXT/Plain; format=flowed", MediaType::Text);
    }

    #[test]
    fn a_charset_is_known_by_the_labels_of_browsers() {
        for (label, name) in [
            ("ISO-8859-1", "windows-1252"),
            ("latin1", "windows-1252"),
            ("\"windows-1251\"", "windows-1251"),
            ("UTF-16", "UTF-16LE"),
            ("utf-16be", "UTF-16BE"),
            ("Shift_JIS", "Shift_JIS"),
        ] {
            let json = read(&format!("application/json; Charset={label}")).unwrap();
            assert_eq!(json.charset.name(), name, "{label}");
            assert_eq!(read(&format!("text/plain;charset={label}")).unwrap().charset, json.charset);
        }
        insta::assert_snapshot!(read("text/plain; charset=utf-7").unwrap_err(), @"charset `utf-7` cannot be read (accepted: utf-8, utf-16, iso-8859-1 and the others of the WHATWG Encoding Standard)");
        assert!(read("application/json; charset=iso-2022-cn").is_err(), "browsers only replace it");
    }

    #[test]
    fn a_refusal_names_the_input_and_the_accepted_media_types() {
        insta::assert_snapshot!(read("text/csv").unwrap_err(), @"media type `text/csv` cannot be read (accepted: application/json, application/x-ndjson, text/plain)");
        insta::assert_snapshot!(read("").unwrap_err(), @"media type `` cannot be read (accepted: application/json, application/x-ndjson, text/plain)");
        check("text/plain,text/plain", MediaType::Text);
        assert!(read("text/plain, application/json").is_err());
        assert!(read("json").is_err() && read("application/xml").is_err() && read("image/jsonl").is_err());
    }

    #[test]
    fn the_data_of_a_cloudevent_may_be_of_any_type() {
        let media_type = |given: Option<&str>| {
            let headers = given.map(|given| (CONTENT_TYPE, given.parse().unwrap()));
            content_type(&HeaderMap::from_iter(headers), true).map(|it| it.media_type).ok()
        };
        for json in [None, Some("application/json"), Some("text/json; charset=utf-8"), Some("a/b+JSON")] {
            assert_eq!(media_type(json), Some(MediaType::Json), "{json:?}");
        }
        for text in ["text/csv", "application/xml", "image/svg+xml", "application/x-ndjson"] {
            assert_eq!(media_type(Some(text)), Some(MediaType::Text), "{text}");
        }
        assert_eq!(media_type(Some("image/png")), Some(MediaType::Bytes));
        assert_eq!(media_type(Some("application/cloudevents+json")), Some(MediaType::CloudEvents));
        for refused in ["application/cloudevents+protobuf", "json", "text/plain, application/json"] {
            assert_eq!(media_type(Some(refused)), None, "{refused}");
        }
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
