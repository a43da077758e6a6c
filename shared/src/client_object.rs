//! A client's JSON object, read into the parts of an event. Ingest uses these rules, and the reader of the stream for
//! objects of foreign producers.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::decimal::Decimal;
use crate::fields::{Fields, InvalidFields};
use crate::flatten::flatten;
use crate::format::facts::EventTime;
use crate::id::{EventId, InvalidEventId, InvalidTenantId, TenantId};
use crate::json::{self, Unreadable};
use crate::limits;
use crate::metric::Metric;

const TENANT: &str = "tenant_id";
/// The members that hold the text. The first that is a string counts.
const TEXT: [&str; 4] = ["text", "payload", "body", "message"];
/// The members that say when it happened. The first that can be read counts.
const TIME: [&str; 3] = ["event_timestamp", "timestamp", "event_time"];
/// Integer times from here on are milliseconds. As seconds, this would be in the year 5138.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientObject {
    /// `tenant_id`, if given.
    pub tenant: Option<TenantId>,
    /// By the first of the members that name events (`ids.members`), if given.
    pub id: Option<EventId>,
    /// When it happened, according to the client.
    pub event_time: Option<EventTime>,
    /// The flat text.
    pub text: String,
    /// The object has no text, so it was made from the fields.
    pub is_flattened: bool,
    /// Every member that is none of the above.
    pub fields: Fields,
}

/// JSON that is no event.
#[derive(Debug, thiserror::Error)]
pub enum InvalidObject {
    #[error("not a JSON object: {0}")]
    NotJson(#[source] serde_json::Error),
    #[error("not a JSON object")]
    NotAnObject,
    /// JSON that readers downstream would refuse.
    #[error(transparent)]
    Unreadable(Unreadable),
    /// `tenant_id` does not name a tenant.
    #[error(transparent)]
    Tenant(#[from] InvalidTenantId),
    /// `tenant_id` is neither a string nor a number.
    #[error("`{TENANT}` is neither a string nor a number: {0}")]
    TenantNotAString(String),
    /// The id is too long or holds control characters.
    #[error(transparent)]
    Id(#[from] InvalidEventId),
    /// The id is neither a string nor a number.
    #[error(
        "`{member}` is neither a string nor a number of at most {} digits: {value}",
        limits::EVENT_ID_BYTES
    )]
    IdNotAString { member: String, value: String },
}

impl InvalidObject {
    /// The name of this fault, for programs: the `code` of ingest's answer, and the reason in quarantine. Never renamed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "malformed_json",
            Self::NotAnObject => "not_an_object",
            Self::Unreadable(_) => "json_unreadable",
            Self::Tenant(_) | Self::TenantNotAString(_) => "tenant_invalid",
            Self::Id(_) | Self::IdNotAString { .. } => "event_id_invalid",
        }
    }
}

impl From<InvalidFields> for InvalidObject {
    fn from(invalid: InvalidFields) -> Self {
        match invalid {
            InvalidFields::NotAnObject => Self::NotAnObject,
            InvalidFields::Unreadable(why) => Self::Unreadable(why),
        }
    }
}

impl ClientObject {
    /// `id_members` are the members that may name the event: none, if a header names it.
    pub fn parse(json: &str, id_members: &[String]) -> Result<Self, InvalidObject> {
        Self::read(json, id_members, None)
    }

    /// The data of an event that has a name already, and a time, if one is given: members with others are fields.
    pub fn of_data(json: &str, event_time: Option<EventTime>) -> Result<Self, InvalidObject> {
        Self::read(json, &[], event_time)
    }

