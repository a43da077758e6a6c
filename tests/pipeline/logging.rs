//! `docs/logging.md` has every line that the programs log, with its level, and no other line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 8] =
    ["shared", "ingest-fn", "consumer-fn", "dispatch-fn", "operate", "local", "aws", "cli"];
const MACROS: [(&str, &str); 4] = [
    ("tracing::error!(", "ERROR"),
    ("tracing::warn!(", "WARN"),
    ("tracing::info!(", "INFO"),
    ("tracing::debug!(", "DEBUG"),
];
/// The text of this line is made elsewhere (`shared/src/environment.rs`).
const UNKNOWN_VARIABLE: (&str, &str) = ("…", "the environment variable `…` is not known and has no effect");

#[test]
fn every_line_that_is_logged_is_in_the_page_with_its_level_and_no_other() {
    let page = fs::read_to_string(root().join("docs/logging.md")).unwrap();
    let documented: BTreeSet<_> = page.lines().filter_map(row).collect();
    let logged: BTreeSet<_> =
        CRATES.into_iter().flat_map(|name| lines_of(&root().join(name).join("src"))).collect();
    assert!(
        logged.len() > 50,
        "only {} lines were found in the code: is the macro called another way?",
        logged.len()
    );
    let missing: Vec<_> = logged.difference(&documented).collect();
    let extra: Vec<_> = documented.difference(&logged).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "not in docs/logging.md: {missing:#?}\nnot in the code: {extra:#?}"
    );
}

#[test]
fn a_message_is_found_among_fields_and_over_several_lines() {
    let code = r#"
        tracing::warn!(shard.id = %shard, why = f("a, b"), "a `{x}` \"failed\"; {} left: {error}", left);
        tracing::info!(
            pid,
            "started",
        );
"#;
    let tests = "#[cfg(test)]\nmod tests {\n    tracing::error!(\"no line\");\n}\n";
    assert_eq!(
        logged(&[code, tests].concat()),
        [("WARN", "a `…` \"failed\"; … left".to_owned()), ("INFO", "started".to_owned())]
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Level and message of a row of the page's tables.
fn row(line: &str) -> Option<(String, String)> {
    let cells: Vec<_> = line.split('|').map(str::trim).collect();
    let &["", level, message, _happened, what_to_do, ""] = cells.as_slice() else { return None };
    MACROS.iter().find(|(_, name)| *name == level)?;
    assert!(!what_to_do.is_empty(), "docs/logging.md does not say what to do about: {message}");
    Some((level.to_owned(), message.to_owned()))
}

fn lines_of(folder: &Path) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            lines.extend(lines_of(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let found = logged(&fs::read_to_string(&path).unwrap());
            lines.extend(found.into_iter().map(|(level, message)| (level.to_owned(), message)));
        }
    }
    lines
}

/// Level and message of each line that the code logs, in order. Tests, which are at the end of a file, are left out.
fn logged(code: &str) -> Vec<(&'static str, String)> {
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut found = Vec::new();
    for (name, level) in MACROS {
        for (start, _) in code.match_indices(name) {
            let message = message(&code[start + name.len()..]);
            found.push((start, level, message));
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, level, message)| (level, message)).collect()
}

/// The message among a macro's arguments: the string that is an argument of its own. Values in it are `…`, and the cause at its
/// end is cut off, as the page has it.
fn message(arguments: &str) -> String {
    let (mut depth, mut is_first, mut rest) = (0, true, arguments);
    loop {
        let character = rest.chars().next().expect("a line has a message");
        if character == '"' {
            let (string, after) = string(&rest[1..]);
            if depth == 0 && is_first {
                let message = string.split_once(": {").map_or(string.as_str(), |(message, _cause)| message);
                let message = without_values(message);
                return if message == UNKNOWN_VARIABLE.0 { UNKNOWN_VARIABLE.1.to_owned() } else { message };
            }
            (is_first, rest) = (false, after);
            continue;
        }
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        is_first = depth == 0 && (character == ',' || is_first && character.is_whitespace());
        rest = &rest[character.len_utf8()..];
    }
}

/// The string that ends at the first quote without a backslash, and the code after it.
fn string(code: &str) -> (String, &str) {
    let mut string = String::new();
    let mut characters = code.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (string, &code[at + 1..]),
            '\\' => string.extend(characters.next().map(|(_, escaped)| escaped)),
            other => string.push(other),
        }
    }
    panic!("a string does not end")
}

fn without_values(message: &str) -> String {
    let mut parts = message.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push('…');
        text.push_str(part.split_once('}').map_or("", |(_, after)| after));
    }
    text
}
