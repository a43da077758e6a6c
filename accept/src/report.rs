//! The lines of an acceptance.

use std::fmt;

use serde_json::{Value, json};

/// Evidence is wrapped, so that a line of text has at most so many columns where its words allow it.
const COLUMNS: usize = 100;
/// Evidence for people is cut after so many characters. JSON has it whole.
const SHOWN: usize = 1_000;

/// Prints each line when it is known, and counts.
pub(crate) struct Report<'a> {
    print: &'a mut dyn FnMut(&Line),
    summary: Summary,
}

/// A requirement of the document and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub verdict: Verdict,
    pub requirement: String,
    /// What was seen, what is wrong, or what is missing to see it.
    pub evidence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Fail,
    Skip,
}

/// How many lines there were of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

impl<'a> Report<'a> {
    pub(crate) fn new(print: &'a mut dyn FnMut(&Line)) -> Self {
        Self { print, summary: Summary::default() }
    }

    /// `found` is what was seen, or what is wrong.
    pub(crate) fn check(&mut self, requirement: &str, found: anyhow::Result<String>) {
        match found {
            Ok(evidence) => self.line(Verdict::Pass, requirement, evidence),
            Err(error) => self.line(Verdict::Fail, requirement, format!("{error:#}")),
        }
    }

    /// `why` says what is missing.
    pub(crate) fn skip(&mut self, requirement: &str, why: &str) {
        self.line(Verdict::Skip, requirement, why.to_owned());
    }

    pub(crate) fn summary(&self) -> Summary {
        self.summary
    }

    fn line(&mut self, verdict: Verdict, requirement: &str, evidence: String) {
        let count = match verdict {
            Verdict::Pass => &mut self.summary.passed,
            Verdict::Fail => &mut self.summary.failed,
            Verdict::Skip => &mut self.summary.skipped,
        };
        *count += 1;
        (self.print)(&Line { verdict, requirement: requirement.to_owned(), evidence });
    }
}

impl Line {
    pub fn json(&self) -> Value {
        json!({"verdict": self.verdict.to_string(), "requirement": self.requirement, "evidence": self.evidence})
    }
}

/// The requirement as one line, whatever its length, so that it can be searched; the evidence below it.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.verdict, self.requirement)?;
        let cut = self.evidence.char_indices().nth(SHOWN).map(|(end, _)| end);
        for line in self.evidence[..cut.unwrap_or(self.evidence.len())].lines() {
            let mut column = COLUMNS;
            for word in line.split(' ') {
                let width = word.chars().count() + 1;
                if column + width > COLUMNS {
                    write!(f, "\n      {word}")?;
                    column = 5 + width;
                } else {
                    write!(f, " {word}")?;
                    column += width;
                }
            }
        }
        if cut.is_some() { f.write_str(" …") } else { Ok(()) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
        })
    }
}

impl Summary {
    pub fn json(self) -> Value {
        json!({"passed": self.passed, "failed": self.failed, "skipped": self.skipped})
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} PASS, {} FAIL, {} SKIP", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_verdict_and_what_was_seen() {
        let mut printed = Vec::new();
        let mut print = |line: &Line| printed.push(line.to_string());
        let mut report = Report::new(&mut print);
        report.check("answers", Ok("202 in 1 ms".to_owned()));
        report.check("stores", Err(anyhow::anyhow!("no item").context("of acme")));
        report.skip("is live", "needs AWS: a domain");
        assert_eq!(report.summary(), Summary { passed: 1, failed: 1, skipped: 1 });
        let expected = [
            "PASS  answers\n      202 in 1 ms",
            "FAIL  stores\n      of acme: no item",
            "SKIP  is live\n      needs AWS: a domain",
        ];
        assert_eq!(printed, expected);
    }

    #[test]
    fn long_evidence_is_wrapped_between_words_and_cut_for_people_but_not_in_json() {
        let evidence = format!("{} {}\n{}", "word ".repeat(30).trim_end(), "k".repeat(120), "x ".repeat(600));
        let line =
            Line { verdict: Verdict::Pass, requirement: "is read".to_owned(), evidence: evidence.clone() };
        let printed = line.to_string();
        let too_long = printed.lines().filter(|line| line.chars().count() > COLUMNS).count();
        assert_eq!(too_long, 1, "only the word of 120 letters is longer: {printed}");
        assert!(
            printed.lines().all(|line| line.starts_with("      ") || line == "PASS  is read"),
            "{printed}"
        );
        assert!(printed.ends_with(" …") && printed.chars().count() < 1_200, "{printed}");
        assert_eq!(line.json()["evidence"], evidence);
    }
}
