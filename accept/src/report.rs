//! The lines of an acceptance.

use std::fmt;

/// Prints each line when it is known, and counts.
pub(crate) struct Report<'a> {
    print: &'a mut dyn FnMut(&str),
    summary: Summary,
}

/// How many lines there were of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

impl<'a> Report<'a> {
    pub(crate) fn new(print: &'a mut dyn FnMut(&str)) -> Self {
        Self { print, summary: Summary::default() }
    }

    /// `found` is what was seen, or what is wrong.
    pub(crate) fn check(&mut self, requirement: &str, found: anyhow::Result<String>) {
        match found {
            Ok(evidence) => {
                self.summary.passed += 1;
                self.line("PASS", requirement, &evidence);
            }
            Err(error) => {
                self.summary.failed += 1;
                self.line("FAIL", requirement, &format!("{error:#}"));
            }
        }
    }

    /// `why` says what is missing.
    pub(crate) fn skip(&mut self, requirement: &str, why: &str) {
        self.summary.skipped += 1;
        self.line("SKIP", requirement, why);
    }

    pub(crate) fn summary(&self) -> Summary {
        self.summary
    }

    fn line(&mut self, verdict: &str, requirement: &str, evidence: &str) {
        let evidence = evidence.replace('\n', "\n      ");
        (self.print)(&format!("{verdict}  {requirement}\n      {evidence}"));
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
        let mut print = |line: &str| printed.push(line.to_owned());
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
}
