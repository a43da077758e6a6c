//! [CloudEvents 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md): an event's
//! attributes are its context, and its data is the content. In structured mode the body has both. In binary mode `ce-` headers
//! have the attributes, and the body is the data. The same event is read the same in both.

mod headers;

use std::collections::BTreeMap;
use std::str;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use shared::client_object::{ClientObject, readable};
use shared::fields::Fields;
use shared::id::EventId;
use shared::{digest, sequence};

pub(crate) use self::headers::attributes;
use crate::media::{self, MediaType};
use crate::rejection::{Rejection, shown};

/// The field that has the attributes.
const CONTEXT: &str = "cloudevent";
const REQUIRED: [&str; 4] = ["specversion", "type", "source", "id"];
/// Between source and id. No URI has it.
const SEPARATOR: char = '|';

type Attributes<'a> = BTreeMap<String, &'a RawValue>;

/// What an event is about.
enum Data<'a> {
    None,
    Text(String),
    /// No text. As every reader reads it.
    Json(&'a RawValue),
    /// In base64.
    Bytes(String),
}

impl<'a> Data<'a> {
    fn of_json(json: &'a RawValue) -> Self {
        text(json).map_or(Self::Json(json), Self::Text)
    }
}

/// An event in structured mode, or one of a batch.
pub(crate) fn structured(json: &str) -> Result<ClientObject, Rejection> {
    let envelope = readable(json)?;
    let mut attributes = members(envelope.as_json());
    let is_something = |value: &&RawValue| value.get() != "null";
    let base64 = attributes.remove("data_base64").filter(is_something);
    let data = attributes.remove("data").filter(|data| base64.is_none() || is_something(data));
    match (data, base64) {
        (None, None) => event(&attributes, Data::None),
        (Some(data), None) => event(&attributes, Data::of_json(data)),
        (None, Some(base64)) => decode_base64(&attributes, base64),
        (Some(_), Some(_)) => Err(invalid("a CloudEvent has `data` or `data_base64`, not both")),
    }
}

/// An event in binary mode, with the attributes of the headers.
pub(crate) fn binary(
    attributes: &str,
    media_type: MediaType,
    body: &[u8],
) -> Result<ClientObject, Rejection> {
    let attributes = members(attributes);
    match media_type {
        _ if body.is_empty() => event(&attributes, Data::None),
        MediaType::Bytes | MediaType::Otlp(_) => {
            event(&attributes, Data::Bytes(base64_simd::STANDARD.encode_to_string(body)))
        }
        MediaType::Text => event(&attributes, Data::Text(str::from_utf8(body)?.to_owned())),
        MediaType::Json | MediaType::Ndjson | MediaType::CloudEvents => {
            event_about(&attributes, &wrapped(sequence::trim(str::from_utf8(body)?))?)
        }
    }
}

/// Bytes that are JSON or a text, as their type says, are data as if they were not encoded.
fn decode_base64(attributes: &Attributes<'_>, base64: &RawValue) -> Result<ClientObject, Rejection> {
    let not_base64 = || invalid("`data_base64` is not base64");
    let base64 = text(base64).ok_or_else(not_base64)?;
    let bytes = base64_simd::forgiving_decode_to_vec(base64.as_bytes()).map_err(|_| not_base64())?;
    let media_type = attributes.get("datacontenttype").and_then(|media_type| text(media_type));
    match (media_type.map_or(MediaType::Json, |given| media::of_data(&given)), String::from_utf8(bytes)) {
        (MediaType::Text, Ok(text)) => event(attributes, Data::Text(text)),
        (MediaType::Json, Ok(json)) if let Ok(wrapped) = wrapped(&json) => event_about(attributes, &wrapped),
        _ => event(attributes, Data::Bytes(base64)),
    }
}

