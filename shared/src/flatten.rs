//! A JSON object without a text, as flat text: one `path=value` line a leaf, sorted by path. Names and values that could be taken
//! for something else are written as JSON strings, so that no client can forge a line.

use std::borrow::Cow;
use std::fmt::Write;

use crate::fields::Members;
use crate::{json, limits};

/// A text may always have this many bytes, however small its object: an event costs about as much anyway.
const ALWAYS_ALLOWED: usize = 1024;

/// The last line of a text that ends early.
const CUT: &str = "…";

/// Flattens `members`. `{"b":{"c":1},"a":["x",null]}` gives `a[0]=x`, `a[1]=null`, `b.c=1`.
///
/// Each leaf repeats its whole path, so a text could be many thousand times its object. It is bounded by the object's
/// size, `object_bytes`. Nothing is lost when it ends early: the fields hold the object itself.
pub(crate) fn flatten(members: &Members<'_>, object_bytes: usize) -> String {
    let most = object_bytes.clamp(ALWAYS_ALLOWED, limits::FLATTENED_BYTES);
    flatten_within(members, most - CUT.len())
}

/// The same with room for `most` bytes: the leaves in the object's order, up to the first that does not fit.
fn flatten_within(members: &Members<'_>, most: usize) -> String {
    let mut flat = Flat { path: String::new(), lines: Vec::new(), room: most };
    let is_whole = members.0.iter().all(|(name, value)| flat.below(&written_name(name), value.get()).is_ok());
    flat.lines.sort_unstable();
    if !is_whole {
        flat.lines.push(CUT.to_owned());
    }
    flat.lines.join("\n")
}

struct Flat {
    /// Of the value that is being read.
    path: String,
    lines: Vec<String>,
    /// Bytes that further lines may have.
    room: usize,
}

/// There is no room for the next line. The rest is not read.
struct Full;

/// Each method reads the value that `json` begins with, and returns the rest.
impl Flat {
    /// Appends the leaves of the value, which is `step` below the path, in one pass. Depth is bounded by the check
    /// that made the members ([`crate::json`]).
    fn below<'a>(&mut self, step: &str, json: &'a str) -> Result<&'a str, Full> {
        let length = self.path.len();
        self.path.push_str(step);
        let rest = match json.as_bytes()[0] {
            b'{' if !json.starts_with("{}") => self.members(json),
            b'[' if !json.starts_with("[]") => self.elements(json),
            b'"' => self.string(json),
            b'{' | b'[' => self.leaf(json, 2),
            _ => self.leaf(json, json.find([',', ']', '}']).unwrap_or(json.len())),
        }?;
        self.path.truncate(length);
        Ok(rest)
    }

    fn members<'a>(&mut self, json: &'a str) -> Result<&'a str, Full> {
        // `at` begins with `{`, then with each `,`, then with `}`.
        let mut at = json;
        while !at.starts_with('}') {
            let (name, colon) = split_string(&at[1..]);
            at = self.below(&format!(".{}", written_name(&json::unescaped(name))), &colon[1..])?;
        }
        Ok(&at[1..])
    }

    fn elements<'a>(&mut self, json: &'a str) -> Result<&'a str, Full> {
        // `at` begins with `[`, then with each `,`, then with `]`.
        let mut at = json;
        for index in 0.. {
            if at.starts_with(']') {
                break;
            }
            at = self.below(&format!("[{index}]"), &at[1..])?;
        }
        Ok(&at[1..])
    }

    fn string<'a>(&mut self, json: &'a str) -> Result<&'a str, Full> {
        let (string, rest) = split_string(json);
        self.line(&written_value(&json::unescaped(string)))?;
        Ok(rest)
    }

    fn leaf<'a>(&mut self, json: &'a str, length: usize) -> Result<&'a str, Full> {
        let (leaf, rest) = json.split_at(length);
        self.line(leaf)?;
        Ok(rest)
    }

    fn line(&mut self, value: &str) -> Result<(), Full> {
        let bytes = self.path.len() + "=".len() + value.len() + "\n".len();
        self.room = self.room.checked_sub(bytes).ok_or(Full)?;
        self.lines.push(format!("{}={value}", self.path));
        Ok(())
    }
}

