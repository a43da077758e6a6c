//! JSON values one after another, as senders really write them: one on each line, several on a line, one over several lines,
//! in an array; ended by NUL, or after a record separator (RFC 7464) or a byte order mark. Ingest and the reader of the
//! stream cut with the same code.
//!
//! A line that cannot be read does not affect the others. The work is linear: a value over several lines is looked for only
//! until that fails once.

use std::fmt;
use std::vec;

use memchr::memchr3;
use serde::Deserializer;
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// More values than the caller allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// What one value, or one line that cannot be read, was read as.
#[derive(Debug)]
pub struct Piece<'a, T> {
    /// Of a value that was read: the value. Else the whole line, white space included, without what ends it.
    pub bytes: &'a [u8],
    pub read: T,
}

/// Whether the elements of an array are values, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrays {
    Whole,
    Opened,
}

/// Cuts `data` into values and reads each with `read`. Blank lines are skipped. After `most` pieces it ends with an error.
pub fn pieces<'a, T, E, F>(data: &'a [u8], arrays: Arrays, most: usize, read: F) -> Pieces<'a, F>
where
    F: FnMut(&'a [u8]) -> Result<T, E>,
{
    Pieces { rest: data, arrays, most, read, found: Vec::new().into_iter(), is_spread: true }
}

#[derive(Debug)]
pub struct Pieces<'a, F> {
    rest: &'a [u8],
    arrays: Arrays,
    /// How many may still come.
    most: usize,
    read: F,
    /// Values of one line, or of one array, that are not read yet.
    found: vec::IntoIter<&'a [u8]>,
    /// Whether a value may continue on the next line.
    is_spread: bool,
}

impl<'a, T, E, F: FnMut(&'a [u8]) -> Result<T, E>> Iterator for Pieces<'a, F> {
    type Item = Result<Piece<'a, Result<T, E>>, TooMany>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.piece()?;
        let Some(most) = self.most.checked_sub(usize::from(piece.is_ok())) else {
            self.rest = &[];
            self.found = Vec::new().into_iter();
            return Some(Err(TooMany));
        };
        self.most = most;
        Some(piece)
    }
}

/// Values, and where the line ends in which the last of them ends.
type Found<'a> = (Vec<&'a [u8]>, usize);

impl<'a, T, E, F: FnMut(&'a [u8]) -> Result<T, E>> Pieces<'a, F> {
    fn piece(&mut self) -> Option<Result<Piece<'a, Result<T, E>>, TooMany>> {
        loop {
            if let Some(bytes) = self.found.next() {
                return Some(Ok(Piece { bytes, read: (self.read)(bytes) }));
            }
            if self.rest.is_empty() {
                return None;
            }
            let length = memchr3(ENDS[0], ENDS[1], ENDS[2], self.rest);
            let (line, after) = match length {
                Some(length) => (&self.rest[..length], &self.rest[length + 1..]),
                None => (self.rest, &[][..]),
            };
            let value = trimmed(line);
            if value.is_empty() {
                self.rest = after;
                continue;
            }
            // Most lines are one value: they are parsed once, by the caller.
            let read = if self.opens(value) { None } else { Some((self.read)(value)) };
            let error = match read {
                Some(Ok(read)) => {
                    self.rest = after;
                    return Some(Ok(Piece { bytes: value, read: Ok(read) }));
                }
                Some(Err(error)) => Some(error),
                None => None,
            };
            let start = self.rest.len() - trimmed_start(self.rest).len();
            match self.values(start, line.len()) {
                Ok(Some((values, end))) if error.is_none() || values != [value] => {
                    self.rest = &self.rest[end..];
                    self.found = values.into_iter();
                }
                Err(TooMany) => {
                    self.rest = &[];
                    return Some(Err(TooMany));
                }
                Ok(_) => {
                    self.rest = after;
                    let read = error.map_or_else(|| (self.read)(value), Err);
                    return Some(Ok(Piece { bytes: line, read }));
                }
            }
        }
    }

    /// Whether `value` is an array whose elements are the values.
    fn opens(&self, value: &[u8]) -> bool {
        self.arrays == Arrays::Opened && value.starts_with(b"[")
    }

    /// The objects and arrays from `start` on, up to the end of a line, and that end. `None` if something else is there.
    fn values(&mut self, start: usize, line: usize) -> Result<Option<Found<'a>>, TooMany> {
        let data = if self.is_spread { self.rest } else { &self.rest[..line] };
        let (mut values, mut at) = (Vec::new(), start);
        loop {
            match data.get(at) {
                None => return Ok(Some((values, at))),
                Some(byte) if is_end(*byte) => return Ok(Some((values, at + 1))),
                Some(b' ' | b'\t' | b'\r') => at += 1,
                Some(b'{' | b'[') => {
                    let mut stream =
                        serde_json::Deserializer::from_slice(&data[at..]).into_iter::<&RawValue>();
                    let value = match stream.next() {
                        Some(Ok(value)) => value.get(),
                        failed => {
                            let is_below = failed.is_some_and(|failed| failed.is_err_and(|e| e.line() > 1));
                            self.is_spread &= !is_below && at < line;
                            return Ok(None);
                        }
                    };
                    at += value.len();
                    if self.opens(value.as_bytes()) {
                        let elements = elements(value, self.most).map_err(|_| TooMany)?;
                        values.extend(elements.into_iter().map(|element| element.get().as_bytes()));
                    } else {
                        values.push(value.as_bytes());
                    }
                    if values.len() > self.most {
                        return Err(TooMany);
                    }
                }
                Some(_) => {
                    self.is_spread &= at < line;
                    return Ok(None);
                }
            }
        }
    }
}

