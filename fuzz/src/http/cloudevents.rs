//! What is stored of a CloudEvent: nothing of it is lost, and its id is that of its source and id.

use serde_json::{Map, Value};
use shared::format::event_line::Event;

use crate::members::{check_fields, is_stored_as};

/// In structured mode. Every attribute is in the context, and data is text, fields, or in the context too.
pub(super) fn check(envelope: &Map<String, Value>, event: &Event) {
    let (context, fields) = stored(event);
    let attribute = |name: &String| name != "data" && name != "data_base64";
    for (name, value) in envelope.iter().filter(|(name, _)| attribute(name)) {
        assert!(
            is_stored_as(value, &context[name]),
            "the attribute `{name}`: {value} is {:?}",
            context[name]
        );
    }
    match envelope.get("data").filter(|data| !data.is_null()) {
        Some(Value::String(text)) => assert_eq!(&event.text, text),
        Some(Value::Object(data)) => check_data(data, &context, &fields, event),
        Some(other) => assert!(is_stored_as(other, &context["data"]), "{other}"),
        None => {}
    }
}

/// In binary mode, with a body that is no text.
pub(super) fn check_binary(body: &[u8], event: &Event) {
    let (context, fields) = stored(event);
    if let Some(base64) = context.get("data_base64") {
        let bytes = base64_simd::STANDARD.decode_to_vec(base64.as_str().unwrap()).unwrap();
        assert_eq!((bytes.as_slice(), fields.len()), (body, 0));
    } else if let Ok(data) = serde_json::from_slice::<Map<String, Value>>(body) {
        check_data(&data, &context, &fields, event);
    }
}

fn check_data(
    data: &Map<String, Value>,
    context: &Map<String, Value>,
    fields: &Map<String, Value>,
    event: &Event,
) {
    let is_apart = !data.contains_key("cloudevent");
    assert_eq!(is_apart, !context.contains_key("data"), "{data:?}");
    let fields = if is_apart { fields } else { context["data"].as_object().unwrap() };
    check_fields(data, Some(&event.facts.tenant), &event.text, fields);
}

/// A readable id is that of one source and one id.
pub(super) fn check_id(event: &Event) {
    let (context, _) = stored(event);
    let text = |name: &str| context[name].as_str().unwrap();
    match event.facts.id.as_str().split_once('|') {
        Some(named) => assert_eq!(named, (text("source"), text("id"))),
        None => assert!(event.facts.id.as_str().starts_with("cloudevent:"), "{event:?}"),
    }
    assert!(event.is_message);
}

/// The context, and the other fields.
fn stored(event: &Event) -> (Map<String, Value>, Map<String, Value>) {
    let mut fields: Map<String, Value> = serde_json::from_str(event.fields.as_json()).unwrap();
    let Some(Value::Object(context)) = fields.remove("cloudevent") else { panic!("no context: {event:?}") };
    (context, fields)
}
