//! An event's other members, verbatim.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::json::{self, Unreadable};

/// A JSON object on one line, its members in the order and spelling they came in.
#[derive(Clone)]
pub struct Fields(Box<RawValue>);

impl Fields {
    /// No members.
    pub fn empty() -> Self {
        Self(RawValue::from_string("{}".to_owned()).expect("an empty object is valid JSON"))
    }

    /// From the members `(name, JSON value)`, in this order.
    pub fn from_members<'a>(
        members: impl IntoIterator<Item = (&'a str, &'a RawValue)>,
    ) -> Result<Self, Unreadable> {
        let mut object = String::from("{");
        for (name, value) in members {
            if object.len() > 1 {
                object.push(',');
            }
            object.push_str(&serde_json::to_string(name).expect("a string always serialises"));
            object.push(':');
            object.push_str(value.get());
        }
        object.push('}');
        Self::from_valid_json(&object)
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.as_json() == "{}"
    }

    /// The object as JSON text.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// The members, in order.
    pub fn members(&self) -> Vec<(String, &RawValue)> {
        let Members(members) = serde_json::from_str(self.as_json()).expect("checked at construction");
        members
    }

    /// These, and `constants`, which win over members of the same name.
    #[must_use]
    pub fn with_constants(&self, constants: &BTreeMap<String, Box<RawValue>>) -> Self {
        let own = self.members();
        let kept =
            own.iter().filter(|(name, _)| !constants.contains_key(name)).map(|(n, v)| (n.as_str(), *v));
        let added = constants.iter().map(|(name, value)| (name.as_str(), &**value));
        Self::from_members(kept.chain(added)).expect("its members were checked when they came in")
    }

    fn from_valid_json(object: &str) -> Result<Self, Unreadable> {
        let mut compact = String::with_capacity(object.len());
        json::compact_into(object, &mut compact)?;
        Ok(Self(RawValue::from_string(compact).expect("valid JSON without its whitespace is valid JSON")))
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        if !value.get().starts_with('{') {
            return Err(de::Error::custom("`fields` is not an object"));
        }
        Self::from_valid_json(value.get()).map_err(de::Error::custom)
    }
}

/// A JSON object's members, each value left as text. Of members with the same name the last counts, as in every
/// common reader.
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, &RawValue)> = Vec::new();
                let mut seen = HashMap::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    match seen.entry(name) {
                        Entry::Occupied(index) => {
                            let index: usize = *index.get();
                            members[index].1 = value;
                        }
                        Entry::Vacant(name) => {
                            members.push((name.key().clone(), value));
                            name.insert(members.len() - 1);
                        }
                    }
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
    fn only_an_object_can_be_fields() {
        assert!(serde_json::from_str::<Fields>("[1]").is_err());
    }
}
