//! Removes personal data from texts: e-mail addresses, card numbers, phone numbers, and matches of configured patterns.
//!
//! The built-in rules search a text in one spelling ([`spelling`]), so that they need ASCII only: a Unicode `\b` makes the search
//! twelve times slower on text that is not ASCII. In doubt a rule removes too much rather than too little, except for data that is
//! frequent in logs: times, UUIDs, IP addresses, versions and plain integers stay.

use std::borrow::Cow;
use std::ops::Range;

use regex::Regex;
use shared::config::{self, ConfigError, RedactKind};

use self::phone::Phones;
use self::spelling::Spelling;
use self::stretch::stretches;

mod card;
mod email;
mod phone;
mod spelling;
mod stretch;

/// The most passes over a text. Each pass removes digits or an `@`, so few are needed.
const MOST_PASSES: usize = 8;

/// The fewest digits of any number: `555-0199`. Cards have more.
const FEWEST_DIGITS: usize = 7;

/// The rules, compiled.
#[derive(Debug)]
pub(crate) struct Redactor {
    custom: Vec<Regex>,
    has_emails: bool,
    has_cards: bool,
    phones: Option<Phones>,
    replacement: String,
    passes: usize,
}

impl Redactor {
    /// Compiles the rules.
    pub(crate) fn new(config: &config::Redact) -> Result<Self, ConfigError> {
        let has = |kind| config.kinds.contains(&kind);
        let mut redactor = Self {
            custom: config.compiled()?,
            has_emails: has(RedactKind::Email),
            has_cards: has(RedactKind::Card),
            phones: has(RedactKind::Phone).then(Phones::new),
            replacement: config.replacement.clone(),
            passes: MOST_PASSES,
        };
        // Each pass would find what the one before wrote: of a replacement with ten addresses, ten million for one.
        if !redactor.found(&config.replacement).is_empty() {
            redactor.passes = 1;
        }
        Ok(redactor)
    }

    /// `text` with every match replaced. Configured patterns are applied first, and once.
    pub(crate) fn redact<'a>(&self, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let mut text = text.into();
        for pattern in &self.custom {
            let found = pattern.find_iter(&text).map(|found| found.range()).collect();
            self.replace(&mut text, found);
        }
        // A replaced match may have hidden its neighbour, so search next to it until nothing is found.
        let mut found = self.found(&text);
        for pass in 1..=self.passes {
            if found.is_empty() {
                break;
            }
            let replaced = self.replace(&mut text, found);
            if pass == self.passes {
                break;
            }
            let near = neighbourhoods(text.as_bytes(), &replaced).into_iter();
            found = near.flat_map(|near| shifted(self.found(&text[near.clone()]), near.start)).collect();
        }
        text
    }

    /// What the built-in rules find, in order and without overlap, however it is spelled.
    fn found(&self, text: &str) -> Vec<Range<usize>> {
        match Spelling::of(text) {
            None => self.find(text),
            Some(spelling) => {
                self.find(&spelling.text).iter().map(|range| spelling.in_original(range)).collect()
            }
        }
    }

    /// The same. `text` is in the one spelling.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = if self.has_emails { email::find(text) } else { Vec::new() };
        let (mut cards, mut phones) = (Vec::new(), Vec::new());
        for (stretch, digits) in stretches(text.as_bytes(), FEWEST_DIGITS) {
            if self.has_cards && digits >= *card::DIGITS.start() {
                card::find(text.as_bytes(), stretch.clone(), &mut cards);
            }
            if let Some(rule) = &self.phones {
                rule.find(text, stretch, &mut phones);
            }
        }
        add(&mut found, cards);
        add(&mut found, phones);
        found
    }

    /// Replaces ranges of the text, which are in order and do not overlap. Gives where the replacements are.
    fn replace(&self, text: &mut Cow<'_, str>, found: Vec<Range<usize>>) -> Vec<Range<usize>> {
        if found.is_empty() {
            return found;
        }
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        let mut replaced = found;
        for range in &mut replaced {
            out.push_str(&text[copied..range.start]);
            copied = range.end;
            range.start = out.len();
            out.push_str(&self.replacement);
            range.end = out.len();
        }
        out.push_str(&text[copied..]);
        *text = Cow::Owned(out);
        replaced
    }
}

