//! A JSON value as bytes that do not depend on its spelling: neither on white space, the order of members, escapes, nor on
//! how a number is written. Two texts have the same bytes exactly if they have the same value.
//!
//! Of members with the same name the last one counts, as in every common reader.

use memchr::memchr2;
use sha2::{Digest, Sha256};

use crate::decimal::{self, Decimal};
use crate::json;

/// Ends strings and digits. No UTF-8 has this byte.
pub(crate) const END: u8 = 0xff;
/// An object of more bytes is replaced by its hash. Sorting an object's members copies them, once for each object
/// around them: this bounds the sum.
const OBJECT_BYTES: usize = 1_024;

/// `json` must be valid JSON whose depth was checked ([`crate::json`]).
pub(crate) fn canonical(json: &str) -> Vec<u8> {
    let out = Vec::with_capacity(json.len());
    let mut reader = Canonical { json, at: 0, out, members: Vec::new(), sorted: Vec::new() };
    reader.value();
    reader.out
}

/// Sixteen hexadecimal digits of the hash of a JSON value.
pub fn short_digest(json: &str) -> String {
    crate::digest::hex(&Sha256::digest(canonical(json))[..8])
}

struct Canonical<'a> {
    json: &'a str,
    at: usize,
    out: Vec<u8>,
    /// The members of the objects around `at`.
    members: Vec<Member>,
    /// Memory for sorting, reused.
    sorted: Vec<u8>,
}

/// Where a member begins in the output, where its name ends, and where it ends.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    name_end: usize,
    end: usize,
}

