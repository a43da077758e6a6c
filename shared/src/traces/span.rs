//! A span, and what a collector reads of it: the JSON of OTLP
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>).

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::context::{SpanContext, SpanId};

/// The most links of a span: OpenTelemetry's default limit.
const LINKS: usize = 128;

/// A span that has ended.
#[derive(Clone, Debug)]
pub struct Span {
    pub context: SpanContext,
    pub parent: Option<SpanId>,
    pub name: &'static str,
    pub kind: Kind,
    /// As [`super::now`] has it.
    pub began: u64,
    pub ended: u64,
    pub links: Vec<SpanContext>,
    pub attributes: Vec<(&'static str, Value)>,
    pub has_failed: bool,
}

/// OpenTelemetry's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Internal = 1,
    Server = 2,
    Producer = 4,
    Consumer = 5,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Number(u64),
}

impl Span {
    /// One that ends now.
    pub fn ended(context: SpanContext, name: &'static str, kind: Kind, began: u64) -> Self {
        let (parent, links, attributes) = (None, Vec::new(), Vec::new());
        let ended = super::now().max(began);
        Self { context, parent, name, kind, began, ended, links, attributes, has_failed: false }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// Links to other spans, at most as many as a span may have. How many there were is an attribute, if there were more.
    pub fn linked(mut self, links: Vec<SpanContext>) -> Self {
        let all = links.len();
        self.links = links;
        if all > LINKS {
            self.links.truncate(LINKS);
            return self.with("tidegate.links", all);
        }
        self
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

/// The body of a call.
pub(super) fn body(resource: &[(&'static str, Value)], spans: &[Span]) -> Vec<u8> {
    let spans: Vec<_> = spans.iter().map(SpanJson::of).collect();
    let scope = Scope { name: "tidegate", version: env!("CARGO_PKG_VERSION") };
    let resource = Resource { attributes: attributes(resource) };
    let body =
        Request { resource_spans: [ResourceSpans { resource, scope_spans: [ScopeSpans { scope, spans }] }] };
    serde_json::to_vec(&body).expect("spans always serialise")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: Vec<Attribute<'a>>,
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<SpanJson<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanJson<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    trace_id: String,
    span_id: String,
}

/// 2 is an error.
#[derive(Serialize)]
struct Status {
    code: u8,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'a str,
    #[serde(serialize_with = "any_value")]
    value: &'a Value,
}

/// Integers are text, as in all JSON of protobuf.
fn any_value<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    let (name, text) = match value {
        Value::Text(text) => ("stringValue", Cow::Borrowed(text.as_str())),
        Value::Number(number) => ("intValue", Cow::Owned(number.to_string())),
    };
    serializer.collect_map([(name, text)])
}

fn attributes<'a>(given: &'a [(&'static str, Value)]) -> Vec<Attribute<'a>> {
    given.iter().map(|(key, value)| Attribute { key, value }).collect()
}

impl<'a> SpanJson<'a> {
    fn of(span: &'a Span) -> Self {
        let link = |link: &SpanContext| Link { trace_id: trace_id(link), span_id: link.span.to_string() };
        Self {
            trace_id: trace_id(&span.context),
            span_id: span.context.span.to_string(),
            parent_span_id: span.parent.map(|parent| parent.to_string()),
            name: span.name,
            kind: span.kind as u8,
            start_time_unix_nano: span.began.to_string(),
            end_time_unix_nano: span.ended.to_string(),
            attributes: attributes(&span.attributes),
            links: span.links.iter().map(link).collect(),
            status: span.has_failed.then_some(Status { code: 2 }),
        }
    }
}

fn trace_id(context: &SpanContext) -> String {
    format!("{:032x}", context.trace)
}
