//! How long an event takes from the request to the archive, by what is stored.

use std::time::Duration;

use anyhow::Context;
use operate::trace::{Wanted, trace};
use serde_json::Value;
use shared::config::Archive;
use shared::id::EventId;
use tokio::time::Instant;

use super::report::{Check, Finding};
use super::site::Site;

pub(super) const FRESHNESS: Check = Check {
    name: "freshness",
    answers: "how long an event takes until it is an item and an archive line",
    does: "sends 5 events, one after the other, and reads them; under a minute",
};

const EVENTS: usize = 5;
/// With the default window.
const PROMISE: Duration = Duration::from_secs(5);
/// What looking costs: the event may have been stored since the look before.
const BETWEEN: Duration = Duration::from_millis(500);

pub(super) async fn freshness(site: &Site) -> anyhow::Result<Vec<Finding>> {
    let most = PROMISE + site.config.archive.window().saturating_sub(Archive::default().window());
    let mut findings = Vec::new();
    // The first may start sandboxes. It is not measured.
    for number in 0..=EVENTS {
        let headers = [("content-type", "text/plain")];
        let answer = site.post(&format!("fresh-{number}"), &headers, b"an event of verify".to_vec()).await?;
        let id = answer.event_id()?;
        let since = Instant::now();
        let stored = site.wait(Duration::from_mins(2), BETWEEN, async || is_stored(site, &id).await).await?;
        if number > 0 {
            findings.push(judge(number, most, stored.map(|()| since.elapsed())));
        }
    }
    Ok(findings)
}

/// Whether the event has its item and its archive line. First the item by its key: a shard serves few reads a second.
async fn is_stored(site: &Site, id: &str) -> anyhow::Result<Option<()>> {
    use operate::deployment::Deployment;
    let event = EventId::parse(id).context("the id of the answer")?;
    if site.deployment.attributes(&site.tenant, &event).await?.is_none() {
        return Ok(None);
    }
    let wanted = Wanted { id: id.to_owned(), tenant: Some(site.tenant.clone()), from: None };
    let traced = trace(&site.deployment, &site.config, &wanted, &|_, _, _| {}).await?;
    Ok(is_archived(&serde_json::to_value(&traced)?).then_some(()))
}

/// The names are those of `tidegate trace --json`.
fn is_archived(traced: &Value) -> bool {
    let event = &traced["events"][0];
    event["item"].is_object() && event["line"].is_object() && event["object"]["written"].is_string()
}

fn judge(number: usize, most: Duration, took: Option<Duration>) -> Finding {
    let expected = format!("at most {} s after the answer", most.as_secs_f64());
    let what = format!("event {number}");
    match took {
        Some(took) => {
            let seen = format!("{:.1} s, seen every {} ms", took.as_secs_f64(), BETWEEN.as_millis());
            FRESHNESS.finding(&what, expected, seen, took <= most + BETWEEN)
        }
        None => FRESHNESS.finding(&what, expected, "it was not stored within the limit", false),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn an_event_is_fresh_within_the_promise_and_one_look() {
        let verdict = |took| judge(1, PROMISE, took).verdict;
        assert_eq!(verdict(Some(Duration::from_millis(5_500))), Verdict::AsDocumented);
        assert_eq!(verdict(Some(Duration::from_millis(5_501))), Verdict::Differs);
        assert_eq!(verdict(None), Verdict::Differs);
    }

    #[test]
    fn an_event_is_stored_when_it_has_item_line_and_object() {
        let whole = json!({"item": {}, "line": {}, "object": {"written": "2026-11-28T00:00:00Z"}});
        let traced = |event: &Value| json!({"events": [event]});
        assert!(is_archived(&traced(&whole)));
        for part in ["item", "line", "object"] {
            let mut event = whole.clone();
            event[part] = Value::Null;
            assert!(!is_archived(&traced(&event)), "{part}");
        }
    }
}
