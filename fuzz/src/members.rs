//! A client's JSON object and the event that was made of it, seen by another reader of JSON.

use serde_json::{Map, Value};
use shared::fields::Fields;
use shared::id::TenantId;

/// The members that an event has places for: of each kind at most one leaves the fields.
const ID: &[&str] = &["event_id", "log_id", "id"];
const TEXT: &[&str] = &["text", "payload", "body", "message"];
const TIME: &[&str] = &["event_timestamp", "timestamp", "event_time"];

/// Every member of the object `json` is a field to the letter of its value, or is in the event's own places; and no
/// field comes from elsewhere.
pub(crate) fn check(json: &[u8], tenant: Option<&TenantId>, text: &str, fields: &Fields) {
    // Numbers that no `f64` holds: that reader gives up.
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(json) else { return };
    let fields: Map<String, Value> = serde_json::from_str(fields.as_json()).unwrap();
    for (name, value) in &fields {
        assert_eq!(object.get(name), Some(value), "the field `{name}`");
    }
    let taken = |kind: &[&str]| -> Vec<String> {
        let taken = object.keys().filter(|name| !fields.contains_key(*name) && kind.contains(&name.as_str()));
        taken.cloned().collect()
    };
    let [ids, texts, times, tenants] = [ID, TEXT, TIME, &["tenant_id"]].map(taken);
    assert!(ids.len() <= 1 && texts.len() <= 1 && times.len() <= 1, "{ids:?} {texts:?} {times:?}");
    let places = ids.len() + texts.len() + times.len() + tenants.len();
    assert_eq!(fields.len() + places, object.len(), "a member is lost: {object:?}");
    if let Some(name) = texts.first() {
        assert_eq!(object[name], text);
    }
    if tenants.len() == 1 {
        assert_eq!(Some(&object["tenant_id"]), tenant.map(|tenant| tenant.as_str().into()).as_ref());
    }
}
