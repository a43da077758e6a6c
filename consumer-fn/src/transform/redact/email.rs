//! E-mail addresses as RFC 5321 and 6531 have them, without quoted forms: the parts may have letters of any script.

use std::ops::Range;

use memchr::memchr_iter;

/// Where the addresses are, in order. From each `@` the search goes both ways, up to the next one, so it is linear.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for at in memchr_iter(b'@', text.as_bytes()) {
        let earlier = found.last().map_or(0, |last| last.end);
        let local = local(&text[earlier..at]);
        if local > 0
            && let Some(domain) = domain(&text[at + 1..])
        {
            found.push(at - local..at + 1 + domain);
        }
    }
    found
}

/// How long the local part at the end of `text` is.
fn local(text: &str) -> usize {
    let has_no_spaces = text.chars().next_back().is_some_and(is_of_a_script_without_spaces);
    let rest = text.trim_end_matches(|char: char| match char {
        '!' | '#'..='\'' | '*' | '+' | '-'..='/' | '=' | '?' | '^'..='`' | '{'..='~' => true,
        _ => is_letter(char, has_no_spaces),
    });
    text.len() - rest.len()
}

/// How long the domain at the beginning of `text` is: labels with full stops between them, of which the last begins with a letter.
/// `tool@4.17.21` is a version.
fn domain(text: &str) -> Option<usize> {
    let (mut start, mut end) = (0, None);
    loop {
        let rest = &text[start..];
        let first = rest.chars().next()?;
        let is_part = |char| char == '-' || is_letter(char, is_of_a_script_without_spaces(first));
        let label = &rest[..rest.find(|char| !is_part(char)).unwrap_or(rest.len())];
        let trimmed = label.trim_end_matches('-');
        if start > 0 && first.is_alphabetic() && trimmed.len() > 1 {
            end = Some(start + trimmed.len());
        }
        start += label.len() + 1;
        if label.is_empty() || !rest[label.len()..].starts_with('.') || text.len() <= start {
            return end;
        }
    }
}

/// Where a script has no spaces, an address ends at the letters of another: `jo@example.comです`.
fn is_letter(char: char, of_a_script_without_spaces: bool) -> bool {
    if char.is_ascii() {
        return char.is_ascii_alphanumeric();
    }
    // Accents may be characters of their own.
    let is_any = char.is_alphanumeric() || matches!(char, '\u{300}'..='\u{36f}');
    is_any && (of_a_script_without_spaces || !is_of_a_script_without_spaces(char))
}

/// Thai and its neighbours, Chinese, Japanese; and Korean, which appends syllables to a word.
fn is_of_a_script_without_spaces(char: char) -> bool {
    matches!(char, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ffdc}' | '\u{20000}'..='\u{3ffff}')
}
