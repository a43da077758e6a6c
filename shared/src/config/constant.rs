//! Constants for events: TOML values that become JSON values. JSON has no times: they become strings. It has no numbers
//! that are not finite: they are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

struct Constant(Value);

pub(super) fn all<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Value>, D::Error> {
    let constants = BTreeMap::<String, Constant>::deserialize(deserializer)?;
    Ok(constants.into_iter().map(|(name, Constant(value))| (name, value)).collect())
}

impl<'de> Deserialize<'de> for Constant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        json(toml::Value::deserialize(deserializer)?).map(Self)
    }
}

fn json<E: de::Error>(value: toml::Value) -> Result<Value, E> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Float(number) if number.is_finite() => number.into(),
        toml::Value::Float(number) => return Err(E::custom(format!("{number} is no number in JSON"))),
        toml::Value::Array(values) => values.into_iter().map(json).collect::<Result<Value, E>>()?,
        toml::Value::Table(table) => {
            let member = |(name, value)| Ok((name, json(value)?));
            table.into_iter().map(member).collect::<Result<Value, E>>()?
        }
    })
}
