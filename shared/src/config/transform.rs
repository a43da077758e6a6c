//! The parts of the transform that a configuration can get wrong: regular expressions, and constants that are too large.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::{ConfigError, Redact};
use crate::limits;

impl Redact {
    /// The patterns, compiled. It cannot fail for a configuration that was read.
    pub fn compiled(&self) -> Result<Vec<Regex>, ConfigError> {
        self.patterns.iter().enumerate().map(|(index, pattern)| compile(index, pattern)).collect()
    }
}

pub(super) fn key_of_pattern(index: usize) -> String {
    format!("transform.redact.patterns[{index}]")
}

/// The bounds hold before anything is compiled: an expression of a few bytes, such as `((a{99}){99}){99}`, would otherwise take
/// gigabytes.
pub(super) fn compile(index: usize, pattern: &str) -> Result<Regex, ConfigError> {
    let key = key_of_pattern(index);
    let bytes = pattern.len();
    if bytes > limits::PATTERN_BYTES {
        let allowed = format!("at most {} bytes", limits::PATTERN_BYTES);
        return Err(ConfigError::value(&key, format_args!("{bytes} bytes"), allowed));
    }
    let regex = RegexBuilder::new(pattern).size_limit(limits::PATTERN_COMPILED_BYTES).build();
    let regex = regex.map_err(|error| {
        let allowed = match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("a regular expression that is compiled to at most {limit} bytes")
            }
            // Its last line says what is wrong; the others show the expression again.
            error => {
                let error = error.to_string();
                let what = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("a regular expression ({what})")
            }
        };
        ConfigError::value(&key, pattern, allowed)
    })?;
    // It would put the replacement between any two characters of a text.
    if regex_syntax::parse(pattern).is_ok_and(|parsed| parsed.properties().minimum_len() == Some(0)) {
        let allowed = "a regular expression that does not match an empty text";
        return Err(ConfigError::value(&key, pattern, allowed));
    }
    Ok(regex)
}

/// The size of constants in an event.
pub(super) fn constants_bytes(constants: &BTreeMap<String, Value>) -> usize {
    serde_json::to_vec(constants).map_or(0, |json| json.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(pattern: &str) -> String {
        compile(3, pattern).unwrap_err().to_string()
    }

    #[test]
    fn a_pattern_that_is_no_expression_is_named_with_its_index_and_the_reason() {
        insta::assert_snapshot!(error("("), @"configuration: `transform.redact.patterns[3]` is `(`, allowed: a regular expression (unclosed group)");
        insta::assert_snapshot!(error(r"(a)\1"), @r"configuration: `transform.redact.patterns[3]` is `(a)\1`, allowed: a regular expression (backreferences are not supported)");
        insta::assert_snapshot!(error("a(?=b)"), @"configuration: `transform.redact.patterns[3]` is `a(?=b)`, allowed: a regular expression (look-around, including look-ahead and look-behind, is not supported)");
    }

    #[test]
    fn a_pattern_that_matches_an_empty_text_is_refused() {
        for pattern in ["", "x*", r"\b", "a|", "(?:a?){3}", "^", "$|b"] {
            assert!(error(pattern).ends_with("that does not match an empty text"), "{pattern}");
        }
        for pattern in ["x+", r"\bEMP-\d+\b", "^a", r"[^\w]", "(?i)größe"] {
            compile(0, pattern).unwrap();
        }
    }

    #[test]
    fn a_few_bytes_cannot_compile_to_more_memory_than_the_limit() {
        for pattern in ["((a{99}){99}){99}", r"\w{1000}", r"(?i)(\pL{50}){50}", r"(((\w{9}){9}){9}){9}"] {
            assert!(error(pattern).ends_with("that is compiled to at most 10485760 bytes"), "{pattern}");
        }
        assert!(error(&format!("{}a{}", "(".repeat(300), ")".repeat(300))).contains("nest"));
        assert!(error(&"a".repeat(10_001)).contains("is `10001 bytes`, allowed: at most 10000 bytes"));
        // What people write is far from it.
        for pattern in
            [r"\b\w{1,64}@\w{1,64}\b", r"(?i)\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}\b", r"\d{3}-\d{2}-\d{4}"]
        {
            compile(0, pattern).unwrap();
        }
    }
}
