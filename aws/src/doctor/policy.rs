//! Policies in JSON. Everywhere in a policy a single value may stand for a list of one.

use serde_json::Value;

pub(super) fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
}

pub(super) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    list(value).into_iter().filter_map(Value::as_str)
}
