//! The alarms: all there, told to somebody, and quiet.

use super::facts::Deployment;
use super::report::Report;

pub(super) fn check(deployment: &Deployment, report: &mut Report) {
    let alarms = &deployment.alarms;
    let mut about = report.about("alarms");
    about.holds("alarms of the stack", alarms.len(), !alarms.is_empty(), "some", "deploy the stack again");
    for (name, alarm) in alarms {
        let mut about = report.about(format!("alarm {name}"));
        match alarm {
            None => about.holds(
                "it",
                "not there",
                false,
                "there",
                "deploy the stack again; it may take a change to it",
            ),
            Some(alarm) => {
                about.holds("state", &alarm.state, alarm.state != "ALARM", "not ALARM", &*alarm.description);
                about.is_on(
                    "actions",
                    alarm.has_actions,
                    format!("aws cloudwatch enable-alarm-actions --alarm-names {name}, and see that it has an action"),
                );
            }
        }
    }
}