/// What ends a line. A string in JSON has none of these.
const ENDS: [u8; 3] = [b'\n', b'\0', b'\x1e'];

fn is_end(byte: u8) -> bool {
    ENDS.contains(&byte)
}

/// Without the white space, and without the mark that editors and Windows write before a text.
fn trimmed(line: &[u8]) -> &[u8] {
    trimmed_start(line).trim_ascii_end()
}

fn trimmed_start(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii_start()
}

/// Whether `data` may begin with an object or an array.
pub fn begins_as_json(data: &[u8]) -> bool {
    let data = data.strip_prefix(BYTE_ORDER_MARK).unwrap_or(data);
    matches!(data.iter().find(|byte| !is_end(**byte) && !byte.is_ascii_whitespace()), Some(b'{' | b'['))
}

/// Whether `data` is one object or array.
pub fn is_json(data: &[u8]) -> bool {
    begins_as_json(data) && serde_json::from_slice::<IgnoredAny>(data).is_ok()
}

/// Without what may be before and after a value.
pub fn trim(json: &str) -> &str {
    json.trim_matches(|c: char| c.is_ascii_whitespace() || u8::try_from(c).is_ok_and(is_end))
}

/// Whether `json`, which [`trim`] trimmed, is an object and after it another one, or another line.
pub fn is_continued(json: &str) -> bool {
    let mut stream = serde_json::Deserializer::from_str(json).into_iter::<IgnoredAny>();
    let is_object = json.starts_with('{') && matches!(stream.next(), Some(Ok(_)));
    let after = json[stream.byte_offset()..].trim_start_matches([' ', '\t', '\r']);
    is_object && after.bytes().next().is_some_and(|byte| is_end(byte) || byte == b'{')
}

