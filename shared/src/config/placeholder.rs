//! Placeholders in `dispatch.variables`: a string such as `{text}` stands for a value of the event. Any other string is
//! itself.

use serde_json::Value;

/// For error messages.
pub const ALLOWED: &str =
    "{event}, {key}, {id}, {tenant}, {tier}, {text}, {time}, {received_at}, {fields} or {fields.NAME}";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder<'a> {
    /// `{id, name, body, timestamp}` with the constants: what the target gets by default.
    Event,
    /// The idempotency key.
    Key,
    Id,
    Tenant,
    Tier,
    Text,
    /// When the event happened, according to its client; else when it was received.
    Time,
    ReceivedAt,
    /// All other members of the client's object.
    Fields,
    /// One of them.
    Field(&'a str),
}

impl<'a> Placeholder<'a> {
    /// `None` if the text is no placeholder; an error if it looks like one and is not known.
    pub fn parse(text: &'a str) -> Option<Result<Self, UnknownPlaceholder>> {
        let name = text.strip_prefix('{')?.strip_suffix('}')?;
        Some(Ok(match name {
            "event" => Self::Event,
            "key" => Self::Key,
            "id" => Self::Id,
            "tenant" => Self::Tenant,
            "tier" => Self::Tier,
            "text" => Self::Text,
            "time" => Self::Time,
            "received_at" => Self::ReceivedAt,
            "fields" => Self::Fields,
            name => match name.strip_prefix("fields.") {
                Some(field) if !field.is_empty() => Self::Field(field),
                _ => return Some(Err(UnknownPlaceholder)),
            },
        }))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPlaceholder;

/// The first text in `template` that looks like a placeholder and is none.
pub(super) fn unknown(template: &Value) -> Option<&str> {
    match template {
        Value::String(text) => matches!(Placeholder::parse(text), Some(Err(_))).then_some(text),
        Value::Array(values) => values.iter().find_map(unknown),
        Value::Object(members) => members.values().find_map(unknown),
        _ => None,
    }
}
