//! Removes personal data from texts: e-mail addresses, card numbers, phone numbers, and matches of configured patterns.
//!
//! The built-in rules use ASCII only (`(?-u)`): a Unicode `\b` makes the search twelve times slower on text that is not ASCII.
//! Their matches begin and end at ASCII characters, so the text stays valid. In doubt a rule removes too much rather than too
//! little, except for data that is frequent in logs: times, UUIDs, IP addresses, versions and plain integers stay.

use std::borrow::Cow;
use std::ops::Range;

use regex::Regex;
use shared::config::{self, RedactKind};

use self::phone::Phones;
use super::InvalidTransform;

mod card;
mod phone;
mod stretch;

/// The most passes over a text. Each pass removes digits or an `@`, so few are needed, unless the replacement has new ones.
const MOST_PASSES: usize = 8;

/// The rules, compiled.
#[derive(Debug)]
pub(crate) struct Redactor {
    custom: Vec<Regex>,
    email: Option<Regex>,
    has_cards: bool,
    phones: Option<Phones>,
    replacement: String,
}

/// An address as RFC 5321 has them, without quoted forms. The last label begins with a letter: `tool@4.17.21` is a
/// version.
const EMAIL: &str =
    r"(?-u)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])";

impl Redactor {
    /// Compiles the rules.
    pub(crate) fn new(config: &config::Redact) -> Result<Self, InvalidTransform> {
        let compile = |(index, pattern): (usize, &String)| {
            Regex::new(pattern).map_err(|source| InvalidTransform::Pattern {
                index,
                pattern: pattern.clone(),
                source,
            })
        };
        let has = |kind| config.kinds.contains(&kind);
        Ok(Self {
            custom: config.patterns.iter().enumerate().map(compile).collect::<Result<_, _>>()?,
            email: has(RedactKind::Email).then(|| built_in(EMAIL)),
            has_cards: has(RedactKind::Card),
            phones: has(RedactKind::Phone).then(Phones::new),
            replacement: config.replacement.clone(),
        })
    }

    /// `text` with every match replaced. Configured patterns are applied first, and once.
    pub(crate) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for pattern in &self.custom {
            self.replace(&mut text, |text| pattern.find_iter(text).map(|found| found.range()).collect());
        }
        // A replaced match may have hidden its neighbour, so search until nothing is found. A text without a match is done after
        // one search.
        for _ in 0..MOST_PASSES {
            if !self.pass(&mut text) {
                break;
            }
        }
        text
    }

    fn pass(&self, text: &mut Cow<'_, str>) -> bool {
        let mut replaced = false;
        if let Some(email) = &self.email
            && text.contains('@')
        {
            replaced |= self.replace(text, |text| email.find_iter(text).map(|found| found.range()).collect());
        }
        if self.has_cards {
            replaced |= self.replace(text, |text| card::find(text.as_bytes()));
        }
        if let Some(phones) = &self.phones {
            replaced |= self.replace(text, |text| phones.find(text));
        }
        replaced
    }

    /// Replaces the ranges that `find` returns, in order and without overlap. Returns whether there was any.
    fn replace(&self, text: &mut Cow<'_, str>, find: impl FnOnce(&str) -> Vec<Range<usize>>) -> bool {
        let found = find(text);
        if found.is_empty() {
            return false;
        }
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        for range in found {
            out.push_str(&text[copied..range.start]);
            out.push_str(&self.replacement);
            copied = range.end;
        }
        out.push_str(&text[copied..]);
        *text = Cow::Owned(out);
        true
    }
}

fn built_in(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the built-in patterns are tested")
}

#[cfg(test)]
mod tests {
    mod reference;

