//! Compares a client's JSON object with the event that was made of it, using another JSON parser.

use serde_json::{Map, Value};
use shared::fields::Fields;
use shared::id::TenantId;

/// The members that become an attribute of the event. At most one of each kind is not in its fields.
const ID: &[&str] = &["event_id", "log_id", "id"];
const TEXT: &[&str] = &["text", "payload", "body", "message"];
const TIME: &[&str] = &["event_timestamp", "timestamp", "event_time"];

/// Every member of the object `json` is a field with the same value, or an attribute of the event. There are no other
/// fields. A number that some reader does not hold is a string.
pub(crate) fn check(json: &[u8], tenant: Option<&TenantId>, text: &str, fields: &Fields) {
    // This parser fails on numbers that do not fit an `f64`.
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(json) else { return };
    check_fields(&object, tenant, text, &serde_json::from_str(fields.as_json()).unwrap());
}

/// The same for an object and fields that were read.
pub(crate) fn check_fields(
    object: &Map<String, Value>,
    tenant: Option<&TenantId>,
    text: &str,
    fields: &Map<String, Value>,
) {
    for (name, value) in fields {
        assert!(is_stored_as(&object[name], value), "the field `{name}`: {} is {value}", object[name]);
    }
    let taken = |kind: &[&str]| -> Vec<String> {
        let taken = object.keys().filter(|name| !fields.contains_key(*name) && kind.contains(&name.as_str()));
        taken.cloned().collect()
    };
    let [ids, texts, times, tenants] = [ID, TEXT, TIME, &["tenant_id"]].map(taken);
    assert!(ids.len() <= 1 && texts.len() <= 1 && times.len() <= 1, "{ids:?} {texts:?} {times:?}");
    let attributes = ids.len() + texts.len() + times.len() + tenants.len();
    assert_eq!(fields.len() + attributes, object.len(), "a member is lost: {object:?}");
    if let Some(name) = texts.first() {
        assert_eq!(object[name], text);
    }
    // A number names by its value, in one of its spellings.
    if tenants.len() == 1 && object["tenant_id"].is_string() {
        assert_eq!(Some(&object["tenant_id"]), tenant.map(|tenant| tenant.as_str().into()).as_ref());
    }
}

pub(crate) fn is_stored_as(sent: &Value, stored: &Value) -> bool {
    match (sent, stored) {
        (Value::Number(_), Value::String(digits)) => {
            serde_json::from_str::<Value>(digits).is_ok_and(|it| it == *sent)
        }
        (Value::Array(sent), Value::Array(stored)) => {
            sent.len() == stored.len()
                && sent.iter().zip(stored).all(|(sent, stored)| is_stored_as(sent, stored))
        }
        (Value::Object(sent), Value::Object(stored)) => {
            let is_there = |(name, stored)| sent.get(name).is_some_and(|sent| is_stored_as(sent, stored));
            sent.len() == stored.len() && stored.iter().all(is_there)
        }
        _ => sent == stored,
    }
}