/// JSON of any kind, as the only member of an object: so it is read as every client's JSON is.
fn wrapped(json: &str) -> Result<Fields, Rejection> {
    // Otherwise it could close the object.
    let json: &RawValue = serde_json::from_str(json).map_err(Rejection::MalformedJson)?;
    Ok(readable(&format!(r#"{{"data":{json}}}"#))?)
}

/// An event about JSON that is [`wrapped`].
fn event_about(attributes: &Attributes<'_>, wrapped: &Fields) -> Result<ClientObject, Rejection> {
    event(attributes, Data::of_json(members(wrapped.as_json())["data"]))
}

/// Data is the content as a body would be: an object's members are the event's. Everything else of the CloudEvent is in one
/// field.
fn event(attributes: &Attributes<'_>, data: Data<'_>) -> Result<ClientObject, Rejection> {
    let id = Some(event_id(attributes)?);
    let event_time = attributes.get("time").and_then(|time| serde_json::from_str(time.get()).ok());
    let of_text = |text, is_flattened| {
        let fields = Fields::empty();
        ClientObject { tenant: None, id: None, event_time, text, is_flattened, fields }
    };
    let (object, kept) = match data {
        Data::None => (of_text(String::new(), true), None),
        Data::Text(text) => (of_text(text, false), None),
        Data::Bytes(base64) => (of_text(String::new(), true), Some(("data_base64", raw(&base64)))),
        Data::Json(json) if json.get().starts_with('{') => {
            let object = ClientObject::of_data(json.get(), event_time)?;
            if let Some(fields) = object.fields.and(&context(attributes, None)?) {
                return Ok(ClientObject { id, fields, ..object });
            }
            // It has a member of the context's name.
            let kept = Some(("data", raw(&object.fields)));
            (object, kept)
        }
        Data::Json(json) => {
            let flat = ClientObject::of_data(&format!(r#"{{"data":{json}}}"#), event_time)?;
            (of_text(flat.text, true), Some(("data", json.to_owned())))
        }
    };
    Ok(ClientObject { id, fields: context(attributes, kept.as_ref())?, ..object })
}

/// The attributes, and what is kept beside them, as a field. This also checks its depth, which is greater than the envelope's.
fn context(attributes: &Attributes<'_>, kept: Option<&(&str, Box<RawValue>)>) -> Result<Fields, Rejection> {
    let mut members: Attributes<'_> = attributes.clone();
    members.extend(kept.map(|(name, value)| ((*name).to_owned(), &**value)));
    Ok(readable(&format!(r#"{{"{CONTEXT}":{}}}"#, raw(&members)))?)
}

/// Source and id are the event's identity. If the two together are no id, or could be read as another two, it is their hash.
fn event_id(attributes: &Attributes<'_>) -> Result<EventId, Rejection> {
    let required = |name: &str| {
        let value = attributes.get(name).and_then(|value| text(value)).filter(|text| !text.is_empty());
        value.ok_or_else(|| invalid(&format!("a CloudEvent needs `{name}`, a text that is not empty")))
    };
    let [version, _, source, id] = REQUIRED.map(required);
    let version = version?;
    let minor = version.strip_prefix("1.").unwrap_or_default();
    if minor.is_empty() || !minor.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let version = shown(&version, 64);
        return Err(invalid(&format!("`specversion` is `{version}`, allowed: 1.0 and other versions 1.x")));
    }
    required("type")?;
    let (source, id) = (source?, id?);
    let readable = (!source.contains(SEPARATOR)).then(|| format!("{source}{SEPARATOR}{id}"));
    if let Some(Ok(id)) = readable.map(EventId::parse) {
        return Ok(id);
    }
    // No UTF-8 has the byte between them, and no readable id is without the separator.
    let both = [source.as_bytes(), &[0xff], id.as_bytes()].concat();
    Ok(EventId::parse(format!("cloudevent:{}", digest::sha256(&both)))?)
}

fn members(object: &str) -> Attributes<'_> {
    serde_json::from_str(object).expect("it was read before")
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("names, texts and JSON always serialise")
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn invalid(why: &str) -> Rejection {
    Rejection::CloudEventInvalid(why.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn id_of(source: &str, id: &str) -> String {
        let attributes =
            BTreeMap::from([("specversion", "1.0"), ("type", "t"), ("source", source), ("id", id)]);
        event_id(&members(&serde_json::to_string(&attributes).unwrap())).unwrap().to_string()
    }

    #[test]
    fn an_id_is_readable_unless_it_would_be_too_long_or_two_could_be_the_same() {
        assert_eq!(id_of("https://example.com/a?b#c", "A-1|2"), "https://example.com/a?b#c|A-1|2");
        assert_eq!(id_of(&"s".repeat(250), "12345").len(), 256);
        for (source, id) in [("a|b", "c"), (&"s".repeat(250), "123456"), ("a", "\n"), ("cloudevent:|", "1")] {
            let id = id_of(source, id);
            assert!(id.starts_with("cloudevent:") && id.len() == "cloudevent:".len() + 64, "{id}");
        }
    }

    proptest! {
        #[test]
        fn no_two_pairs_have_the_same_id(pairs in proptest::collection::vec(("[ab|:\n]{1,4}", "[ab|:\n]{1,4}"), 1..50)) {
            let mut seen = HashMap::new();
            for (source, id) in pairs {
                let pair = (source.clone(), id.clone());
                let other = seen.insert(id_of(&source, &id), pair.clone());
                prop_assert!(other.is_none_or(|other| other == pair));
            }
        }
    }
}
