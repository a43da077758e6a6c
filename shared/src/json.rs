//! JSON as text: removes white space, checks the depth, and replaces what is no character. It reads no values.

use std::borrow::Cow;

use crate::limits;

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
pub(crate) fn whole_characters(json: &str) -> (Cow<'_, str>, usize) {
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

/// Appends `json`, which must be valid JSON, to `out`, without the white space between its tokens. All else stays as it was
/// written.
pub(crate) fn compact_into(json: &str, out: &mut String) -> Result<(), Unreadable> {
    let bytes = json.as_bytes();
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
                at += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b'"' => at = end_of_string(bytes, at),
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.push_str(&json[copied..at]);
                at += 1;
                copied = at;
            }
            _ => at += 1,
        }
    }
    out.push_str(&json[copied..]);
    Ok(())
}

/// The index after the string that begins at `start`.
pub(crate) fn end_of_string(bytes: &[u8], start: usize) -> usize {
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

/// The UTF-16 unit of the `\uXXXX` escape at `at`, if there is one.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn compact(json: &str) -> Result<String, Unreadable> {
        let mut out = String::new();
        compact_into(json, &mut out).map(|()| out)
    }

    #[test]
    fn whitespace_is_removed_and_all_else_stays() {
        let json = "{ \"b\" : [ 1.50e+3 ,\r\n\t\"a \\\" b\" ] , \"a\":12345678901234567890123 }";
        assert_eq!(compact(json).unwrap(), r#"{"b":[1.50e+3,"a \" b"],"a":12345678901234567890123}"#);
    }

    #[test]
    fn the_deepest_json_that_is_accepted_can_still_be_read_inside_our_lines() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let line = format!("{{\"fields\":{}}}", compact(&nested(limits::JSON_DEPTH)).unwrap());
        assert!(serde_json::from_str::<Value>(&line).is_ok());
        assert_eq!(compact(&nested(limits::JSON_DEPTH + 1)), Err(Unreadable::TooDeep));
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
                let compacted = compact(&text).unwrap();
                prop_assert!(!compacted.contains('\n'));
                prop_assert_eq!(serde_json::from_str::<Value>(&compacted).unwrap(), value);
            }
        }
    }
}
