//! What a search for a pattern costs. The crate `regex` promises time in proportion to the text *times* the pattern, for *one* match.
//!
//! - A pattern that is short as it is written may be long: `[ab]*a[ab]{9999}c` looks at thousands of places at each byte of a text.
//! - The search for the next match begins after the last one, and may read to the end of the text again: with `a.*b|a`, each search in a
//!   text of `a` does. For a text of 10 MB that is hours. No analysis tells for each pattern whether there is such a text, so some
//!   texts that are made of its own parts are searched, and what is read is counted.

use regex_automata::Input;
use regex_automata::hybrid::dfa::DFA;
use regex_automata::hybrid::regex::{Cache, Regex};
use regex_syntax::hir::{Class, Hir, HirKind, Literal};

use crate::limits;

/// How often a sample repeats its parts. A pattern that reads to the end for each of them reads the sample half as often.
const REPEATED: usize = 4 * limits::PATTERN_READS;
/// The most parts of a pattern that are tried. All orders of two take a millisecond or two for each pattern.
const PARTS: usize = 10;
/// The most copies of a part that a pattern demands several times.
const COPIES: u32 = 16;
/// The longest text that is repeated.
const SAMPLE_BYTES: usize = 64;

/// How many characters the pattern has where each repetition is written out.
pub(super) fn characters(pattern: &str) -> usize {
    let Ok(parsed) = regex_syntax::parse(pattern) else { return 0 };
    match parsed.kind() {
        // Words: the time does not depend on their number.
        HirKind::Alternation(all) if all.iter().all(|one| matches!(one.kind(), HirKind::Literal(_))) => {
            all.iter().map(characters_of).max().unwrap_or_default()
        }
        _ => characters_of(&parsed),
    }
}

fn characters_of(parsed: &Hir) -> usize {
    match parsed.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(Literal(bytes)) => bytes.len(),
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            characters_of(&repetition.sub).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => characters_of(&capture.sub),
        HirKind::Concat(all) | HirKind::Alternation(all) => {
            all.iter().fold(0, |sum, one| sum.saturating_add(characters_of(one)))
        }
    }
}

/// A text that makes a search read each byte of its repetitions more than [`limits::PATTERN_READS`] times, if one was found.
pub(super) fn read_too_often(pattern: &str) -> Option<String> {
    let parsed = regex_syntax::parse(pattern).ok()?;
    // With `\b` a search stops at the first character that is not ASCII. The samples have few.
    let dfa = DFA::config().unicode_word_boundary(true).skip_cache_capacity_check(true);
    let regex = Regex::builder().dfa(dfa).build(pattern).ok()?;
    let mut cache = regex.create_cache();
    samples(&parsed).into_iter().find(|sample| {
        let text = sample.repeat(REPEATED);
        reads(&regex, &mut cache, &text) > limits::PATTERN_READS * text.len()
    })
}

/// How many bytes the search for all matches reads. It ends early where they are too many.
fn reads(regex: &Regex, cache: &mut Cache, text: &str) -> usize {
    let (mut at, mut reads) = (0, 0);
    let read_so_far =
        |cache: &mut Cache| [cache.forward().search_total_len(), cache.reverse().search_total_len()];
    while reads <= limits::PATTERN_READS * text.len() {
        let before = read_so_far(cache);
        let found = regex.try_search(cache, &Input::new(text).span(at..text.len()));
        // The count begins again where the cache was full.
        reads += read_so_far(cache)
            .into_iter()
            .zip(before)
            .map(|(now, before)| now.checked_sub(before).unwrap_or(now))
            .sum::<usize>();
        match found {
            Ok(Some(found)) if found.end() > at => at = found.end(),
            _ => break,
        }
    }
    reads
}