/// The string that `json` begins with, quotes included, and the rest.
fn split_string(json: &str) -> (&str, &str) {
    json.split_at(json::end_of_string(json.as_bytes(), 0))
}

/// A name as a path has it: as it is, unless it has a character that paths have.
fn written_name(name: &str) -> Cow<'_, str> {
    let is_plain = !name.contains(['.', '=', '[', '"']) && !name.contains(breaks_a_line);
    if is_plain { name.into() } else { quoted(name).into() }
}

/// A string as a line has it: as it is, unless it would look like a quoted one.
fn written_value(text: &str) -> Cow<'_, str> {
    let is_plain = !text.starts_with('"') && !text.contains(breaks_a_line);
    if is_plain { text.into() } else { quoted(text).into() }
}

/// Control characters, and Unicode's separators of lines and paragraphs, at which some readers break lines.
fn breaks_a_line(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')
}

/// As a JSON string, in which no character breaks a line.
fn quoted(text: &str) -> String {
    let json = serde_json::to_string(text).expect("a string always serialises");
    json.chars().fold(String::with_capacity(json.len()), |mut quoted, char| {
        if breaks_a_line(char) {
            write!(quoted, "\\u{:04x}", u32::from(char)).expect("writing to a string cannot fail");
        } else {
            quoted.push(char);
        }
        quoted
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::client_object::ClientObject;

    #[test]
    fn an_object_whose_paths_multiply_is_cut_and_its_fields_are_not() {
        let body = format!(r#"{{"{}":[{}1]}}"#, "k".repeat(100_000), "1,".repeat(10_000));
        let object = ClientObject::parse(&body, &[]).unwrap();
        assert!(object.text.len() <= body.len());
        assert_eq!(object.text.lines().count(), 2);
        assert_eq!(object.text.lines().last(), Some(CUT));
        assert_eq!(object.fields.as_json(), body);
    }

    #[test]
    fn an_object_that_is_cut_deep_within_it_is_cut_between_characters() {
        let body = format!(r#"{{"{}":[[[{}"é"]]]}}"#, "k".repeat(1_000), "\"é\",".repeat(12_000));
        let text = ClientObject::parse(&body, &[]).unwrap().text;
        assert_eq!(text.lines().last(), Some(CUT));
        assert!(text.lines().rev().skip(1).all(|line| line.ends_with("]=é")), "{} bytes", text.len());
    }

    #[test]
    fn a_small_object_is_flattened_to_a_kilobyte_at_most() {
        let body = r#"{"kkkkkkkkkkkkkkkkkkkk":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}"#;
        assert!(!ClientObject::parse(body, &[]).unwrap().text.contains(CUT));
        let body = format!(r#"{{"{}":[{}1]}}"#, "k".repeat(200), "1,".repeat(100));
        let text = ClientObject::parse(&body, &[]).unwrap().text;
        assert!(text.len() <= 1_024 && text.ends_with(CUT), "{} bytes", text.len());
    }

    /// The same by another way: through parsed values.
    fn by_values(path: &str, value: &Value, lines: &mut Vec<String>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                members.iter().for_each(|(name, value)| {
                    by_values(&format!("{path}.{}", written_name(name)), value, lines);
                });
            }
            Value::Array(elements) if !elements.is_empty() => {
                let elements = elements.iter().enumerate();
                elements.for_each(|(index, value)| by_values(&format!("{path}[{index}]"), value, lines));
            }
            Value::String(text) => lines.push(format!("{path}={}", written_value(text))),
            value => lines.push(format!("{path}={value}")),
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z\\\\\"{}\\[\\],:=.é\n\u{2028}\u{7f}]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[a-c\\\\\"{:=.\\[\n\u{2029}\u{85}]{0,3}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn no_name_and_no_value_makes_a_line_of_its_own() {
        let text = |json: &str| ClientObject::parse(json, &[]).unwrap().text;
        assert_eq!(text(r#"{"a\nadmin":"true","b":1}"#), "\"a\\nadmin\"=true\nb=1");
        assert_eq!(
            text(r#"{"admin=true,x":1,"a":{"b.c":2,"d[0]":3}}"#),
            "\"admin=true,x\"=1\na.\"b.c\"=2\na.\"d[0]\"=3"
        );
        assert_eq!(
            text(r#"{"a":"x\nadmin=true","b":"\"q\" said","c":"say \"q\""}"#),
            "a=\"x\\nadmin=true\"\nb=\"\\\"q\\\" said\"\nc=say \"q\""
        );
        assert_eq!(text("{\"k\u{2028}l\":\"\u{85}\"}"), r#""k\u2028l"="\u0085""#);
        assert_eq!(text(r#"{"":1,"a":{"":{"":2}}}"#), "=1\na..=2");
    }

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Step {
        Name(String),
        Index(usize),
    }

    /// The path and the value of a line. The value of a leaf that is no string is its JSON.
    fn parse_line(line: &str) -> (Vec<Step>, String) {
        fn quoted(at: &str) -> (String, &str) {
            let mut strings = serde_json::Deserializer::from_str(at).into_iter();
            let text = strings.next().unwrap().unwrap();
            (text, &at[strings.byte_offset()..])
        }

        let (mut path, mut at, mut is_name) = (Vec::new(), line, true);
        loop {
            if is_name {
                let (name, rest) = if at.starts_with('"') {
                    quoted(at)
                } else {
                    let end = at.find(['.', '=', '[']).unwrap();
                    (at[..end].to_owned(), &at[end..])
                };
                path.push(Step::Name(name));
                at = rest;
            }
            is_name = at.starts_with('.');
            if let Some(value) = at.strip_prefix('=') {
                return (path, if value.starts_with('"') { quoted(value).0 } else { value.to_owned() });
            } else if let Some(rest) = at.strip_prefix('[') {
                let (index, rest) = rest.split_once(']').unwrap();
                path.push(Step::Index(index.parse().unwrap()));
                at = rest;
            } else {
                at = at.strip_prefix('.').unwrap();
            }
        }
    }

    fn leaves(path: &[Step], value: &Value, all: &mut Vec<(Vec<Step>, String)>) {
        let mut below = |step, value| leaves(&[path, &[step]].concat(), value, all);
        match value {
            Value::Object(members) if !members.is_empty() => {
                members.iter().for_each(|(name, value)| below(Step::Name(name.clone()), value));
            }
            Value::Array(elements) if !elements.is_empty() => {
                elements.iter().enumerate().for_each(|(index, value)| below(Step::Index(index), value));
            }
            Value::String(text) => all.push((path.to_vec(), text.clone())),
            value => all.push((path.to_vec(), value.to_string())),
        }
    }

    proptest! {
        #[test]
        fn each_line_is_one_leaf_and_can_be_parsed_back(value in any_value(), name in "[a.=\"\n\\[]{0,3}") {
            let json = value.to_string();
            let raw: &serde_json::value::RawValue = serde_json::from_str(&json).unwrap();
            let text = flatten_within(&Members([(name.clone(), raw)].into()), usize::MAX);
            let breaks = ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];
            let mut parsed: Vec<_> = text.split(breaks).map(parse_line).collect();
            let mut expected = Vec::new();
            leaves(&[Step::Name(name)], &value, &mut expected);
            parsed.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(parsed, expected);
        }

        #[test]
        fn one_pass_gives_what_parsed_values_give(value in any_value()) {
            let object = ClientObject::parse(&serde_json::json!({"k": value}).to_string(), &[]).unwrap();
            let mut lines = Vec::new();
            by_values("k", &value, &mut lines);
            lines.sort_unstable();
            let expected = lines.join("\n");
            prop_assert!(object.text == expected || expected.len() > ALWAYS_ALLOWED - CUT.len());
        }

        #[test]
        fn a_text_ends_before_the_first_leaf_for_which_there_is_no_room(value in any_value(), most in 0_usize..200) {
            let json = value.to_string();
            let raw: &serde_json::value::RawValue = serde_json::from_str(&json).unwrap();
            let mut lines = Vec::new();
            by_values("é", &value, &mut lines);
            let mut bytes = 0;
            let fitting = lines.iter().take_while(|line| {
                bytes += line.len() + 1;
                bytes <= most
            });
            let mut expected: Vec<_> = fitting.cloned().collect();
            expected.sort_unstable();
            if expected.len() < lines.len() {
                expected.push(CUT.to_owned());
            }
            prop_assert_eq!(flatten_within(&Members([("é".to_owned(), raw)].into()), most), expected.join("\n"));
        }
    }
}