    fn read(json: &str, id_members: &[String], known: Option<EventTime>) -> Result<Self, InvalidObject> {
        let json = whole_characters(json);
        let mut written = WrittenMembers::read(&json)?;
        // Usually it is most of the object, so it is taken before the others are made readable.
        let text = written.take_text();
        let others = written.into_json();
        let mut readable = String::with_capacity(others.len());
        json::readable_into(&others, &mut readable).map_err(InvalidObject::Unreadable)?;
        // No name is there twice any more.
        let mut members: WrittenMembers<'_> =
            serde_json::from_str(&readable).expect("valid JSON stays valid");

        let tenant = take_tenant(&mut members)?;
        let id = take_id(&mut members, id_members)?;
        let event_time = known.or_else(|| take_first(&mut members, &TIME, read_time));
        let is_flattened = text.is_none();
        let fields = Fields::of(&members);
        let text = text.unwrap_or_else(|| flatten(&fields.members(), readable.len()));
        Ok(Self { tenant, id, event_time, text, is_flattened, fields })
    }
}

/// The members of an object as they are written, in their order. Of those with the same name the last one counts.
struct WrittenMembers<'a>(Vec<(Name<'a>, &'a RawValue)>);

#[derive(Serialize, Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> WrittenMembers<'a> {
    fn read(json: &'a str) -> Result<Self, InvalidObject> {
        // The first error of other JSON is that it is no object. That of broken JSON is where it breaks.
        serde_json::from_str(json).map_err(|_| {
            let json = serde_json::from_str::<IgnoredAny>(json);
            json.map_or_else(InvalidObject::NotJson, |_| InvalidObject::NotAnObject)
        })
    }

    fn take_text(&mut self) -> Option<String> {
        TEXT.into_iter().find_map(|name| {
            let (_, value) = self.0.iter().rfind(|member| member.0.0 == name)?;
            let text = read_string(value)?;
            self.remove(name);
            Some(text)
        })
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|member| member.0.0 == name).map(|(_, value)| *value)
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|member| member.0.0 != name);
    }

    /// Their memory is free afterwards: reading millions of names takes about as much again.
    fn into_json(self) -> String {
        serde_json::to_string(&self).expect("names and JSON values always serialise")
    }
}

impl Serialize for WrittenMembers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for WrittenMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = WrittenMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(WrittenMembers(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// All members of a client's object. This bounds the depth of the values and makes them compact, before other code reads
/// them.
pub fn readable(json: &str) -> Result<Fields, InvalidObject> {
    let json = whole_characters(json);
    let object: &RawValue = serde_json::from_str(&json).map_err(InvalidObject::NotJson)?;
    Ok(Fields::of_object(object.get())?)
}

/// Half characters are replaced, and counted.
fn whole_characters(json: &str) -> Cow<'_, str> {
    let (json, replaced) = json::whole_characters(json);
    Metric::SurrogatesReplaced.add(replaced);
    json
}

/// Whether a member of this name means something else than an id.
pub(crate) fn is_taken(name: &str) -> bool {
    name == TENANT || TEXT.contains(&name) || TIME.contains(&name)
}

fn take_tenant(members: &mut WrittenMembers<'_>) -> Result<Option<TenantId>, InvalidObject> {
    let Some(value) = take(members, TENANT) else { return Ok(None) };
    let tenant = read_name(value).ok_or_else(|| InvalidObject::TenantNotAString(cut(value)))?;
    Ok(Some(TenantId::parse(&tenant)?))
}

fn take_id(members: &mut WrittenMembers<'_>, names: &[String]) -> Result<Option<EventId>, InvalidObject> {
    let Some((member, value)) = names.iter().find_map(|name| Some((name, take(members, name)?))) else {
        return Ok(None);
    };
    let not_a_string = || InvalidObject::IdNotAString { member: member.clone(), value: cut(value) };
    Ok(Some(EventId::parse(read_name(value).ok_or_else(not_a_string)?)?))
}

/// Removes and returns the member `name`. A null and an empty string count as missing and stay.
fn take<'a>(members: &mut WrittenMembers<'a>, name: &str) -> Option<&'a RawValue> {
    let value = members.get(name).filter(|value| !matches!(value.get(), "null" | "\"\""))?;
    members.remove(name);
    Some(value)
}

