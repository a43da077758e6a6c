//! One spelling for what programs and people spell in several ways. The rules search a text in this spelling, which is mostly ASCII.
//! What they find is removed from the text itself.
//!
//! Spaces, hyphens, digits and full-width forms of Unicode become those of ASCII. Characters that are not seen are left out.
//! `%40` and `\u0040` become what they mean.

use std::ops::Range;

use memchr::memchr2;

/// An en dash or a minus. It is no hyphen: `100–2000` is a range.
pub(super) const DASH: char = '\x1f';

/// A text in the one spelling.
#[derive(Debug)]
pub(super) struct Spelling {
    pub(super) text: String,
    /// After each character that was spelled in another way: the index here, and the index in the original.
    ends: Vec<(usize, usize)>,
}

impl Spelling {
    /// `None` if the text is spelled so already.
    pub(super) fn of(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if text.is_ascii() && memchr2(b'%', b'\\', bytes).is_none() {
            return None;
        }
        let mut spelling = Self { text: String::new(), ends: Vec::new() };
        let (mut at, mut copied) = (0, 0);
        while let Some(skipped) = bytes[at..].iter().position(|byte| BEGINS[usize::from(*byte)]) {
            at += skipped;
            let (length, meaning) = match (bytes[at], bytes.get(at + 1)) {
                (b'%', _) => percent(&bytes[at..]),
                (b'\\', _) => escape(&bytes[at..]),
                // Most of Japanese, which is not looked at closely.
                (0xe3, Some(0x81..)) => (3, Meaning::Same),
                _ => text[at..]
                    .chars()
                    .next()
                    .map_or((1, Meaning::Same), |char| (char.len_utf8(), meaning(char))),
            };
            if meaning != Meaning::Same {
                if spelling.ends.is_empty() {
                    spelling.text.reserve(text.len());
                }
                spelling.text.push_str(&text[copied..at]);
                if let Meaning::Char(char) = meaning {
                    spelling.text.push(char);
                }
                copied = at + length;
                spelling.ends.push((spelling.text.len(), copied));
            }
            at += length;
        }
        spelling.text.push_str(&text[copied..]);
        (!spelling.ends.is_empty()).then_some(spelling)
    }

    /// Where a range of this is in the original.
    pub(super) fn in_original(&self, range: &Range<usize>) -> Range<usize> {
        let original = |at: usize| {
            let passed = self.ends.partition_point(|(end, _)| *end <= at);
            let (here, there) = passed.checked_sub(1).map_or((0, 0), |last| self.ends[last]);
            there + (at - here)
        };
        original(range.start)..original(range.end)
    }
}

/// The bytes that another spelling begins with: `%`, a backslash, and the first bytes of the characters in [`meaning`].
const BEGINS: [bool; 256] = {
    let mut begins = [false; 256];
    let first = [b'%', b'\\', 0xc2, 0xd9, 0xdb, 0xe1, 0xe2, 0xe3, 0xef];
    let mut index = 0;
    while index < first.len() {
        begins[first[index] as usize] = true;
        index += 1;
    }
    begins
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Same,
    /// It is not seen.
    Nothing,
    Char(char),
}

fn meaning(char: char) -> Meaning {
    let digit = |zero: u32| char::from_digit(u32::from(char) - zero, 10).map_or(Meaning::Same, Meaning::Char);
    match char {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            Meaning::Char(' ')
        }
        '\u{2010}'..='\u{2012}' | '\u{fe63}' => Meaning::Char('-'),
        '\u{2013}' | '\u{2212}' => Meaning::Char(DASH),
        // Arabic and Persian digits.
        '\u{660}'..='\u{669}' => digit(0x660),
        '\u{6f0}'..='\u{6f9}' => digit(0x6f0),
        // Full-width forms, in the order of ASCII.
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(char) - 0xfee0).map_or(Meaning::Same, Meaning::Char)
        }
        // Soft hyphens, joiners, marks of direction (around numbers that were copied from an address book), variants.
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => {
            Meaning::Nothing
        }
        '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{20e3}' => Meaning::Nothing,
        _ => Meaning::Same,
    }
}

/// `%20`, in a URL; `%2520`, in a URL within one. Only what is neither a letter nor a digit: those are not encoded. Gives how many
/// bytes it has.
fn percent(bytes: &[u8]) -> (usize, Meaning) {
    let again = bytes[1..].chunks_exact(2).take_while(|pair| *pair == b"25").count();
    let digits = 1 + 2 * again;
    match hex(&bytes[digits..], 2).and_then(char::from_u32) {
        Some(char) if char.is_ascii_punctuation() || char.is_ascii_whitespace() => {
            (digits + 2, Meaning::Char(char))
        }
        _ => (digits, Meaning::Same),
    }
}

/// `\u00a0`, as in JSON, also within JSON. `\n` before a number is a line break: its `n` is no part of a word.
fn escape(bytes: &[u8]) -> (usize, Meaning) {
    let slashes = bytes.iter().take_while(|byte| **byte == b'\\').count();
    match &bytes[slashes..] {
        [b'n' | b'r' | b't', b'0'..=b'9' | b'+' | b'(', ..] => (slashes + 1, Meaning::Char('\n')),
        [b'u', digits @ ..] => match hex(digits, 4).and_then(char::from_u32) {
            Some(char) if meaning(char) == Meaning::Same => (slashes + 5, Meaning::Char(char)),
            Some(char) => (slashes + 5, meaning(char)),
            None => (slashes, Meaning::Same),
        },
        _ => (slashes, Meaning::Same),
    }
}

fn hex(bytes: &[u8], digits: usize) -> Option<u32> {
    let digits = bytes.get(..digits)?;
    digits.iter().try_fold(0, |value, byte| Some(value * 16 + char::from(*byte).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(Spelling::of(text).map_or(text.to_owned(), |spelling| spelling.text), expected);
    }

    #[test]
    fn spellings_become_those_of_ascii() {
        check("555\u{a0}555\u{2011}0199", "555 555-0199");
        check("５５５－０１９９", "555-0199");
        check("\u{202a}+1 ٥٥٥\u{202c}", "+1 555");
        check("jo%40example.com %2B1%20555 %2540", "jo@example.com +1 555 @");
        check(r"jo\u0040example.com jos\u00e9 \\u00a0. \\n555 \t+1", "jo@example.com josé  . \n555 \n+1");
    }

    #[test]
    fn what_means_itself_stays() {
        for text in ["100% %zz %", r"C:\new\temp \u12 \ud83d \", "%4111 %C3%A9 %2525", "é日本—…"] {
            check(text, text);
        }
    }

    #[test]
    fn each_character_with_another_spelling_is_looked_at() {
        for char in ('\u{80}'..=char::MAX).filter(|char| meaning(*char) != Meaning::Same) {
            assert!(Spelling::of(&format!("a{char}")).is_some(), "{char:?}");
        }
    }

    proptest! {
        #[test]
        fn every_range_is_between_characters_of_the_original(text in r"([a5]|%|25|40|\\|u00|a0|\\n|é|\u{a0}|\u{200b}|５){0,20}") {
            if let Some(spelling) = Spelling::of(&text) {
                let starts: Vec<_> = spelling.text.char_indices().map(|(at, _)| at).chain([spelling.text.len()]).collect();
                let mut last = 0;
                for pair in starts.windows(2) {
                    let range = spelling.in_original(&(pair[0]..pair[1]));
                    prop_assert!(last <= range.start && text.get(range.clone()).is_some_and(|part| !part.is_empty()));
                    last = range.end;
                }
            }
        }
    }
}
