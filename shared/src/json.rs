//! JSON as text: removes white space, checks the depth, replaces what is no character, and changes what readers of our lines
//! would not read alike: members of the same name, and numbers that some do not hold. It builds no values.

use std::borrow::Cow;

use self::names::Names;
use crate::limits;

mod names;
mod number;

/// JSON that is well-formed, but that other readers would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the JSON nests deeper than {} levels", limits::JSON_DEPTH)]
    TooDeep,
}

/// What stands for half of a surrogate pair: U+FFFD, as long as the escape that it replaces.
const REPLACEMENT: &[u8; ESCAPE_BYTES] = b"\\ufffd";
/// The length of `\uXXXX`.
const ESCAPE_BYTES: usize = 6;

/// `json` with U+FFFD for each half of a surrogate pair, in names and values at any depth, and how many there were. All else
/// stays as it was written. Such a half (`\ud800` alone) is no Unicode text: most readers refuse the whole line. Senders make
/// them by cutting a text after so many UTF-16 units.
pub fn whole_characters(json: &str) -> (Cow<'_, str>, usize) {
    let mut whole = Vec::new();
    let mut replaced = 0;
    let bytes = json.as_bytes();
    // Most JSON has no such escape. Searching for one is much faster than what follows.
    let mut at = json.find("\\u").unwrap_or(bytes.len());
    // The backslash may itself be escaped.
    at -= bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
    while let Some(&byte) = bytes.get(at) {
        at += match (byte, unit(bytes, at), unit(bytes, at + ESCAPE_BYTES)) {
            (b'\\', Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * ESCAPE_BYTES,
            (b'\\', Some(0xd800..=0xdfff), _) => {
                if whole.is_empty() {
                    whole.extend_from_slice(bytes);
                }
                whole[at..at + ESCAPE_BYTES].copy_from_slice(REPLACEMENT);
                replaced += 1;
                ESCAPE_BYTES
            }
            (b'\\', ..) => 2,
            _ => 1,
        };
    }
    if replaced == 0 {
        return (Cow::Borrowed(json), 0);
    }
    (Cow::Owned(String::from_utf8(whole).expect("an escape was replaced by another one")), replaced)
}

/// Appends `json`, which must be valid JSON, to `out`, so that every reader reads the same from it. White space between tokens is
/// removed. Of members with the same name the last one stays, at any depth. A number that a reader may not hold is a string
/// ([`number`]). All else stays as it was written. Applied to its own result, it changes nothing.
pub(crate) fn readable_into(json: &str, out: &mut String) -> Result<(), Unreadable> {
    let bytes = json.as_bytes();
    let mut names = Names::default();
    let mut depth = 0;
    let mut at = 0;
    let mut copied = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > limits::JSON_DEPTH {
                    return Err(Unreadable::TooDeep);
                }
                if byte == b'{' {
                    names.open();
                }
                at += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                if byte == b'}' {
                    names.close();
                }
                at += 1;
            }
            b'"' => {
                let end = end_of_string(bytes, at);
                if is_name(bytes, end) {
                    names.member(&json[at..end], out.len() + at - copied);
                }
                at = end;
            }
            b'-' | b'0'..=b'9' => {
                let end = number::end(bytes, at);
                if let Some(number) = number::rewritten(&json[at..end]) {
                    out.push_str(&json[copied..at]);
                    out.push_str(&number);
                    copied = end;
                }
                at = end;
            }
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.push_str(&json[copied..at]);
                at += 1;
                copied = at;
            }
            _ => at += 1,
        }
    }
    out.push_str(&json[copied..]);
    names.remove_overridden(out);
    Ok(())
}