/// A string, or a number in the one spelling that has no exponent: `42` and `42.0` name the same.
fn read_name(value: &RawValue) -> Option<String> {
    read_string(value).or_else(|| read_number(value)?.plain(limits::EVENT_ID_BYTES))
}

fn read_number(value: &RawValue) -> Option<Decimal<'_>> {
    matches!(value.get().as_bytes()[0], b'-' | b'0'..=b'9').then(|| Decimal::parse(value.get()))
}

/// Removes the first of `names` whose value `read` understands. The others stay.
fn take_first<T>(
    members: &mut WrittenMembers<'_>,
    names: &[&str],
    read: impl Fn(&RawValue) -> Option<T>,
) -> Option<T> {
    names.iter().find_map(|name| {
        let value = read(members.get(name)?)?;
        members.remove(name);
        Some(value)
    })
}

fn read_string(value: &RawValue) -> Option<String> {
    value.get().starts_with('"').then(|| json::unescaped(value.get()).into_owned())
}

/// RFC 3339, or integer seconds (milliseconds from 10¹¹ up).
fn read_time(value: &RawValue) -> Option<EventTime> {
    let utc = if let Some(text) = read_string(value) {
        DateTime::parse_from_rfc3339(&text).ok()?.with_timezone(&Utc)
    } else {
        let number: i64 = read_number(value)?.integer()?;
        match number {
            FIRST_MILLISECONDS.. => DateTime::from_timestamp_millis(number)?,
            _ => DateTime::from_timestamp(number, 0)?,
        }
    };
    EventTime::new(utc)
}