    use proptest::prelude::*;

    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(&config::Redact::default()).unwrap()
    }

    /// `«…»` marks what must be removed.
    fn check(marked: &str) {
        let text = marked.replace(['«', '»'], "");
        let mut expected = String::new();
        for (index, piece) in marked.split(['«', '»']).enumerate() {
            expected.push_str(if index % 2 == 0 { piece } else { "[REDACTED]" });
        }
        assert_eq!(redactor().redact(&text), expected, "{text}");
    }

    #[test]
    fn phone_numbers_are_taken_out() {
        for marked in [
            "User «555-0199» accessed /reports",
            "«555-0199»",
            "call «(555) 555-0199», or «(555)555-0199».",
            "«555-555-0199» «555.555.0199» «555 555 0199»",
            "«1-555-555-0199», «1 (555) 555-0199»",
            "«+1 555 555 0199» «+1-555-555-0199» «+15555550199» «+1 (555) 555-0199»",
            "«+49 30 1234567», «+44 20 7946 0958», «+33 1 23 45 67 89», «+49 (0)30 1234567»",
            "tel:«+49-30-1234567»; phone=«555-0199»; \"«555-0199»\"",
            "é«555-0199»é «555-0199»日本",
            "«555-0199»,«555-0199»/«555-0199»",
            "2024-01-11T01:42:50Z «555-0199»",
        ] {
            check(marked);
        }
    }

    #[test]
    fn email_addresses_are_taken_out() {
        for marked in [
            "mail «jo.doe+x@example.com»!",
            "<«a@b.co»>, «O'Neil@mail.example.co.uk».",
            "mailto:«x_y@ex-ample.org»",
            "«555-0199@example.com»",
            "Müller «mueller@example.de»",
        ] {
            check(marked);
        }
    }

    #[test]
    fn card_numbers_are_taken_out() {
        for marked in [
            "card «4111 1111 1111 1111» ok",
            "«4111-1111-1111-1111», «4111111111111111»",
            "«378282246310005» (15 digits), «3782 822463 10005», «4222222222222» (13)",
            "12 «4111 1111 1111 1111» 99",
            "x=«5500005555555559»;",
        ] {
            check(marked);
        }
    }

    #[test]
    fn what_logs_are_full_of_stays() {
        for text in [
            "2024-01-11T01:42:50.234200+00:00 2024-01-11 01:42:50,234 20240111T014250Z",
            "2024-01-11T01:42:50.234-0500 2024-01-11T01:42:50+0100 20240112",
            "[11/Jan/2024:01:42:50 +0000] \"GET / HTTP/1.1\" 200 1234",
            "550e8400-e29b-41d4-a716-446655440000 019aa553-4a00-7000-8000-000000000001",
            "12345678-1234-1234-1234-123456789012",
            "192.168.100.200 10.0.0.1:8080 255.255.255.255/24",
            "v1.2.3 1.555.10 24.04.1 lodash@4.17.21 2.555.555.0199",
            "1704937370234 1704937370 42 123456789 12345678901234567890",
            "4111 1111 1111 1112 (no valid check digit)",
            "12.50 1,234,567.89 -273.15 1e10 0x1F",
            "user@host @handle a@b",
            "100% (200) + 300 = 500",
        ] {
            check(text);
        }
    }

    #[test]
    fn kinds_that_are_not_asked_for_stay() {
        let config = config::Redact { kinds: vec![RedactKind::Email], ..config::Redact::default() };
        assert_eq!(Redactor::new(&config).unwrap().redact("a@b.co 555-0199"), "[REDACTED] 555-0199");
    }

    #[test]
    fn patterns_of_the_operators_own_are_taken_out_and_checked_at_start() {
        let config = |patterns: &[&str]| config::Redact {
            patterns: patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
            replacement: "***".to_owned(),
            ..config::Redact::default()
        };
        let redactor = Redactor::new(&config(&[r"EMP-\d+", "größe"])).unwrap();
        assert_eq!(redactor.redact("EMP-12 größe 555-0199"), "*** *** ***");
        let error = Redactor::new(&config(&["fine", "(open"])).unwrap_err().to_string();
        assert!(error.starts_with("configuration: `transform.redact.patterns[1]` is `(open`"), "{error}");
    }

    proptest! {
        #[test]
        fn redacting_twice_is_redacting_once(text in r"([0-9]{1,4}|[ ().+@/-]|a|[a-z]\.[a-z]{2}|é|555-0199|4111){0,24}") {
            let redactor = redactor();
            let once = redactor.redact(&text).into_owned();
            prop_assert_eq!(redactor.redact(&once), once.as_str());
        }

        #[test]
        fn what_is_passed_over_holds_no_number(text in reference::NUMBERS) {
            prop_assert_eq!(Phones::new().find(&text), reference::phones(&text));
            prop_assert_eq!(card::find(text.as_bytes()), reference::cards(&text));
        }

        #[test]
        fn a_text_without_digits_and_at_signs_stays(text in "[^0-9@]{0,200}") {
            prop_assert_eq!(redactor().redact(&text), text.as_str());
        }

        #[test]
        fn any_text_is_still_a_text(text in ".{0,200}") {
            redactor().redact(&text);
        }
    }
}
