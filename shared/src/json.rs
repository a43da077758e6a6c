//! JSON as text: removes white space, and checks depth and surrogates. It reads no values.

use crate::limits;

/// JSON that is well-formed, but that other readers would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the JSON nests deeper than {} levels", limits::JSON_DEPTH)]
    TooDeep,
    /// Such as `\ud800` alone, which is no Unicode text.
    #[error("a string holds half of a surrogate pair (`\\u{0:04x}`)")]
    LoneSurrogate(u16),
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
            b'"' => at = end_of_string(bytes, at)?,
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
pub(crate) fn end_of_string(bytes: &[u8], start: usize) -> Result<usize, Unreadable> {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            None => return Ok(at),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => match unit(bytes, at) {
                Some(high @ 0xd800..=0xdbff) => match unit(bytes, at + 6) {
                    Some(0xdc00..=0xdfff) => at += 12,
                    _ => return Err(Unreadable::LoneSurrogate(high)),
                },
                Some(low @ 0xdc00..=0xdfff) => return Err(Unreadable::LoneSurrogate(low)),
                _ => at += 2,
            },
            Some(_) => at += 1,
        }
    }
}

/// The character that the `\uXXXX` escape at `at` stands for, and its length in bytes: that of two escapes for a pair.
pub(crate) fn escaped(bytes: &[u8], at: usize) -> (char, usize) {
    let replaced = (char::REPLACEMENT_CHARACTER, 6);
    let Some(first) = unit(bytes, at) else { return replaced };
    if let Some(character) = char::from_u32(u32::from(first)) {
        return (character, 6);
    }
    let pair = unit(bytes, at + 6).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    pair.map_or(replaced, |character| (character, 12))
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
    fn half_a_surrogate_pair_is_refused_and_a_whole_one_is_accepted() {
        assert_eq!(compact(r#""\ud83d\ude00""#).unwrap(), r#""\ud83d\ude00""#);
        assert_eq!(compact(r#""\ud83d""#), Err(Unreadable::LoneSurrogate(0xd83d)));
        assert_eq!(compact(r#""\ude00""#), Err(Unreadable::LoneSurrogate(0xde00)));
        assert_eq!(compact(r#""\\ud83d""#).unwrap(), r#""\\ud83d""#);
    }

    proptest! {
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
