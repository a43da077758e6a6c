//! The alarms: all there, let through to their topic, and quiet.

use super::facts::Deployment;
use super::report::Report;

/// Who publishes for an alarm.
const CLOUDWATCH: &str = "cloudwatch.amazonaws.com";

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
    // A policy of the topic's own takes the place of SNS's, which lets the account's alarms publish. Where it does not, alarms
    // fire, and only their history says that nobody was told.
    let topic = &deployment.alarm_topic;
    let publishers = &topic.publishers;
    let shown = if publishers.is_empty() { "nobody".to_owned() } else { publishers.join(" ") };
    about.holds(
        "who may publish to their topic",
        shown,
        publishers.iter().any(|who| who == CLOUDWATCH || who == "*"),
        CLOUDWATCH,
        format!("deploy the stack again: it sets the policy of {}", topic.arn),
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
