//! The alarms: they exist, can publish to their topic, and do not fire.

use super::facts::{Alarm, DeployedStack};
use super::report::DoctorReport;

/// The publisher of alarms.
const CLOUDWATCH: &str = "cloudwatch.amazonaws.com";

pub(super) fn check(deployment: &DeployedStack, report: &mut DoctorReport) {
    let alarms = &deployment.alarms;
    let mut about = report.about("alarms");
    about.holds("alarms of the stack", alarms.len(), !alarms.is_empty(), "some", "deploy the stack again");
    let is_mute = |alarm: &Option<Alarm>| alarm.as_ref().is_some_and(|alarm| !alarm.has_actions);
    let mute = alarms.iter().filter(|(_, alarm)| is_mute(alarm)).map(|(name, _)| name.as_str());
    let mute: Vec<_> = mute.collect();
    about.holds(
        "notification",
        format!("off for {}", mute.join(", ")),
        mute.is_empty(),
        "on for every alarm",
        format!(
            "aws cloudwatch enable-alarm-actions --alarm-names {}; or deploy the stack again",
            mute.join(" ")
        ),
    );
    // A topic's own policy replaces the default one, which allows the account's alarms to publish. Without that
    // permission an alarm sends no notification.
    let topic = &deployment.alarm_topic;
    let publishers = &topic.publishers;
    let shown = if publishers.is_empty() { "none".to_owned() } else { publishers.join(", ") };
    about.holds(
        "publishers allowed by their topic",
        shown,
        publishers.iter().any(|who| who == CLOUDWATCH || who == "*"),
        CLOUDWATCH,
        format!("deploy the stack again: it sets the policy of {}", topic.arn),
    );
    for (name, alarm) in alarms {
        let mut about = report.about(format!("alarm {name}"));
        let (state, meaning) = alarm.as_ref().map_or(("missing", "deploy the stack again"), |alarm| {
            (alarm.state.as_str(), alarm.description.as_str())
        });
        let change = if meaning.is_empty() { "its page is in docs/runbooks" } else { meaning };
        about.holds("state", state, alarm.is_some() && state != "ALARM", "OK", change);
    }
}
