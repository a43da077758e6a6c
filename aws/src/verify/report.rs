//! What a check found: expected, seen, verdict.

use std::fmt;

use serde::Serialize;

/// A question that only AWS answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// For `--only`.
    pub name: &'static str,
    /// What it answers, for `--list`.
    pub answers: &'static str,
    /// What it does, and how long that takes.
    pub does: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    AsDocumented,
    Differs,
    NotChecked,
}

/// One line of a check. Scripts rely on the names in the JSON: add, never rename.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    /// What was looked at. No two findings of a check have the same.
    pub what: String,
    pub expected: String,
    /// What was seen, or why it was not checked.
    pub seen: String,
    pub verdict: Verdict,
}

/// How many findings there are of each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub as_documented: u32,
    pub differ: u32,
    pub not_checked: u32,
}

impl Check {
    pub(super) fn finding(
        &self,
        what: &str,
        expected: impl fmt::Display,
        seen: impl fmt::Display,
        is_as_documented: bool,
    ) -> Finding {
        let verdict = if is_as_documented { Verdict::AsDocumented } else { Verdict::Differs };
        self.with_verdict(what, expected, seen, verdict)
    }

    /// `seen` must equal `expected`.
    pub(super) fn equals<S: fmt::Display>(
        &self,
        what: &str,
        expected: impl PartialEq<S> + fmt::Display,
        seen: S,
    ) -> Finding {
        let is_equal = expected == seen;
        self.finding(what, expected, seen, is_equal)
    }

    pub(super) fn not_checked(
        &self,
        what: &str,
        expected: impl fmt::Display,
        why: impl fmt::Display,
    ) -> Finding {
        self.with_verdict(what, expected, why, Verdict::NotChecked)
    }

    fn with_verdict(
        &self,
        what: &str,
        expected: impl fmt::Display,
        seen: impl fmt::Display,
        verdict: Verdict,
    ) -> Finding {
        let (expected, seen) = (expected.to_string(), seen.to_string());
        Finding { check: self.name, what: what.to_owned(), expected, seen, verdict }
    }
}

impl Summary {
    pub fn count(&mut self, finding: &Finding) {
        match finding.verdict {
            Verdict::AsDocumented => self.as_documented += 1,
            Verdict::Differs => self.differ += 1,
            Verdict::NotChecked => self.not_checked += 1,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsDocumented => "as documented",
            Self::Differs => "DIFFERS",
            Self::NotChecked => "not checked",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, what, expected, seen, verdict } = self;
        let label = if *verdict == Verdict::NotChecked { "why     " } else { "seen    " };
        write!(f, "{verdict}: {check}: {what}\n    expected  {expected}\n    {label}  {seen}")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { as_documented, differ, not_checked } = self;
        write!(f, "{as_documented} as documented, {differ} differ, {not_checked} not checked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: Check = Check { name: "gzip", answers: "", does: "" };

    #[test]
    fn a_finding_says_what_was_expected_and_seen_or_why_nothing_was() {
        let same = CHECK.equals("NDJSON", 202, 202);
        assert_eq!(same.to_string(), "as documented: gzip: NDJSON\n    expected  202\n    seen      202");
        let other = CHECK.equals("NDJSON", 202, 400);
        assert_eq!(other.to_string(), "DIFFERS: gzip: NDJSON\n    expected  202\n    seen      400");
        let none = CHECK.not_checked("NDJSON", 202, "no answer");
        assert_eq!(none.to_string(), "not checked: gzip: NDJSON\n    expected  202\n    why       no answer");
        let mut summary = Summary::default();
        for finding in [&same, &same, &other, &none] {
            summary.count(finding);
        }
        assert_eq!(summary.to_string(), "2 as documented, 1 differ, 1 not checked");
        let json = serde_json::to_value(&none).unwrap();
        assert_eq!((&json["verdict"], &json["seen"]), (&"not_checked".into(), &"no answer".into()));
    }
}