/// Whether the string that ends before `end` is a member's name: only then a colon follows.
fn is_name(bytes: &[u8], end: usize) -> bool {
    bytes[end..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

/// What a string means. `string` has its quotes, and is valid.
pub(crate) fn unescaped(string: &str) -> Cow<'_, str> {
    if string.contains('\\') {
        Cow::Owned(serde_json::from_str(string).expect("the JSON is valid, and its surrogates were checked"))
    } else {
        Cow::Borrowed(&string[1..string.len() - 1])
    }
}

/// The index after the string that begins at `start`.
pub fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            None => return at,
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// The character that the `\uXXXX` escape at `at` stands for, and its length in bytes: that of two escapes for a pair.
pub(crate) fn escaped(bytes: &[u8], at: usize) -> (char, usize) {
    let replaced = (char::REPLACEMENT_CHARACTER, ESCAPE_BYTES);
    let Some(first) = unit(bytes, at) else { return replaced };
    if let Some(character) = char::from_u32(u32::from(first)) {
        return (character, ESCAPE_BYTES);
    }
    let pair =
        unit(bytes, at + ESCAPE_BYTES).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    pair.map_or(replaced, |character| (character, 2 * ESCAPE_BYTES))
}

/// The UTF-16 unit of the `\uXXXX` escape at `at`, if there is one.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + ESCAPE_BYTES)?;
    let digits = escape.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt;

    use proptest::prelude::*;
    use serde::de::{MapAccess, Visitor};
    use serde::{Deserialize, Deserializer};
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    fn readable(json: &str) -> Result<String, Unreadable> {
        let mut out = String::new();
        readable_into(json, &mut out).map(|()| out)
    }

    fn check(json: &str, expected: &str) {
        assert_eq!(readable(json).unwrap(), expected);
        assert_eq!(readable(expected).unwrap(), expected);
    }

    #[test]
    fn whitespace_is_removed_and_all_else_stays() {
        check(
            "{ \"b\" : [ 1.50e+3 ,\r\n\t\"a \\\" b\" ] , \"\\u0061\":-1234567890123456789 }",
            r#"{"b":[1.50e+3,"a \" b"],"\u0061":-1234567890123456789}"#,
        );
    }

    #[test]
    fn of_members_with_the_same_name_the_last_one_stays_at_any_depth() {
        check(r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2,"a":3}"#);
        check(r#"{ "a" : 1 , "a" : 2 , "a" : 1e400 }"#, r#"{"a":"1e400"}"#);
        check(
            r#"{"x":[{"k":{"n":1,"n":2}},{"k":3,"k":{"n":1,"n":4}}]}"#,
            r#"{"x":[{"k":{"n":2}},{"k":{"n":4}}]}"#,
        );
        check(r#"{"k":{"n":1,"n":2},"k":{"n":3,"m":4,"n":5}}"#, r#"{"k":{"m":4,"n":5}}"#);
        check(r#"{"a":1,"\u0061":2,"":3,"":4}"#, r#"{"\u0061":2,"":4}"#);
        check(
            r#"{"a":"a","b":["b","b"],"A":1,"é":2,"e\u0301":3}"#,
            r#"{"a":"a","b":["b","b"],"A":1,"é":2,"e\u0301":3}"#,
        );
        let many: Vec<_> = (0..100).map(|n| format!("\"{}\":{n}", n % 40)).collect();
        let last: Vec<_> = many[60..].to_vec();
        check(&format!("{{{}}}", many.join(" , ")), &format!("{{{}}}", last.join(",")));
    }

    #[test]
    fn a_number_that_some_reader_does_not_hold_is_a_string_of_the_same_digits() {
        for held in [
            "0",
            "-1",
            "1.0",
            "1e2",
            "-0.0",
            "9223372036854775807",
            "-9223372036854775808",
            "820982911946154508",
            "0.1234567890123456789012345",
            "1.7976931348623157e308",
            "5e-324",
            "0e999",
            "0.000e-999",
        ] {
            check(held, held);
        }
        for not_held in [
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "1e400",
            "-1E+309",
            "1e-400",
            &"7".repeat(5_000),
            &format!("{}.5", "7".repeat(5_000)),
            &format!("0.{}1", "0".repeat(5_000)),
        ] {
            check(
                &format!("[{not_held} , {{\"a\":{not_held}}}]"),
                &format!("[\"{not_held}\",{{\"a\":\"{not_held}\"}}]"),
            );
        }
        assert_eq!(readable("[-0]").unwrap(), "[-0.0]");
    }

    #[test]
    fn the_deepest_json_that_is_accepted_can_still_be_read_inside_our_lines() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let line = format!("{{\"fields\":{}}}", readable(&nested(limits::JSON_DEPTH)).unwrap());
        assert!(serde_json::from_str::<Value>(&line).is_ok());
        assert_eq!(readable(&nested(limits::JSON_DEPTH + 1)), Err(Unreadable::TooDeep));
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced_and_all_else_stays() {
        for (json, expected, replaced) in [
            (r#""\ud83d\ude00 \u00e9""#, r#""\ud83d\ude00 \u00e9""#, 0),
            (
                r#"{"a\ud83d":["é\uDE00",{"b":"\ud83d\ud83d\ude00"}]}"#,
                r#"{"a\ufffd":["é\ufffd",{"b":"\ufffd\ud83d\ude00"}]}"#,
                3,
            ),
            (r#""\\ud83d \\\ud83d""#, r#""\\ud83d \\\ufffd""#, 1),
            (r#""\ude00\ud83d\n""#, r#""\ufffd\ufffd\n""#, 2),
            (r#""\ud83d\u00e9\ud83dx""#, r#""\ufffd\u00e9\ufffdx""#, 2),
            ("\"\\é\\ud83", "\"\\é\\ud83", 0),
        ] {
            let (whole, count) = whole_characters(json);
            assert_eq!((&*whole, count), (expected, replaced), "{json}");
        }
    }

    /// The rule of the reader that Athena uses: it fails on an object that has a name twice.
    fn has_a_name_twice(json: &RawValue) -> bool {
        struct Pairs<'a>(Vec<(String, &'a RawValue)>);

        impl<'de> Deserialize<'de> for Pairs<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map(Pairs(Vec::new()))
            }
        }

        impl<'de> Visitor<'de> for Pairs<'de> {
            type Value = Self;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
                while let Some(pair) = map.next_entry()? {
                    self.0.push(pair);
                }
                Ok(self)
            }
        }

        match json.get().as_bytes()[0] {
            b'{' => {
                let Pairs(members) = serde_json::from_str(json.get()).unwrap();
                let mut names = HashSet::new();
                members.iter().any(|(name, value)| !names.insert(name) || has_a_name_twice(value))
            }
            b'[' => {
                let elements: Vec<&RawValue> = serde_json::from_str(json.get()).unwrap();
                elements.into_iter().any(has_a_name_twice)
            }
            _ => false,
        }
    }

    /// JSON in which names repeat, with and without escapes.
    fn any_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            "-?(0|[1-9][0-9]{0,3})([.][0-9]{1,2})?",
            Just("1".to_owned() + &"0".repeat(22)),
            r#""[a-z {}:,\[\]]{0,4}""#,
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let member = (r#"[ ]?"([ab]|\\u0061|\\\\){0,2}"[ ]?:"#, inner.clone());
            let members = proptest::collection::vec(member, 0..20);
            let object = members.prop_map(|members| {
                let members: Vec<_> = members.into_iter().map(|(name, value)| name + &value).collect();
                format!("{{{}}}", members.join(" ,"))
            });
            prop_oneof![
                object,
                proptest::collection::vec(inner, 0..5).prop_map(|all| format!("[{}]", all.join(",")))
            ]
        })
    }

    proptest! {
        /// What another parser reads of it is the same, with U+FFFD for what that parser refuses.
        #[test]
        fn what_is_replaced_can_be_read(text in r"(\\\\|\\u(d83d|DE00|0041)|\\n|[a-zé]){0,12}") {
            let json = format!("{{\"{text}\":[\"{text}\"]}}");
            let (whole, replaced) = whole_characters(&json);
            let value = serde_json::from_str::<Value>(&whole);
            prop_assert!(value.is_ok(), "{whole}");
            prop_assert_eq!(replaced > 0, serde_json::from_str::<Value>(&json).is_err());
            prop_assert_eq!(whole.len(), json.len());
        }

        #[test]
        fn compacting_keeps_the_value(text in r#"[ \n\t]*(\{[ ]*"[a-z\\\\"u0-9]{0,6}"[ ]*:[ ]*(-?[0-9]{1,3}|null|"[ {}\[\]]*")[ ]*\}|\[[ ]*\])[ \n]*"#) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let compacted = readable(&text).unwrap();
                prop_assert!(!compacted.contains('\n'));
                prop_assert_eq!(serde_json::from_str::<Value>(&compacted).unwrap(), value);
            }
        }

        /// This parser takes the last of several members, too. Numbers are compared by their characters.
        #[test]
        fn every_reader_reads_what_the_last_members_are(json in any_json()) {
            fn compared(value: Value) -> Value {
                match value {
                    Value::Number(number) => number.as_f64().unwrap().to_string().into(),
                    Value::String(text) => text.parse::<f64>().map_or(text, |number| number.to_string()).into(),
                    Value::Array(elements) => elements.into_iter().map(compared).collect(),
                    Value::Object(members) => {
                        Value::Object(members.into_iter().map(|(name, value)| (name, compared(value))).collect())
                    }
                    other => other,
                }
            }
            let written = readable(&json).unwrap();
            prop_assert!(!has_a_name_twice(serde_json::from_str(&written).unwrap()), "{written}");
            prop_assert_eq!(readable(&written).unwrap(), written.as_str());
            let [sent, written] = [&json, &written].map(|json| compared(serde_json::from_str(json).unwrap()));
            prop_assert_eq!(sent, written);
        }
    }
}