impl Canonical<'_> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> u8 {
        let bytes = self.json.as_bytes();
        while matches!(bytes[self.at], b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        bytes[self.at]
    }

    fn value(&mut self) {
        match self.peek() {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => self.string(),
            literal @ (b't' | b'f' | b'n') => {
                self.at += if literal == b'f' { 5 } else { 4 };
                self.out.push(literal);
            }
            _ => self.number(),
        }
    }

    fn object(&mut self) {
        let (start, first) = (self.out.len(), self.members.len());
        self.out.push(b'{');
        // `at` is at `{`, then at each `,`, then at `}`.
        let mut is_sorted = true;
        loop {
            self.at += 1;
            // Only an empty object has no name here.
            if self.peek() == b'}' {
                break;
            }
            let start = self.out.len();
            self.string();
            let name_end = self.out.len();
            self.peek();
            self.at += 1;
            self.value();
            let member = Member { start, name_end, end: self.out.len() };
            if let Some(last) = self.members[first..].last() {
                is_sorted &= last.name(&self.out) < member.name(&self.out);
            }
            self.members.push(member);
            if self.peek() == b'}' {
                break;
            }
        }
        self.at += 1;
        if !is_sorted {
            self.sort(first);
        }
        self.members.truncate(first);
        self.out.push(b'}');
        if self.out.len() - start > OBJECT_BYTES {
            let hash = Sha256::digest(&self.out[start..]);
            self.out.truncate(start);
            self.out.push(b'#');
            self.out.extend(hash);
        }
    }

    /// Sorts the members from `first` on, with which the output ends, and drops those that a later one replaces.
    fn sort(&mut self, first: usize) {
        let Self { out, members, sorted, .. } = self;
        let members = &mut members[first..];
        let start = members[0].start;
        // Stable, so that of equal names the last one stays last.
        members.sort_by(|one, other| one.name(out).cmp(other.name(out)));
        sorted.clear();
        for (index, member) in members.iter().enumerate() {
            let next = members.get(index + 1);
            if next.is_none_or(|next| next.name(out) != member.name(out)) {
                sorted.extend(&out[member.start..member.end]);
            }
        }
        out.truncate(start);
        out.extend(&*sorted);
    }

    fn array(&mut self) {
        self.out.push(b'[');
        loop {
            self.at += 1;
            if self.peek() == b']' {
                break;
            }
            self.value();
            if self.peek() == b']' {
                break;
            }
        }
        self.at += 1;
        self.out.push(b']');
    }

    fn string(&mut self) {
        let bytes = self.json.as_bytes();
        self.out.push(b'"');
        self.at += 1;
        loop {
            let rest = &bytes[self.at..];
            let run = memchr2(b'"', b'\\', rest).expect("a string ends");
            self.out.extend_from_slice(&rest[..run]);
            self.at += run;
            if rest[run] == b'"' {
                break;
            }
            self.escape();
        }
        self.at += 1;
        self.out.push(END);
    }

    fn escape(&mut self) {
        let bytes = self.json.as_bytes();
        let (unescaped, length) = match bytes[self.at + 1] {
            b'u' => json::escaped(bytes, self.at),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            itself => (char::from(itself), 2),
        };
        self.at += length;
        self.out.extend(unescaped.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn number(&mut self) {
        let rest = &self.json[self.at..];
        let is_end = |byte: u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
        let length = rest.bytes().position(is_end).unwrap_or(rest.len());
        let number = &rest[..length];
        match number.parse() {
            Ok(integer) => decimal::write_integer(integer, &mut self.out),
            Err(_) => Decimal::parse(number).write(&mut self.out),
        }
        self.at += length;
    }
}

impl Member {
    fn name<'a>(&self, out: &'a [u8]) -> &'a [u8] {
        &out[self.start..self.name_end]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::iter;

    use proptest::prelude::*;

    use super::*;

    fn check(same: &[&str], others: &[&str]) {
        for json in same {
            assert_eq!(canonical(json), canonical(same[0]), "{json}");
        }
        for json in others {
            assert_ne!(canonical(json), canonical(same[0]), "{json}");
        }
    }

    #[test]
    fn spelling_makes_no_difference_at_any_depth() {
        check(
            &[
                r#"{"a":[{"b":1,"c":"d/é"}],"e":null}"#,
                "{ \"e\" : null,\r\n\t\"a\" : [ { \"c\" : \"\\u0064\\/\\u00e9\" , \"\\u0062\":10e-1 } ] }",
                r#"{"a":5,"e":null,"a":[{"c":"other","b":1.0,"c":"d\/é"}]}"#,
            ],
            &[
                r#"{"a":[{"b":2,"c":"d/é"}],"e":null}"#,
                r#"{"a":[{"b":"1","c":"d/é"}],"e":null}"#,
                r#"{"a":[{"b":1,"c":"d/e"}],"e":null}"#,
                r#"{"a":[{"b":1},{"c":"d/é"}],"e":null}"#,
                r#"{"a":[{"b":1,"c":"d/é"}],"e":false}"#,
                r#"{"a":[{"b":1,"c":"d/é"}]}"#,
                r#"{"a":[{"b":1,"c":"d/é"}],"e":null,"f":null}"#,
            ],
        );
        check(&["[]"], &["[[]]", "{}", "null", r#""""#, "0"]);
        check(&[r#"["a","b"]"#], &[r#"["b","a"]"#, r#"["ab"]"#, r#"["a\",\"b"]"#]);
        check(&["[1,2]", "[ 1, 2 ]"], &["[12]", "[1,2,2]", "[2,1]"]);
        check(&[r#""\ud83d\ude00""#, r#""😀""#], &[r#""\ud83d""#, r#""\ude00\ud83d""#]);
        check(&["\"\\n\\t\\b\\f\\r\"", r#""\u000a\u0009\u0008\u000C\u000d""#], &[r#""nt""#]);
    }

    #[test]
    fn numbers_beyond_those_of_a_computer_are_exact_and_cost_nothing() {
        check(
            &["123456789012345678901234567890", "123456789012345678901234567890.0"],
            &["123456789012345678901234567891"],
        );
        check(&["0.1"], &["0.10000000000000000555"]);
        check(&["1e999999999", "10e999999998"], &["1e999999998"]);
        assert!(canonical("1e999999999").len() < 20);
        assert!(canonical(&format!("1{}", "0".repeat(1_000_000))).len() < 20);
    }

    #[test]
    fn the_order_of_members_is_bounded_work_however_deep_they_are() {
        // Each level has two members in the wrong order, and one of them has all further levels.
        let nested =
            |depth| (0..depth).fold("1".repeat(100_000), |inner, _| format!(r#"{{"b":{inner},"a":1}}"#));
        let sorted =
            |depth| (0..depth).fold("1".repeat(100_000), |inner, _| format!(r#"{{"a":1,"b":{inner}}}"#));
        assert_eq!(canonical(&nested(100)), canonical(&sorted(100)));
        assert!(canonical(&nested(100)).len() <= OBJECT_BYTES, "a large object is its hash");
        assert_ne!(canonical(&nested(100)), canonical(&nested(99)));
    }

    /// A JSON value. Numbers are `mantissa × 10^-scale` without a common factor.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Json {
        Null,
        Flag(bool),
        Number(i64, u32),
        Text(String),
        Array(Vec<Json>),
        Object(BTreeMap<String, Json>),
    }

    fn number((mut mantissa, mut scale): (i64, u32)) -> Json {
        while mantissa % 10 == 0 && scale > 0 {
            (mantissa, scale) = (mantissa / 10, scale - 1);
        }
        Json::Number(mantissa, scale)
    }

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Flag),
            (-100_i64..=100, 0_u32..3).prop_map(number),
            "[a-c\"\\\\\n/é😀]{0,3}".prop_map(Json::Text),
        ];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
                proptest::collection::btree_map("[a-c\"é]{0,2}", inner, 0..4).prop_map(Json::Object),
            ]
        })
    }

    /// Writes the value in one of its spellings, by `choice`.
    fn spell(value: &Json, choice: &mut impl FnMut(usize) -> usize) -> String {
        let space = |choice: usize| ["", " ", "\n\t"][choice].to_owned();
        let spelled = match value {
            Json::Null => "null".to_owned(),
            Json::Flag(flag) => flag.to_string(),
            Json::Number(mantissa, scale) => match choice(3) {
                0 => format!("{mantissa}e-{scale}"),
                1 => format!("{mantissa}.00E-{scale}"),
                2 if *mantissa != 0 => format!("{mantissa}000e-{}", scale + 3),
                _ => format!("{mantissa}.0e-{scale}"),
            },
            Json::Text(text) => text_spelled(text, choice),
            Json::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(|element| spell(element, choice)).collect();
                format!("[{}]", elements.join(","))
            }
            Json::Object(members) => {
                let mut spelled: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("{}:{}", text_spelled(name, choice), spell(value, choice)))
                    .collect();
                if !spelled.is_empty() {
                    let by = choice(spelled.len());
                    spelled.rotate_left(by);
                }
                // A member that a later one replaces.
                if let Some(name) = members.keys().next().filter(|_| choice(2) == 1) {
                    spelled.insert(0, format!("{}:[5]", text_spelled(name, choice)));
                }
                format!("{{{}}}", spelled.join(","))
            }
        };
        format!("{}{spelled}{}", space(choice(3)), space(choice(3)))
    }

    fn text_spelled(text: &str, choice: &mut impl FnMut(usize) -> usize) -> String {
        let escaped = |unit: &u16| format!("\\u{unit:04x}");
        let characters = text.chars().map(|character| match (character, choice(2)) {
            ('"' | '\\' | '/', 0) => format!("\\{character}"),
            ('\n', 0) => "\\n".to_owned(),
            (plain, 0) => plain.to_string(),
            (character, _) => character.encode_utf16(&mut [0; 2]).iter().map(escaped).collect(),
        });
        iter::once("\"".to_owned()).chain(characters).chain(iter::once("\"".to_owned())).collect()
    }

    proptest! {
        #[test]
        fn two_texts_are_equal_exactly_if_their_values_are(one in json(), other in json(), seed: u64) {
            let mut state = fastrand::Rng::with_seed(seed);
            let mut choice = |most| state.usize(..most);
            let spelled = [&one, &one, &other].map(|value| spell(value, &mut choice));
            for json in &spelled {
                prop_assert!(serde_json::from_str::<serde_json::Value>(json).is_ok(), "{}", json);
            }
            let [first, second, third] = [0, 1, 2].map(|index| canonical(&spelled[index]));
            prop_assert_eq!(&first, &second, "{:?}", spelled);
            prop_assert_eq!(first == third, one == other, "{:?}", spelled);
        }

        #[test]
        fn nothing_that_is_json_is_too_much_for_it(text in r#"[\[\]{}:,"\\u0-9a-f eE+.tn-]{0,40}"#) {
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                canonical(&text);
            }
        }
    }
}
