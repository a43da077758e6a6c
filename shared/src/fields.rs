//! The other members that an event has, as every reader reads them ([`crate::json`]).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::flatten::flatten;
use crate::json::{self, Unreadable};

const EMPTY: &str = "{}";

/// A JSON object on one line. Its members have the client's order and spelling. `None` if there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Option<Arc<str>>);

impl Fields {
    pub fn empty() -> Self {
        Self(None)
    }

    /// The members in their order. Their values are of other fields, or constants: every reader reads them already.
    pub(crate) fn of(members: &impl Serialize) -> Self {
        Self::new(&serde_json::to_string(members).expect("names and JSON values always serialise"))
    }

    /// `json` must be an object that every reader reads.
    fn new(json: &str) -> Self {
        Self((json != EMPTY).then(|| json.into()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub fn as_json(&self) -> &str {
        self.0.as_deref().unwrap_or(EMPTY)
    }

    pub(crate) fn members(&self) -> Members<'_> {
        serde_json::from_str(self.as_json()).expect("checked at construction")
    }

    /// One member as an object of its own would be as a text: `body.user=x`. Empty if there is no such member.
    pub fn flattened(&self, name: &str) -> String {
        let members = self.members();
        let Some(&value) = members.0.get(name) else { return String::new() };
        flatten(&Members(IndexMap::from([(name.to_owned(), value)])), value.get().len())
    }

    /// These, and after them `constants`, which replace members of the same name.
    #[must_use]
    pub fn with_constants(&self, constants: &BTreeMap<String, Box<RawValue>>) -> Self {
        let mut members = self.members();
        members.0.retain(|name, _| !constants.contains_key(name));
        members.0.extend(constants.iter().map(|(name, value)| (name.clone(), &**value)));
        Self::of(&members)
    }

    /// These without the last member; `None` if there is none.
    #[must_use]
    pub fn without_last(&self) -> Option<Self> {
        let mut members = self.members();
        members.0.pop()?;
        Some(Self::of(&members))
    }

    /// These, and after them `others`. `None` if both have a member of the same name.
    #[must_use]
    pub fn and(&self, others: &Self) -> Option<Self> {
        let (mut members, others) = (self.members(), others.members());
        let is_apart = others.0.keys().all(|name| !members.0.contains_key(name));
        is_apart.then(|| {
            members.0.extend(others.0);
            Self::of(&members)
        })
    }

    /// A client's object.
    pub fn of_object(object: &str) -> Result<Self, InvalidFields> {
        if !object.starts_with('{') {
            return Err(InvalidFields::NotAnObject);
        }
        let mut readable = String::with_capacity(object.len());
        json::readable_into(object, &mut readable)?;
        Ok(Self::new(&readable))
    }
}

/// JSON that cannot be fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFields {
    #[error("the JSON is not an object")]
    NotAnObject,
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json: &RawValue = serde_json::from_str(self.as_json()).expect("checked at construction");
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        let (whole, _) = json::whole_characters(value.get());
        Self::of_object(&whole).map_err(|error| de::Error::custom(format_args!("`fields`: {error}")))
    }
}

/// The members of fields, each value left as text.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Members<'a>(pub(crate) IndexMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = IndexMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    members.insert(name, value);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &str) {
        assert_eq!(serde_json::from_str::<Fields>(json).unwrap().as_json(), expected);
    }

    #[test]
    fn members_keep_their_order_and_spelling() {
        check("{ \"b\": 1.0,\n \"a\": [1e2, \"x y\"] }", r#"{"b":1.0,"a":[1e2,"x y"]}"#);
        check("{}", "{}");
    }

    #[test]
    fn constants_win_over_members_of_the_same_name() {
        let fields: Fields = serde_json::from_str(r#"{"a":1,"brand":"theirs"}"#).unwrap();
        let constants = BTreeMap::from([("brand".to_owned(), serde_json::from_str("\"ours\"").unwrap())]);
        assert_eq!(fields.with_constants(&constants).as_json(), r#"{"a":1,"brand":"ours"}"#);
    }

    #[test]
    fn members_of_two_are_put_together_unless_one_would_be_lost() {
        let fields = |json| serde_json::from_str::<Fields>(json).unwrap();
        let both = fields(r#"{"b":1}"#).and(&fields(r#"{"a":{"c":2}}"#)).unwrap();
        assert_eq!(both.as_json(), r#"{"b":1,"a":{"c":2}}"#);
        assert_eq!(fields(r#"{"\u0061":1}"#).and(&fields(r#"{"a":1}"#)), None);
    }

    #[test]
    fn only_an_object_can_be_fields() {
        assert!(serde_json::from_str::<Fields>("[1]").is_err());
    }
}