/// Parts of the pattern in its order, and each two of them in any order.
fn samples(parsed: &Hir) -> Vec<String> {
    let mut parts = Vec::new();
    add_parts(parsed, &mut parts);
    parts.truncate(PARTS);
    // What ends a word.
    parts.push(" ".to_owned());
    let mut samples: Vec<String> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        samples.extend((index..parts.len()).map(|end| parts[index..=end].concat()));
        samples.extend(parts.iter().map(|other| format!("{part}{other}")));
    }
    samples.retain(|sample| sample.len() <= SAMPLE_BYTES);
    samples.sort_unstable_by_key(|sample| (sample.len(), sample.clone()));
    samples.dedup();
    samples
}

fn add_parts(parsed: &Hir, parts: &mut Vec<String>) {
    match parsed.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(Literal(bytes)) => parts.push(String::from_utf8_lossy(bytes).into_owned()),
        HirKind::Class(class) => parts.extend(one_of(class).map(String::from)),
        HirKind::Repetition(repetition) if repetition.min > 1 => {
            let mut repeated = Vec::new();
            add_parts(&repetition.sub, &mut repeated);
            parts.push(repeated.concat().repeat(repetition.min.min(COPIES) as usize));
        }
        HirKind::Repetition(repetition) => add_parts(&repetition.sub, parts),
        HirKind::Capture(capture) => add_parts(&capture.sub, parts),
        HirKind::Concat(all) | HirKind::Alternation(all) => all.iter().for_each(|one| add_parts(one, parts)),
    }
}

/// A character of the class: a usual one if it has one.
fn one_of(class: &Class) -> Option<char> {
    let Class::Unicode(class) = class else { return None };
    let has = |wanted: &char| class.iter().any(|range| (range.start()..=range.end()).contains(wanted));
    ['a', '0', 'A', ' ', '.', '-'].into_iter().find(has).or_else(|| Some(class.iter().next()?.start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_counts_as_written_out() {
        for (pattern, expected) in [
            ("abc", 3),
            (r"\bEMP-\d{2,7}\b", 11),
            (r"[\w.]+@(?:[\w-]+\.)+[a-z]{2,}", 6),
            ("[ab]*a[ab]{999}c", 1_002),
            ("(a{1,1000}){1,1000}", 1_000_000),
            ("((((((a{999}){999}){999}){999}){999}){999}){999}b", usize::MAX),
            ("anna|bert|caesar", 6),
            ("(?:anna|bert|caesar)x", 15),
        ] {
            assert_eq!(characters(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_reads_on_to_the_end_for_each_match_is_found() {
        for pattern in [
            "a.*b|a",
            ".*[^A-Z]|[A-Z]",
            "(?:A+){1000}|A",
            "x(a.*z)?",
            "c|a.*b",
            "(?s)a.*b|c",
            r"<a[^>]*>|<",
            r"k=\d+(;.*!)?",
            r"\d{4}(-.*x)?",
            r"\bfoo\b(?:.*\bbar\b)?",
            r"secret(?: .{0,500}end)?",
        ] {
            assert!(read_too_often(pattern).is_some(), "{pattern}");
        }
    }

    #[test]
    fn what_people_write_is_not() {
        for pattern in [
            "x*y",
            "(x+x+)+y",
            r"\bEMP-\d+\b",
            r"(?s)-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----",
            r"\b\w{1,64}@\w{1,64}\b",
            r"[\w.+-]+@(?:[\w-]+\.)+[a-z]{2,}",
            r"(?i)\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}\b",
            r"\d{3}-\d{2}-\d{4}",
            r"(?i)(?:password|secret|token)\s*[:=]\s*\S+",
            r#""(?:[^"\\]|\\.)*""#,
            r"foo=\w+;|bar=\w+;",
            r"(?:\d{1,3}\.){3}\d{1,3}",
            "größe|straße",
        ] {
            assert_eq!(read_too_often(pattern), None, "{pattern}");
            assert!(characters(pattern) < limits::PATTERN_CHARACTERS / 2, "{pattern}");
        }
    }
}
