//! A Function URL's event (payload format 2.0, which an HTTP API of API Gateway has, too) as a request.
//!
//! `lambda_http`'s own reader first reads the event as a raw value, then as a tree with all of the request's context, then parses the
//! URL and the query. That took more time than all else that ingest does for a small event. Here one pass reads what ingest uses.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use shared::config::UNREAD_HEADERS;

/// Members that are missing are empty: then no route matches.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UrlEvent {
    raw_path: String,
    raw_query_string: String,
    headers: Headers,
    request_context: RequestContext,
    body: Option<String>,
    is_base64_encoded: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RequestContext {
    http: Http,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Http {
    method: String,
}

/// `None` if there is a header that HTTP does not have.
#[derive(Debug)]
struct Headers(Option<HeaderMap>);

impl UrlEvent {
    /// `None` if no request can be made of it: of a query with a quote or a blank, or a body in base64 with line breaks.
    pub(super) fn into_request(self) -> Option<Request<Bytes>> {
        let mut target = self.raw_path;
        if !self.raw_query_string.is_empty() {
            target.push('?');
            target.push_str(&self.raw_query_string);
        }
        let body = match self.body {
            None => Bytes::new(),
            Some(text) if self.is_base64_encoded => base64_simd::STANDARD.decode_to_vec(text).ok()?.into(),
            Some(text) => text.into(),
        };
        let mut request = Request::new(body);
        *request.method_mut() = Method::from_bytes(self.request_context.http.method.as_bytes()).ok()?;
        *request.uri_mut() = Uri::from(PathAndQuery::try_from(target).ok()?);
        *request.headers_mut() = self.headers.0?;
        Some(request)
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self(Some(HeaderMap::new()))
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("headers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut headers = Some(HeaderMap::new());
        while let Some(OfText(name)) = map.next_key()? {
            let Name::Read(name) = name else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let OfText(Value(value)) = map.next_value()?;
            match (&mut headers, name, value) {
                (Some(headers), Some(name), Some(value)) => drop(headers.append(name, value)),
                _ => headers = None,
            }
        }
        Ok(Headers(headers))
    }
}

enum Name {
    Unread,
    /// `None` if HTTP has no such name.
    Read(Option<HeaderName>),
}

/// `None` if HTTP has no such value.
struct Value(Option<HeaderValue>);

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        if UNREAD_HEADERS.contains(&text) {
            Self::Unread
        } else {
            Self::Read(HeaderName::from_bytes(text.as_bytes()).ok())
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self(HeaderValue::from_bytes(text.as_bytes()).ok())
    }
}

/// What is made of a JSON string, without a copy of it.
struct OfText<T>(T);

impl<'de, T: for<'a> From<&'a str>> Deserialize<'de> for OfText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);

        impl<T: for<'a> From<&'a str>> Visitor<'_> for TextVisitor<T> {
            type Value = OfText<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OfText(text.into()))
            }
        }

        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}
