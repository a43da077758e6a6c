//! What was found, for a person and for a script.

use std::fmt::{self, Display};

use serde::Serialize;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The part of the deployment.
    pub about: String,
    /// The setting.
    pub setting: String,
    /// What it is.
    pub is: String,
    /// What it should be.
    pub should: String,
    /// What to do about it.
    pub change: String,
}

/// All that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    stack: String,
    looked_at: usize,
    findings: Vec<Finding>,
}

impl Report {
    /// Nothing looked at yet.
    pub(super) fn new(stack: &str) -> Self {
        Self { stack: stack.to_owned(), looked_at: 0, findings: Vec::new() }
    }

    /// What is not as it should be, in the order of the data.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// For what is looked at in one part.
    pub(super) fn about(&mut self, about: impl Into<String>) -> About<'_> {
        About { report: self, about: about.into() }
    }

    /// For a script.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("text and numbers always serialise")
    }
}

/// One part of a deployment, looked at.
pub(super) struct About<'a> {
    report: &'a mut Report,
    about: String,
}

impl About<'_> {
    /// `setting` must be what it should be.
    pub(super) fn equals<T: PartialEq + Display>(
        &mut self,
        setting: &str,
        is: &T,
        should: &T,
        change: impl Into<String>,
    ) {
        self.holds(setting, is, is == should, should, change);
    }

    /// `setting` must be good.
    pub(super) fn holds(
        &mut self,
        setting: &str,
        is: impl Display,
        is_good: bool,
        should: impl Display,
        change: impl Into<String>,
    ) {
        self.report.looked_at += 1;
        if !is_good {
            self.report.findings.push(Finding {
                about: self.about.clone(),
                setting: setting.to_owned(),
                is: is.to_string(),
                should: should.to_string(),
                change: change.into(),
            });
        }
    }

    /// `setting` must be on.
    pub(super) fn is_on(&mut self, setting: &str, is_on: bool, change: impl Into<String>) {
        self.holds(setting, if is_on { "on" } else { "off" }, is_on, "on", change);
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stack, looked_at, findings } = self;
        for Finding { about, setting, is, should, change } in findings {
            writeln!(out, "{about}: {setting} is {is}, should be {should}\n    {change}")?;
        }
        match findings.len() {
            0 => write!(out, "{stack}: {looked_at} things looked at, all as they should be."),
            1 => write!(out, "{stack}: {looked_at} things looked at, one is not as it should be."),
            several => {
                write!(out, "{stack}: {looked_at} things looked at, {several} are not as they should be.")
            }
        }
    }
}
