//! The alarms: all there, told to somebody, and quiet.

use super::facts::Deployment;
use super::report::Report;

pub(super) fn check(deployment: &Deployment, report: &mut Report) {
    let alarms = &deployment.alarms;
    let mut about = report.about("alarms");
    about.holds("alarms of the stack", alarms.len(), !alarms.is_empty(), "some", "deploy the stack again");
    let there = || alarms.iter().filter_map(|(name, alarm)| Some((name, alarm.as_ref()?)));
    let mute: Vec<_> =
        there().filter(|(_, alarm)| !alarm.has_actions).map(|(name, _)| name.as_str()).collect();
    about.holds(
        "alarms that tell nobody",
        mute.join(" "),
        mute.is_empty(),
        "none",
        format!(
            "aws cloudwatch enable-alarm-actions --alarm-names {}; or deploy the stack again",
            mute.join(" ")
        ),
    );
    for (name, alarm) in alarms {
        let mut about = report.about(format!("alarm {name}"));
        let (state, meaning) = alarm.as_ref().map_or(("not there", "deploy the stack again"), |alarm| {
            (alarm.state.as_str(), alarm.description.as_str())
        });
        let change = if meaning.is_empty() { "its page is in docs/runbooks" } else { meaning };
        about.holds("state", state, alarm.is_some() && state != "ALARM", "OK", change);
    }
}