fn cut(value: &RawValue) -> String {
    value.get().chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::IdSources;

    fn parse(json: &str) -> ClientObject {
        ClientObject::parse(json, &IdSources::default().members).unwrap()
    }

    #[test]
    fn the_shapes_of_the_five_sources_are_understood() {
        let text = |json| parse(json).text;
        assert_eq!(text(r#"{"tenant_id":"acme","log_id":"1","text":"hello"}"#), "hello");
        assert_eq!(
            text(r#"{"event_timestamp":"2024-01-11T01:42:50.234200+00:00","body":"capital?"}"#),
            "capital?"
        );
        assert_eq!(text(r#"{"id":"e","timestamp":1625097600,"payload":"p"}"#), "p");
        assert_eq!(
            text(r#"{"id":"e","name":"test event","body":"test body","timestamp":"now"}"#),
            "test body"
        );
        assert_eq!(text(r#"{"message":"m"}"#), "m");
    }

    #[test]
    fn members_that_were_read_leave_the_fields_and_the_others_stay_as_they_are() {
        let object =
            parse(r#"{"id":7,"name":"n","timestamp":1625097600,"event_time":"later","body":"b","big":1e30}"#);
        assert_eq!(object.id.unwrap().as_str(), "7");
        assert_eq!(object.event_time.unwrap().to_string(), "2021-07-01T00:00:00Z");
        assert_eq!(object.fields.as_json(), r#"{"name":"n","event_time":"later","big":1e30}"#);
    }

    #[test]
    fn the_first_id_counts_and_null_is_no_id() {
        let object = parse(r#"{"id":"c","log_id":"b","event_id":null,"text":""}"#);
        assert_eq!(object.id.unwrap().as_str(), "b");
        assert_eq!(object.fields.as_json(), r#"{"id":"c","event_id":null}"#);
    }

    #[test]
    fn half_of_a_surrogate_pair_costs_one_character_and_not_the_event() {
        let object = parse(r#"{"id":"a\udc00","text":"ab\ud83d","k\ud83d":{"l":["\ud83d\ude00\ud83d"]}}"#);
        assert_eq!((object.id.unwrap().as_str(), object.text.as_str()), ("a\u{fffd}", "ab\u{fffd}"));
        assert_eq!(object.fields.as_json(), "{\"k\u{fffd}\":{\"l\":[\"\\ud83d\\ude00\\ufffd\"]}}");
        assert_eq!(parse(r#"{"k":"\ud83d"}"#).text, "k=\u{fffd}");
    }

    #[test]
    fn an_empty_name_is_none_and_the_next_source_counts() {
        let object = parse(r#"{"event_id":"","log_id":"","id":"good","tenant_id":"","text":""}"#);
        assert_eq!((object.id.unwrap().as_str(), object.tenant), ("good", None));
        assert_eq!(object.fields.as_json(), r#"{"event_id":"","log_id":"","tenant_id":""}"#);
        assert_eq!(parse(r#"{"id":"","text":""}"#).id, None);
    }

    #[test]
    fn a_number_names_by_its_value() {
        for (number, expected) in
            [("42", "42"), ("42.0", "42"), ("4.2e1", "42"), ("820982911946154508", "820982911946154508")]
        {
            let object = parse(&format!(r#"{{"tenant_id":{number},"id":{number}}}"#));
            assert_eq!(object.id.unwrap().as_str(), expected);
            assert_eq!(object.tenant.unwrap().as_str(), expected);
        }
        assert_eq!(parse(r#"{"id":-1.50}"#).id.unwrap().as_str(), "-1.5");
    }

    #[test]
    fn without_members_that_name_it_the_object_keeps_all_of_them() {
        let object = ClientObject::parse(r#"{"id":[1],"event_id":"e","text":"x"}"#, &[]).unwrap();
        assert_eq!((object.id, object.fields.as_json()), (None, r#"{"id":[1],"event_id":"e"}"#));
        let members = ["uuid", "id"].map(str::to_owned);
        let object = ClientObject::parse(r#"{"id":"1","event_id":"e","uuid":"u"}"#, &members).unwrap();
        assert_eq!(
            (object.id.unwrap().as_str(), object.fields.as_json()),
            ("u", r#"{"id":"1","event_id":"e"}"#)
        );
    }

    #[test]
    fn data_keeps_the_members_that_its_event_has_already() {
        let json = r#"{"id":"1","tenant_id":"acme","timestamp":1625097600,"text":"x"}"#;
        let time = parse(r#"{"timestamp":5}"#).event_time;
        let data = ClientObject::of_data(json, time).unwrap();
        assert_eq!((data.id, data.event_time, data.tenant.unwrap().as_str()), (None, time, "acme"));
        assert_eq!(data.fields.as_json(), r#"{"id":"1","timestamp":1625097600}"#);
        let data = ClientObject::of_data(json, None).unwrap();
        assert_eq!(data.event_time.unwrap().to_string(), "2021-07-01T00:00:00Z");
    }

    #[test]
    fn a_text_that_is_not_a_string_is_a_field() {
        let object = parse(r#"{"text":5,"payload":{"a":1},"message":"m"}"#);
        assert_eq!(object.text, "m");
        assert_eq!(object.fields.as_json(), r#"{"text":5,"payload":{"a":1}}"#);
    }

    #[test]
    fn an_object_without_a_text_is_flattened_to_sorted_lines() {
        let object = parse(r#"{"id":1,"z":{"y":[1,{"k":"v"}],"e":{}},"a b":"c=d","n":null,"nl":"x\ny"}"#);
        insta::assert_snapshot!(object.text, @r#"
        a b=c=d
        n=null
        nl="x\ny"
        z.e={}
        z.y[0]=1
        z.y[1].k=v
        "#);
    }

    #[test]
    fn integer_times_are_seconds_below_ten_to_the_eleventh_and_milliseconds_from_there() {
        let time = |n: i64| parse(&format!(r#"{{"timestamp":{n}}}"#)).event_time.map(|t| t.to_string());
        assert_eq!(time(1_625_097_600).unwrap(), "2021-07-01T00:00:00Z");
        assert_eq!(time(99_999_999_999).unwrap(), "5138-11-16T09:46:39Z");
        assert_eq!(time(100_000_000_000).unwrap(), "1973-03-03T09:46:40Z");
        assert_eq!(time(1_625_097_600_123).unwrap(), "2021-07-01T00:00:00.123Z");
        assert_eq!(time(i64::MAX), None);
        let spelled = |number| parse(&format!(r#"{{"timestamp":{number}}}"#)).event_time;
        assert_eq!(spelled("1625097600.0"), spelled("1625097600"));
        assert_eq!(spelled("1.6250976e9"), spelled("1625097600"));
        assert_eq!(spelled("1e99999999999"), None);
        assert_eq!(parse(r#"{"timestamp":1.5}"#).fields.as_json(), r#"{"timestamp":1.5}"#);
    }

    #[test]
    fn a_time_that_some_reader_could_not_parse_is_a_field() {
        let time = |text: &str| {
            let object = parse(&format!(r#"{{"timestamp":"{text}","text":""}}"#));
            let stays = object.fields.as_json() == format!(r#"{{"timestamp":"{text}"}}"#);
            assert_eq!(object.event_time.is_none(), stays, "{text}");
            object.event_time.map(|time| time.to_string())
        };
        for unreadable in [
            "2024-01-11T10:15:60Z",
            "2016-12-31T23:59:60Z",
            "2016-12-31T18:59:60.5-05:00",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "10000-01-01T00:00:00Z",
            "2024-01-11T10:15:30+24:00",
            "2024-01-11T24:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-01-11",
        ] {
            assert_eq!(time(unreadable), None, "{unreadable}");
        }
        // What is written is in UTC and in one form, so the offset and the letters of the original do not matter.
        assert_eq!(time("2024-01-11t10:15:30.25z").unwrap(), "2024-01-11T10:15:30.250Z");
        assert_eq!(time("2024-01-11 10:15:30Z").unwrap(), "2024-01-11T10:15:30Z");
        assert_eq!(time("2024-01-11T10:15:30+23:59").unwrap(), "2024-01-10T10:16:30Z");
        assert_eq!(time("0001-01-01T00:00:00Z").unwrap(), "0001-01-01T00:00:00Z");
        assert_eq!(time("9999-12-31T23:59:59.999999999Z").unwrap(), "9999-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn what_is_no_event_says_why() {
        let members = IdSources::default().members;
        let error = |json: &str| ClientObject::parse(json, &members).unwrap_err().to_string();
        insta::assert_snapshot!(error("[1]"), @"not a JSON object");
        insta::assert_snapshot!(error(r#"{"tenant_id":true}"#), @"`tenant_id` is neither a string nor a number: true");
        insta::assert_snapshot!(error(r#"{"id":1e300}"#), @"`id` is neither a string nor a number of at most 256 digits: 1e300");
        insta::assert_snapshot!(error(r#"{"id":[]}"#), @"`id` is neither a string nor a number of at most 256 digits: []");
        insta::assert_snapshot!(error(r#"{"id":"a\u0000"}"#), @r"event id `a\0` (2 bytes) is not allowed: 1 to 256 bytes without control characters");
        insta::assert_snapshot!(error(&format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200))), @"the JSON nests deeper than 120 levels");
    }

    proptest! {
        /// All that is stored of an object follows from these two, so its client pays for all that it makes us store.
        #[test]
        fn text_and_fields_of_any_object_are_at_most_twice_its_size_or_a_kilobyte_more(
            name in "[a-z\\\\]{1,300}", values in proptest::collection::vec("[a-z\n\u{1}é]{0,40}", 0..200), depth in 0_usize..20,
        ) {
            let name = serde_json::to_string(&name).unwrap();
            let values = serde_json::to_string(&values).unwrap();
            let body = format!("{{{name}:{}{values}{}}}", "[".repeat(depth), "]".repeat(depth));
            let object = parse(&body);
            prop_assert!(object.text.len() + object.fields.as_json().len() <= 2 * body.len().max(1_024));
        }
    }
}
