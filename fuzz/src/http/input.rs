//! A request as text:
//!
//! ```text
//! POST /ingest coded stream-hangs
//! x-customer-tier: pro
//! content-type: application/json
//! content-encoding: gzip
//!
//! {"tenant_id":"acme","text":"x"}
//! ```
//!
//! The words after the path are not sent. `coded` compresses the body by its `content-encoding`. `swollen` replaces
//! each byte `1e` of the body, up to two, with 300,000 letters that do not compress, so that an event needs a claim
//! check. The others say which port fails ([`super::ports`]) and how ingest is configured.

use std::io::Write;

use axum::body::Body;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::value::RawValue;
use shared::client_object::ClientObject;
use shared::gzip::{self, Level};
use shared::sequence::{self, Arrays};

use crate::mutate::Dice;

#[derive(Clone, Debug)]
pub struct Input {
    method: Method,
    uri: Uri,
    words: Vec<String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Input {
    /// `None` if an HTTP library would not accept the request.
    pub fn read(input: &[u8]) -> Option<Self> {
        let (head, body) = match input.windows(2).position(|pair| pair == b"\n\n") {
            Some(at) => (&input[..at], &input[at + 2..]),
            None => (input, &[][..]),
        };
        let mut lines = head.split(|byte| *byte == b'\n');
        let mut words = lines.next()?.split(|byte| *byte == b' ');
        let method = Method::from_bytes(words.next()?).ok()?;
        let uri = Uri::try_from(words.next()?).ok()?;
        let words = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            let at = line.windows(2).position(|pair| pair == b": ")?;
            let name = HeaderName::from_bytes(&line[..at]).ok()?;
            headers.append(name, HeaderValue::from_bytes(&line[at + 2..]).ok()?);
        }
        let mut input = Self { method, uri, words, headers, body: body.to_vec() };
        if input.has("swollen") {
            input.body = swollen(body);
        }
        Some(input)
    }

    /// Whether this word is after the path.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }

    /// Whether the path is that of log records.
    pub fn has_logs(&self) -> bool {
        self.uri.path().split('/').filter(|segment| !segment.is_empty()).eq(["v1", "logs"])
    }

    /// Whether the answer has no body.
    pub fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// The request as it is sent.
    pub fn request(&self) -> Request<Body> {
        let body = if self.has("coded") { self.coded() } else { self.body.clone() };
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// The body before compression; `None` if the client compressed it itself.
    pub fn plain_body(&self) -> Option<&[u8]> {
        let is_plain = self.has("coded") || self.coding().is_none_or(|coding| coding == b"identity");
        is_plain.then_some(&self.body[..])
    }

    /// Whether a byte order mark or a charset may change the body.
    pub fn is_recoded(&self) -> bool {
        let marks = [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\xfe\xff"];
        let has_charset = self
            .media_type()
            .is_none_or(|media_type| media_type.replace("charset=utf-8", "").contains("charset"));
        has_charset || marks.iter().any(|mark| self.body.starts_with(mark))
    }

    /// The JSON of the event with this index.
    pub fn event(&self, index: usize) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(&self.body).map_or("", sequence::trim);
        let is_lines = self.media_type()?.contains("ndjson") || self.media_type()?.contains("seq");
        if is_lines || sequence::is_continued(text) {
            let read =
                |json| ClientObject::parse(std::str::from_utf8(json).map_err(drop)?, &[]).map_err(drop);
            let piece = sequence::pieces(&self.body, Arrays::Whole, usize::MAX, read).nth(index)?;
            return Some(piece.ok()?.bytes.to_vec());
        }
        if text.starts_with('[') {
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            return elements.get(index).map(|element| element.get().as_bytes().to_vec());
        }
        Some(text.as_bytes().to_vec())
    }

    /// Whether the body is CloudEvents with their attributes.
    pub fn is_structured(&self) -> bool {
        self.media_type().is_some_and(|media_type| media_type.starts_with("application/cloudevents"))
    }

    /// Whether the body is the data of a CloudEvent.
    pub fn is_binary(&self) -> bool {
        let names = ["ce-specversion", "ce-type", "ce-source", "ce-id"];
        names.iter().any(|name| self.headers.get_all(*name).iter().any(|value| !value.is_empty()))
    }

    /// Whether a header may name the event.
    pub fn is_named(&self) -> bool {
        ["idempotency-key", "webhook-id"].iter().any(|name| self.headers.contains_key(*name))
    }

    fn media_type(&self) -> Option<String> {
        Some(self.headers.get(http::header::CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase())
    }

    fn coding(&self) -> Option<&[u8]> {
        self.headers.get(http::header::CONTENT_ENCODING).map(HeaderValue::as_bytes)
    }

    fn coded(&self) -> Vec<u8> {
        match self.coding() {
            Some(b"gzip") => gzip::compress(&self.body, Level::FAST),
            Some(b"deflate") => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&self.body).unwrap();
                encoder.finish().unwrap()
            }
            Some(b"zstd") => compress_to_vec(&self.body[..], CompressionLevel::Fastest),
            _ => self.body.clone(),
        }
    }
}

fn swollen(body: &[u8]) -> Vec<u8> {
    let mut dice = Dice::new(0);
    let mut letter = || b'0' + u8::try_from(dice.below(64)).unwrap();
    let mut swollen = Vec::new();
    for (index, piece) in body.splitn(3, |byte| *byte == 0x1e).enumerate() {
        if index > 0 {
            // No quotes, and no backslash.
            swollen.extend(std::iter::repeat_with(&mut letter).filter(|byte| *byte != b'\\').take(300_000));
        }
        swollen.extend_from_slice(piece);
    }
    swollen
}
