//! The call for an event: the document, its variables, and the idempotency key. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use shared::config::Dispatch;
use shared::config::placeholder::Placeholder;
use shared::format::archive_line::ArchiveLine;
use shared::format::key;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The same for each call for the event.
    pub idempotency_key: String,
    /// JSON.
    pub body: Bytes,
}

impl Call {
    pub(crate) fn new(line: &ArchiveLine<'_>, config: &Dispatch) -> Self {
        let idempotency_key = key::idempotency(&line.facts.tenant, &line.facts.id);
        let fields = serde_json::from_str(line.fields.as_json()).expect("fields are a JSON object");
        let values = Values { line, config, key: &idempotency_key, fields };
        let variables =
            object(config.variables.iter().map(|(name, template)| (name.as_str(), values.fill(template))));
        let body = object([("query", json(&config.document)), ("variables", variables)].into_iter());
        Self { body: body.into(), idempotency_key }
    }
}

/// The values for placeholders, as JSON. A client's values stay as they were spelt: no number loses digits.
struct Values<'a> {
    line: &'a ArchiveLine<'a>,
    config: &'a Dispatch,
    key: &'a str,
    fields: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

impl Values<'_> {
    fn fill(&self, template: &Value) -> String {
        match template {
            Value::String(text) => match Placeholder::parse(text) {
                Some(Ok(placeholder)) => self.value(placeholder),
                _ => json(text),
            },
            Value::Array(values) => {
                let values: Vec<_> = values.iter().map(|value| self.fill(value)).collect();
                format!("[{}]", values.join(","))
            }
            Value::Object(members) => {
                object(members.iter().map(|(name, value)| (name.as_str(), self.fill(value))))
            }
            other => json(other),
        }
    }

    fn value(&self, placeholder: Placeholder<'_>) -> String {
        let facts = &self.line.facts;
        match placeholder {
            Placeholder::Event => self.event(),
            Placeholder::Key => json(self.key),
            Placeholder::Id => json(&facts.id),
            Placeholder::Tenant => json(&facts.tenant),
            Placeholder::Tier => json(&facts.tier),
            Placeholder::Text => json(&self.line.text),
            Placeholder::Time => {
                facts.event_time.map_or_else(|| json(&facts.received_at), |time| json(&time))
            }
            Placeholder::ReceivedAt => json(&facts.received_at),
            Placeholder::Fields => self.line.fields.as_json().to_owned(),
            Placeholder::Field(name) => self.fields.get(name).map_or("null", |value| value.get()).to_owned(),
        }
    }

    fn event(&self) -> String {
        let named = [
            ("id", Placeholder::Id),
            ("name", Placeholder::Field("name")),
            ("body", Placeholder::Text),
            ("timestamp", Placeholder::Time),
        ];
        let named = named.into_iter().map(|(name, placeholder)| (name, self.value(placeholder)));
        // An event without a name has no such member: a target may refuse a null.
        let named =
            named.filter(|(name, value)| value != "null" && !self.config.constants.contains_key(*name));
        let constants = self.config.constants.iter().map(|(name, value)| (name.as_str(), json(value)));
        object(named.chain(constants))
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("the values of an event always serialise")
}

/// An object of these members. Their values are JSON.
fn object<'a>(members: impl Iterator<Item = (&'a str, String)>) -> String {
    let members: Vec<_> = members.map(|(name, value)| format!("{}:{value}", json(name))).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::config;

    use super::*;

    const LINE: &str = r#"{"v":1,"id":"a/b ü","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50Z","processed_at":"2026-11-21T09:30:01.000Z","text":"test body","fields":{"name":"test event","count":[1]},"shard":"s","sequence_number":"9","position":0}"#;

    fn call(line: &str, toml: &str) -> (Value, String) {
        let config = config::parse("tidegate.toml".as_ref(), toml, []).unwrap().dispatch;
        let call = Call::new(&serde_json::from_str(line).unwrap(), &config);
        (serde_json::from_slice(&call.body).unwrap(), call.idempotency_key)
    }

    #[test]
    fn by_default_the_target_gets_the_source_documents_event_and_its_key() {
        let (body, key) = call(LINE, "[dispatch.constants]\nbrand = \"testBrand\"");
        assert_eq!(key, "acme/a%2Fb%20%C3%BC");
        assert!(body["query"].as_str().unwrap().starts_with("mutation Dispatch("));
        let event = json!({"id": "a/b ü", "name": "test event", "body": "test body", "timestamp": "2024-01-11T01:42:50Z", "brand": "testBrand"});
        assert_eq!(body["variables"], json!({"event": event, "idempotencyKey": key}));
    }

    #[test]
    fn an_event_without_name_and_time_has_no_name_and_the_time_when_it_was_received() {
        let line = LINE
            .replace(r#""name":"test event","#, "")
            .replace(r#""event_time":"2024-01-11T01:42:50Z","#, "");
        let (body, _) = call(&line, "");
        let event = json!({"id": "a/b ü", "body": "test body", "timestamp": "2026-11-21T09:30:00.123Z"});
        assert_eq!(body["variables"]["event"], event);
    }

    #[test]
    fn a_clients_value_stays_as_it_was_spelt() {
        let line = LINE.replace(r#""test event""#, "12345678901234567890.10");
        let config =
            config::parse("t".as_ref(), "[dispatch.variables]\na = \"{fields}\"\nb = \"{fields.name}\"", []);
        let body = Call::new(&serde_json::from_str(&line).unwrap(), &config.unwrap().dispatch).body;
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            body.ends_with(
                r#"{"a":{"name":12345678901234567890.10,"count":[1]},"b":12345678901234567890.10}}"#
            ),
            "{body}"
        );
    }

    #[test]
    fn variables_are_a_template_in_which_placeholders_keep_their_type() {
        let (body, _) = call(
            LINE,
            r#"
            [dispatch]
            document = "mutation M($input: I!) { m(input: $input) }"
            [dispatch.variables]
            input = { tenant = "{tenant}", n = "{fields.count}", none = "{fields.other}", all = "{fields}", list = ["{tier}", 1, "x{id}"] }
            "#,
        );
        let input = json!({"tenant": "acme", "n": [1], "none": null, "all": {"name": "test event", "count": [1]}, "list": ["pro", 1, "x{id}"]});
        assert_eq!(
            body,
            json!({"query": "mutation M($input: I!) { m(input: $input) }", "variables": {"input": input}})
        );
    }
}