/// What is around these ranges, up to the next bytes that no match has and across which no rule looks. The ranges are in order, and
/// so are these, without overlap.
fn neighbourhoods(text: &[u8], ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let is_apart = |byte: &u8| matches!(byte, b'\n' | b'"' | b',' | b':' | b';' | b'<' | b'>' | b'[' | b']');
    let mut near: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        // No byte is looked at twice, also where replacements have none that is apart.
        let seen = near.last().map_or(0, |last| last.end);
        if range.end < seen {
            continue;
        }
        let before = text.get(seen..range.start).and_then(|unseen| unseen.iter().rposition(is_apart));
        let end = text[range.end..].iter().position(is_apart).map_or(text.len(), |at| range.end + at + 1);
        match (before, near.last_mut()) {
            (None, Some(last)) => last.end = end,
            (before, _) => near.push(before.map_or(0, |at| seen + at)..end),
        }
    }
    near
}

fn shifted(ranges: Vec<Range<usize>>, by: usize) -> impl Iterator<Item = Range<usize>> {
    ranges.into_iter().map(move |range| range.start + by..range.end + by)
}

/// Adds the ranges of `more` that overlap none of `found`. Both are in order, and stay so.
fn add(found: &mut Vec<Range<usize>>, more: Vec<Range<usize>>) {
    let is_free = |range: &Range<usize>| {
        let next = found.partition_point(|earlier| earlier.end <= range.start);
        found.get(next).is_none_or(|next| range.end <= next.start)
    };
    let free: Vec<_> = more.into_iter().filter(is_free).collect();
    if !free.is_empty() {
        found.extend(free);
        found.sort_unstable_by_key(|range| range.start);
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
    fn phone_numbers_are_taken_out_however_they_are_spelled() {
        for marked in [
            "«555\u{2011}0199» «555\u{2010}0199» «555\u{2012}0199», «555\u{2013}555\u{2013}0199», «+49 30\u{2212}1234567»",
            "«555\u{a0}555\u{a0}0199», «(555)\u{202f}555\u{2011}0199»; «+1\u{a0}(555)\u{a0}555\u{a0}0199»",
            "«+49\u{a0}30\u{a0}1234567» «+33\u{202f}1\u{202f}23\u{202f}45\u{202f}67\u{202f}89» «+1.555.555.0199», «1.555.555.0199»",
            "\u{202a}«+1 555\u{ad} 555\u{200b} 0199\u{202c}» is from an address book",
            "«５５５－０１９９», «＋４９　３０　１２３４５６７», «（５５５）５５５－０１９９», «٥٥٥-٠١٩٩», «+۹۸ ۲۱ ۱۲۳۴۵۶۷۸»",
            "?phone=«%2B1%20555%20555%200199»&q=%22«555-0199»%22 «%28555%29%20555-0199»",
            r#"{"a":"call\n«555-0199»\t«+1 555 555 0199»","b":"«555\u00a0555\u20110199»","c":"{\"d\":\"\\n«555-0199»\"}"}"#,
            "電話は«555-0199»です。é«555\u{2011}0199»é",
        ] {
            check(marked);
        }
    }

    #[test]
    fn email_addresses_are_taken_out_however_they_are_spelled() {
        for marked in [
            "«josé@example.com», «müller@example.de»; «mu\u{308}ller@example.de» “«ÿ@example.com»”",
            "«jo@bücher.example» «jo@xn--bcher-kva.example» «почта@пример.рф» «用户@例え.jp» «用户@例え.テスト»",
            "連絡先はjo@example.comです".replace("jo@example.com", "«jo@example.com»").as_str(),
            "메일은 «jo@example.com»으로, 写信给«jo@example.com»。谢谢",
            "«jo%40example.com» https://example.com:443/?q=1;email:«jo%40example.com» «jo%2540example.com»",
            r#"{"a":"«jo\u0040example.com»","b":"\n«jo@example.com»","c":"«jos\u00e9@example.com»"}"#
                .replace(r"\n«jo", r"\«njo")
                .as_str(),
            "«ｊｏ＠ｅｘａｍｐｌｅ．ｃｏｍ» «jo@exam\u{200b}ple.com»",
            r"CORP\«tom@example.com» CORP\«nina@example.com»",
        ] {
            check(marked);
        }
    }

    #[test]
    fn card_numbers_are_taken_out_however_they_are_spelled() {
        for marked in [
            "«4111.1111.1111.1111» «3782.822463.10005», «4111 1111-1111.1111».",
            "«4111\u{a0}1111\u{a0}1111\u{a0}1111» «4111\u{2011}1111\u{2011}1111\u{2011}1111» «4111–1111–1111–1111», «４１１１１１１１１１１１１１１１»",
            "card=«4111%201111%201111%201111» \\n«4111 1111 1111 1111» v1.«4111 1111 1111 1111»",
        ] {
            check(marked);
        }
    }

    #[test]
    fn other_spellings_of_what_logs_are_full_of_stay() {
        for text in [
            "550e8400‑e29b‑41d4‑a716‑446655440000 12345678\u{2011}1234\u{2011}1234\u{2011}1234\u{2011}123456789012",
            "2024\u{2011}01\u{2011}11T01:42:50Z 2024-01-11T01%3A42%3A50%2B00%3A00 2024%2D01%2D11 11.01.2024\u{a0}01:42:50.234",
            "192.168.100.200 4111.1111.1111.1112 2001:db8::1 10.0.0.1%3A8080 1.4111.1111.111",
            "1\u{a0}234\u{a0}567,89 €, 1\u{202f}234\u{202f}567 1704937370234 １２３４５６７ ١٢٣٤٥٦٧",
            "100–2000 ms, 300\u{2212}1500, 555–0199, 2019–2024, 1–10–100–2000",
            "52.520006599999996 2345.678901234567 4111.123456789012 13.404953999999975",
            "npm%40latest /%40types%2Fnode/-/node-18.0.0.tgz user%40host lodash%404.17.21 \\n1234567",
            "日本@東京 @例え.jp a＠b 100％（２００）",
        ] {
            check(text);
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

    #[test]
    fn a_replacement_in_which_a_rule_finds_something_replaces_once() {
        let config = config::Redact { replacement: "a@b.co ".repeat(10), ..config::Redact::default() };
        let redacted = Redactor::new(&config).unwrap().redact("x@y.org and z@y.org").into_owned();
        assert_eq!(redacted, format!("{0} and {0}", config.replacement));
    }

    proptest! {
        #[test]
        fn redacting_twice_is_redacting_once(text in r"([0-9]{1,4}|[ ().+@/-]|a|[a-z]\.[a-z]{2}|é|語|555-0199|4111|%40|%20|\\n|\\u00a0|\u{a0}|\u{2011}|\u{200b}){0,24}") {
            let redactor = redactor();
            let once = redactor.redact(&text).into_owned();
            prop_assert_eq!(redactor.redact(&once), once.as_str());
        }

        #[test]
        fn a_search_next_to_what_was_replaced_finds_what_a_search_of_the_whole_text_does(
            text in reference::NEIGHBOURS, replacement in r"|5|-|@|a\.|\*\*\*|\[REDACTED\]",
        ) {
            let redactor = Redactor::new(&config::Redact { replacement, ..config::Redact::default() }).unwrap();
            prop_assert_eq!(redactor.redact(&text), reference::redacted(&redactor, &text));
        }

        #[test]
        fn what_is_passed_over_holds_no_number(text in reference::NUMBERS) {
            prop_assert_eq!(reference::in_stretches(&text), (reference::cards(&text), reference::phones(&text)));
        }

        #[test]
        fn addresses_of_ascii_are_those_of_the_expression(text in reference::ADDRESSES) {
            prop_assert_eq!(email::find(&text), reference::emails(&text));
        }

        /// A number is found in each spelling in which it is found in ASCII.
        #[test]
        fn every_spelling_of_a_text_is_redacted_like_the_text(text in reference::NUMBERS, seed: u64) {
            let spelled = reference::spelled(&text, seed);
            prop_assert_eq!(redactor().redact(&spelled).matches("[REDACTED]").count(), redactor().redact(&text).matches("[REDACTED]").count(), "{}", spelled);
        }

        #[test]
        fn a_text_without_digits_and_at_signs_stays(text in "[^\\p{Nd}@＠]{0,200}") {
            prop_assert_eq!(redactor().redact(&text), text.as_str());
        }

        #[test]
        fn any_text_is_still_a_text(text in ".{0,200}") {
            redactor().redact(&text);
        }
    }
}