/// The elements of a JSON array, left as text. More than `most` are an error about data ([`serde_json::Error::is_data`]),
/// the only one of its kind; they are not counted to the end.
pub fn elements(json: &str, most: usize) -> Result<Vec<&RawValue>, serde_json::Error> {
    struct Elements {
        most: usize,
    }

    impl<'de> Visitor<'de> for Elements {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a JSON array of at most {} elements", self.most)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element()? {
                if elements.len() == self.most {
                    return Err(A::Error::custom("too many elements"));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }

    let mut json = serde_json::Deserializer::from_str(json);
    json.deserialize_seq(Elements { most }).and_then(|elements| json.end().map(|()| elements))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Objects, and lines that are none with a `!` before them.
    fn cut(data: &str, arrays: Arrays, most: usize) -> Vec<String> {
        let read = |bytes: &[u8]| match serde_json::from_slice::<Value>(bytes) {
            Ok(value @ Value::Object(_)) => Ok(value.to_string()),
            _ => Err(()),
        };
        let shown = |piece: Result<Piece<'_, Result<String, ()>>, TooMany>| match piece {
            Ok(Piece { read: Ok(value), .. }) => value,
            Ok(Piece { bytes, .. }) => format!("!{}", String::from_utf8_lossy(bytes)),
            Err(TooMany) => "too many".to_owned(),
        };
        pieces(data.as_bytes(), arrays, most, read).map(shown).collect()
    }

    fn check(data: &str, expected: &[&str]) {
        assert_eq!(cut(data, Arrays::Opened, 100), expected, "{data:?}");
    }

    #[test]
    fn values_are_found_however_they_are_separated() {
        let both = [r#"{"a":1}"#, r#"{"b":[2]}"#];
        for data in [
            "{\"a\":1}\n{\"b\":[2]}\n",
            "{\"a\":1}\r\n\r\n {\"b\":[2]}",
            "{\"a\":1}{\"b\":[2]}",
            "{\"a\":1} \t{\"b\":[2]}\n\n",
            "{\"a\":1}\0{\"b\":[2]}\0",
            "\x1e{\"a\":1}\n\x1e{\"b\":[2]}\n",
            "\x1e{\n\"a\":1\n}\n\x1e{\"b\":\n[2]}\n",
            "\u{feff}{\"a\":1}\n\u{feff}{\"b\":[2]}",
            "{\n  \"a\": 1\n}\n{\n  \"b\": [\n 2\n]\n}\n",
            "{\n\"a\":1}{\n\"b\":[2]}",
            "[{\"a\":1},{\"b\":[2]}]",
            "\u{feff} [\n{\"a\":1}\n,\n{\"b\":[2]}\n]\n",
            "[{\"a\":1}][{\"b\":[2]}]",
            "[{\"a\":1}]\n[]\n{\"b\":[2]}",
        ] {
            check(data, &both);
        }
        check(" \r\n\0\x1e\u{feff}\n[]", &[]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_whole_and_leaves_the_others_alone() {
        check("{\"a\":1}\n  bad \r\n{\"b\":2}", &[r#"{"a":1}"#, "!  bad \r", r#"{"b":2}"#]);
        check("{\"a\":1} x\n{\"b\":2}", &["!{\"a\":1} x", r#"{"b":2}"#]);
        check("{\"a\":1}{\n{\"b\":2}", &["!{\"a\":1}{", r#"{"b":2}"#]);
        check("[{\"a\":1},5,[]]", &[r#"{"a":1}"#, "!5", "![]"]);
        check("[{\"a\":1}\n{\"b\":2}", &["![{\"a\":1}", r#"{"b":2}"#]);
        check("{\n\"a\":\n{\"b\":2}\n{\"c\":3}", &["!{", "!\"a\":", r#"{"b":2}"#, r#"{"c":3}"#]);
        assert_eq!(cut("[{}]\n{}", Arrays::Whole, 9), ["![{}]", "{}"]);
    }

    #[test]
    fn more_than_the_limit_ends_it_in_whatever_form() {
        for data in ["{}\n{}\n{}", "{}{}{}", "[{},{},{}]", "{}\n[{},{}]", "x\ny\nz", "{}\n{}{}", "[{},{},{}"]
        {
            let found = cut(data, Arrays::Opened, 2);
            let is_too_many = found.last().is_some_and(|last| last == "too many");
            assert_eq!(is_too_many, !data.ends_with("[{},{},{}"), "{data}: {found:?}");
            assert!(found.len() <= 3);
        }
        assert_eq!(cut("{}\n{}", Arrays::Opened, 2).len(), 2);
    }

    /// Each of these lines begins a value that does not end.
    #[test]
    fn a_value_over_lines_is_looked_for_once() {
        for line in ["[{},\n", "{\"a\":[\n", "[\n", "{\"a\":\n"] {
            let data = line.repeat(400_000);
            let read = |bytes: &[u8]| if bytes.len() > 99 { Ok(()) } else { Err(()) };
            let count = pieces(data.as_bytes(), Arrays::Opened, usize::MAX, read).count();
            assert_eq!(count, 400_000, "{line:?}");
        }
    }

    proptest! {
        /// What is good is read, what is bad is whole, in any order and with any ends.
        #[test]
        fn each_line_is_found_as_it_was_sent(
            lines in proptest::collection::vec((any::<bool>(), "[ \t]{0,2}", "[a-z]{1,8}", "[ \t\r]{0,2}"), 0..20),
            ends in proptest::collection::vec("\n|\r\n|\0|\x1e|\n\n", 20),
        ) {
            let (mut data, mut expected) = (String::new(), Vec::new());
            for ((is_good, before, word, after), end) in lines.iter().zip(&ends) {
                let line = if *is_good { format!("{before}{{\"k\":\"{word}\"}}{after}") } else { format!("{before}{word}{after}") };
                let bare = if end.starts_with('\r') { format!("{line}\r") } else { line.clone() };
                expected.push(if *is_good { format!("{{\"k\":\"{word}\"}}") } else { format!("!{bare}") });
                data += &(line + end);
            }
            prop_assert_eq!(cut(&data, Arrays::Opened, 100), expected);
        }

        #[test]
        fn no_text_makes_it_panic_or_loop(data in "[\\[\\]{}\",:a1 \n\r\0\x1e]{0,60}") {
            prop_assert!(cut(&data, Arrays::Opened, 1_000).len() <= data.len());
        }
    }
}
