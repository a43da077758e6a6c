//! A demonstration: traffic, what goes wrong in a pipeline, and the proof that nothing of it loses, doubles or changes an event.
//!
//! All faults are real: a record is put on the stream, a process is killed, and the stream takes nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use accept::LocalRun;
use accept::client::{Call, Client};
use anyhow::{Context, ensure};
use ingest_fn::publish::{EventStream, StreamRecord};
use operate::audit::audit;
use operate::deployment::{Deployment, QueueName};
use operate::redrive::{ID_REUSED, Selection, redrive};
use serde_json::{Value, json};
use shared::config::Config;
use shared::time::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

use crate::measure::Measured;
use crate::send::{Pace, send};
use crate::traffic::Traffic;
use crate::verify::wait::Wait;
use crate::verify::{Sent, verify};

/// Requests a second.
const RATE: f64 = 100.0;
const TENANTS: usize = 20;
const CONSUMER: &str = "consumer-fn";
/// How long it waits while nothing more is stored.
const PATIENCE: Duration = Duration::from_mins(1);
/// Of an event that is sent with two contents.
const REUSED: &str = "order-17";
const TENANT: &str = "demo";

/// A demonstration on a local run of its own.
pub struct Demo<'a, D> {
    pub run: &'a LocalRun,
    pub deployment: &'a D,
    pub config: &'a Config,
    /// How long the traffic takes.
    pub during: Duration,
    /// While this file exists, the stream takes nothing.
    pub stream_away: &'a Path,
    /// Gets paragraphs.
    pub tell: &'a dyn Fn(String),
}

