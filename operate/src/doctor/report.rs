//! The findings, for people and as JSON.

use std::fmt::{self, Display};

use serde::Serialize;

/// A setting that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoctorFinding {
    /// The part of the stack, such as `stream`.
    pub about: String,
    pub setting: String,
    pub is: String,
    pub should: String,
    /// What to do, with the command if there is one.
    pub change: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct DoctorReport {
    stack: String,
    checked: usize,
    findings: Vec<DoctorFinding>,
}

impl DoctorReport {
    pub(super) fn new(stack: &str) -> Self {
        Self { stack: stack.to_owned(), checked: 0, findings: Vec::new() }
    }

    /// In the order of the data.
    pub fn findings(&self) -> &[DoctorFinding] {
        &self.findings
    }

    /// Starts the checks of one part.
    pub(super) fn about(&mut self, about: impl Into<String>) -> About<'_> {
        About { report: self, about: about.into() }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("text and numbers always serialise")
    }
}

/// The checks of one part of a stack.
pub(super) struct About<'a> {
    report: &'a mut DoctorReport,
    about: String,
}

impl About<'_> {
    /// `is` must equal `should`.
    pub(super) fn equals<T: PartialEq + Display>(
        &mut self,
        setting: &str,
        is: &T,
        should: &T,
        change: impl Into<String>,
    ) {
        self.holds(setting, is, is == should, should, change);
    }

    /// `is_good` must hold; `is` and `should` are for people.
    pub(super) fn holds(
        &mut self,
        setting: &str,
        is: impl Display,
        is_good: bool,
        should: impl Display,
        change: impl Into<String>,
    ) {
        self.report.checked += 1;
        if !is_good {
            self.report.findings.push(DoctorFinding {
                about: self.about.clone(),
                setting: setting.to_owned(),
                is: is.to_string(),
                should: should.to_string(),
                change: change.into(),
            });
        }
    }

    pub(super) fn is_on(&mut self, setting: &str, is_on: bool, change: impl Into<String>) {
        self.holds(setting, if is_on { "on" } else { "off" }, is_on, "on", change);
    }
}

impl Display for DoctorReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stack, checked, findings } = self;
        for DoctorFinding { about, setting, is, should, change } in findings {
            writeln!(out, "{about}: {setting} is {is}, should be {should}\n    {change}")?;
        }
        match findings.len() {
            0 => write!(out, "{stack}: {checked} settings checked, no finding."),
            1 => write!(out, "{stack}: {checked} settings checked, 1 finding."),
            several => {
                write!(out, "{stack}: {checked} settings checked, {several} findings.")
            }
        }
    }
}
