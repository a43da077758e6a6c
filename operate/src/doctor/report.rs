//! The findings, for people and as JSON.

use std::fmt::{self, Display};

use serde::Serialize;

/// What many findings say in `change`.
const DEPLOY_AGAIN: &str = "deploy the stack again";
/// CloudFormation compares templates, and not what is deployed.
const REVERT_DRIFT: &str =
    "What was changed by hand is no change of the template: `cdk deploy --revert-drift` sets it back.";

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
}

/// The checks of one part of a stack.
pub(super) struct About<'a> {
    report: &'a mut DoctorReport,
    about: String,
}

impl About<'_> {
    /// `is` must equal `should`.
    pub(super) fn equals<S: Display>(
        &mut self,
        setting: &str,
        is: impl PartialEq<S> + Display,
        should: S,
        change: impl Into<String>,
    ) {
        let is_good = is == should;
        self.holds(setting, is, is_good, should, change);
    }

    /// `is` must be `least` or more. `why` continues the text after the number.
    pub(super) fn at_least<T: PartialOrd + Copy + Display>(
        &mut self,
        setting: &str,
        is: T,
        least: T,
        why: &str,
        change: impl Into<String>,
    ) {
        let is_good = is >= least;
        self.holds(setting, is, is_good, format_args!("at least {least}{why}"), change);
    }

    /// `is_good` must hold; `is` and `should` are for people. An empty `is` reads `not set`.
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
            let is = Some(is.to_string()).filter(|is| !is.is_empty());
            self.report.findings.push(DoctorFinding {
                about: self.about.clone(),
                setting: setting.to_owned(),
                is: is.unwrap_or_else(|| "not set".to_owned()),
                should: should.to_string(),
                change: change.into(),
            });
        }
    }

    pub(super) fn is_on(&mut self, setting: &str, is_on: bool, change: impl Into<String>) {
        self.holds(setting, if is_on { "on" } else { "off" }, is_on, "on", change);
    }
}

/// The option of AWS's command line that sets `setting`: `BatchSize` is `--batch-size`.
pub(super) fn option(setting: &str, value: impl Display) -> String {
    let mut option = String::from("-");
    for letter in setting.chars() {
        if letter.is_uppercase() {
            option.push('-');
        }
        option.push(letter.to_ascii_lowercase());
    }
    format!("{option} {value}")
}

impl Display for DoctorReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stack, checked, findings } = self;
        for DoctorFinding { about, setting, is, should, change } in findings {
            writeln!(out, "{about}: {setting} is {is}, should be {should}\n    {change}")?;
        }
        if findings.iter().any(|finding| finding.change.contains(DEPLOY_AGAIN)) {
            writeln!(out, "{REVERT_DRIFT}")?;
        }
        let count = match findings.len() {
            0 => "no finding".to_owned(),
            1 => "1 finding".to_owned(),
            several => format!("{several} findings"),
        };
        write!(out, "{stack}: {checked} settings checked, {count}.")
    }
}