impl<D: Deployment> Demo<'_, D> {
    /// Returns whether everything was stored as it should be.
    pub async fn show(&self) -> anyhow::Result<bool> {
        let since = self.deployment.clock().now();
        let traffic = Arc::new(Traffic::new("demo", 1, TENANTS, Vec::new(), self.config)?);
        let client = Client::new(self.run.url())?;
        self.tell(&format!(
            "Traffic: {RATE} requests a second of {TENANTS} tenants for {} s. Some are sent twice, some are malformed or of a tier that is not allowed.",
            self.during.as_secs()
        ));
        let pace = Pace::Open { rate: RATE, connections: 128 };
        let never = std::future::pending();
        let load = send(client.clone(), Arc::clone(&traffic), pace, self.during, never, |_| ());
        let ((measured, outcomes), faults) = tokio::join!(load, self.faults(&client));
        faults?;
        self.tell(&answers(&measured));

        self.tell(
            "Is everything stored? Each event that was sent is compared with its item and its archive line.",
        );
        let Self { deployment, config, .. } = *self;
        let sent = Sent { deployment, config, traffic: &traffic, outcomes: &outcomes, since, wait: PATIENCE };
        let verified = verify(sent, &|_, _, _| ()).await?;
        self.tell(&verified.to_string());
        let before = self.audit(since).await?;

        self.tell(&format!(
            "The second `{REUSED}` can be stored under an id of its own. That is `tidegate redrive --reason {ID_REUSED} --as-new --apply`:"
        ));
        self.bring_back().await?;
        let after = self.audit(since).await?;
        self.tell("The record that no one can read stays in quarantine, with its bytes, until someone has looked at it.");
        // A machine that is too busy answers 503, and a sender sends again.
        let is_wrong = |name: &String| !name.starts_with("503 ");
        Ok(!measured.unexpected.keys().any(is_wrong) && verified.is_right() && before && after)
    }

    async fn faults(&self, client: &Client) -> anyhow::Result<()> {
        let begun = Instant::now();
        let part = |percent: u32| begun + self.during * percent / 100;
        self.order(client, "3 chairs").await?;

        sleep_until(part(10)).await;
        self.poison().await?;
        sleep_until(part(25)).await;
        self.crashes(part(35)).await;
        sleep_until(part(45)).await;
        self.stream_away(part(65)).await?;
        sleep_until(part(80)).await;
        self.order(client, "4 tables").await?;
        self.tell(&format!(
            "A reused id: a sender sent another order as `{REUSED}`. It is answered 202, since ingest knows no earlier events. The consumer \
             sees that the content differs: the first one stays as it is, the second goes to quarantine.\n\
             See: {}, or `tidegate trace {REUSED} --tenant {TENANT} --data {}`.",
            self.page("Quarantine"),
            self.run.data().display()
        ));
        Ok(())
    }

    async fn order(&self, client: &Client, text: &str) -> anyhow::Result<()> {
        let body = json!({"tenant_id": TENANT, "id": REUSED, "text": text});
        let tier = self.config.tiers.allowed.first().context("no tier is allowed")?;
        let call = Call::json("/ingest", &body).header("X-Customer-Tier", tier.to_string());
        let mut answer = client.send(call.clone()).await?;
        while answer.status == 503 {
            sleep(Duration::from_millis(200)).await;
            answer = client.send(call.clone()).await?;
        }
        ensure!(answer.status == 202, "202 was expected, not {answer}");
        Ok(())
    }

    /// What a producer that does not know Tidegate may do.
    async fn poison(&self) -> anyhow::Result<()> {
        let data = b"\xff\xfe this is no event".to_vec().into();
        let record = StreamRecord { partition_key: "stranger".to_owned(), data };
        self.deployment.stream().put(&[record]).await.context("the stream")?;
        self.tell(&format!(
            "A poison record: another producer put bytes on the stream that are no event. The consumer saves them in quarantine with the \
             reason, and goes on with the records after it.\n\
             See: {}, or `tidegate redrive --data {}`, which lists what failed.",
            self.page("Quarantine"),
            self.run.data().display()
        ));
        Ok(())
    }

    /// Again and again, so that at least one batch is in progress.
    async fn crashes(&self, end: Instant) {
        let mut killed = 0;
        while Instant::now() < end {
            killed += self.run.crash(CONSUMER).map_or(0, |ids| ids.len());
            sleep(Duration::from_millis(30)).await;
        }
        self.tell(&format!(
            "A crash: the consumer was killed (kill -9) {killed} times in a row, as Lambda may lose a sandbox at any moment. Its batch is delivered \
             again. An item is inserted only where none exists, and an archive object is never replaced, so nothing is doubled.\n\
             See: {}.",
            self.page("Consumer: failures")
        ));
    }

    async fn stream_away(&self, end: Instant) -> anyhow::Result<()> {
        std::fs::write(self.stream_away, "").context("the file that takes the stream away")?;
        self.tell(&format!(
            "The stream is away: it refuses every record. Requests are still answered 202, from the spill queue, within half a second.\n\
             See: {}, or {}/health. Do it yourself: `touch {}`.",
            self.page("Spill"),
            self.run.url(),
            self.stream_away.display()
        ));
        sleep_until(end).await;
        let waiting = self.deployment.messages(QueueName::Spill).await?.seen.len();
        std::fs::remove_file(self.stream_away).context("the file that takes the stream away")?;
        self.tell(&format!(
            "The stream is back. {waiting} messages wait in the spill queue; the drain puts their events on the stream."
        ));
        Ok(())
    }

    async fn bring_back(&self) -> anyhow::Result<()> {
        let selection =
            Selection { reasons: vec![ID_REUSED.to_owned()], as_new: true, ..Selection::default() };
        let (report, ended) =
            redrive(self.deployment, self.config, selection, true, 500, &|_, _, _| ()).await;
        ended?;
        self.tell(&report.to_string());
        let since = self.deployment.clock().now();
        Wait::new(self.deployment, since, PATIENCE).until_idle(&|_, _, _| ()).await?;
        Ok(())
    }

    /// Tells and returns whether the account balances.
    async fn audit(&self, since: Timestamp) -> anyhow::Result<bool> {
        let report = audit(self.deployment, self.config, Some(since), None, true, &|_, _, _| ()).await?;
        let json = serde_json::to_value(&report)?;
        let count = |name: &str| {
            let of = |producers: &str| json["total"][producers][name].as_u64().unwrap_or_default();
            of("ingest") + of("foreign_producers")
        };
        let counts = ["stored", "deduplicated", "quarantined", "failed", "in_flight", "missing"]
            .map(|name| format!("{} {}", count(name), name.replace('_', " ")));
        let verdict = if report.is_balanced() { "balanced" } else { "NOT balanced" };
        let mut told = format!(
            "`tidegate audit --deep`: {verdict}. {} admissions: {}.",
            count("admissions"),
            counts.join(", ")
        );
        for finding in json["findings"].as_array().into_iter().flatten().take(10) {
            told += "\n  ";
            told += &without_nulls(finding).to_string();
        }
        self.tell(&told);
        Ok(report.is_balanced())
    }

    fn page(&self, panel: &str) -> String {
        format!("{}/_/ ({panel})", self.run.url())
    }

    fn tell(&self, text: &str) {
        (self.tell)(text.trim_end().to_owned());
    }
}

fn without_nulls(finding: &Value) -> Value {
    let mut finding = finding.clone();
    if let Some(members) = finding.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    finding
}

fn answers(Measured { requests, expected, unexpected, latency_ms, .. }: &Measured) -> String {
    let listed = |counts: &std::collections::BTreeMap<String, u64>| {
        counts.iter().map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join(", ")
    };
    let unexpected = if unexpected.is_empty() {
        "All are the right ones.".to_owned()
    } else {
        format!("NOT expected: {}.", listed(unexpected))
    };
    format!(
        "{requests} requests were answered, half of them within {:.1} ms, 99 % within {:.0} ms. {unexpected}\n{}",
        latency_ms.p50,
        latency_ms.p99,
        listed(expected)
    )
}
