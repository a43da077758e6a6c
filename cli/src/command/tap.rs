//! `tidegate tap`: a line for each event, at each stage, from now on. A local run tells what it answers. Of a stack, what is accepted is
//! seen on its stream, and what is refused is not seen.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use local::adapters::Plain;
use operate::amount;
use operate::deployment::Deployment;
use operate::tail::{Tail, TailRequest};
use serde_json::{Value, json};
#[cfg(feature = "aws")]
use shared::format::facts::Facts;
use shared::id::TenantId;
use shared::time::{Clock, Timestamp};
use tokio::time::{Instant, sleep};

use crate::http::LocalRun;
use crate::open::{DeploymentOptions, with_deployment};
use crate::terminal::{Stop, lines_on_stdout, note, stdout_is_closed};

/// After a local run took its last request, it stores for so long at most, unless work is simulated.
const LONGEST_DRAIN: Duration = Duration::from_secs(30);
/// Between two looks for stored events.
const BETWEEN: Duration = Duration::from_millis(250);
/// The same of a stack. A look costs a call and a query for each shard.
#[cfg(feature = "aws")]
const LOOK: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(crate) struct TapOptions {
    #[command(flatten)]
    deployment: DeploymentOptions,
    /// Only this tenant's events
    ///
    /// A request that is refused whole is its tenant's if path or header name it.
    #[arg(long, value_name = "TENANT", value_parser = TenantId::parse)]
    tenant: Option<TenantId>,
    /// Only this stage; repeatable
    #[arg(long, value_name = "STAGE")]
    stage: Vec<Stage>,
    /// Print a JSON object for each event
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// Answered 202
    Accepted,
    /// Answered with an error
    Refused,
    /// In the archive, and so an item
    Stored,
}

/// Until a signal, or the end of the local run.
pub(crate) async fn run(options: TapOptions) -> anyhow::Result<()> {
    let shown =
        Shown { tenant: options.tenant.clone(), stages: options.stage.clone(), is_json: options.json };
    let mut stop = Stop::new()?;
    let events = async {
        #[cfg(feature = "aws")]
        if options.deployment.is_stack() {
            let opened = options.deployment.open(&Plain).await?;
            return with_deployment!(opened, stack => Box::pin(shown.of_stack(stack)).await);
        }
        let run = LocalRun::of(options.deployment.folder())?;
        let answers = run.tap().await?;
        let opened = options.deployment.open(&Plain).await?;
        let answers = async {
            shown.answers(answers).await?;
            drained(options.deployment.folder(), run.url()).await;
            note("The local run ended.");
            Ok(())
        };
        with_deployment!(opened, folder => tokio::select! {
            ended = answers => ended,
            ended = shown.stored(folder, BETWEEN) => ended,
        })
    };
    tokio::select! {
        ended = events => ended,
        () = stop.received() => Ok(()),
        () = stdout_is_closed() => Ok(()),
    }
}

/// Waits until the local run that was at `url` has stored what it accepted, and what it stored last is printed.
async fn drained(folder: &Path, url: &str) {
    let is_there = || local::data::address(folder).is_ok_and(|noted| noted == url);
    // One that was killed leaves its address.
    let until = Instant::now() + LONGEST_DRAIN;
    while is_there() && Instant::now() < until {
        sleep(BETWEEN).await;
    }
    sleep(2 * BETWEEN).await;
}

/// Which events are shown, and how.
struct Shown {
    tenant: Option<TenantId>,
    /// Empty: all.
    stages: Vec<Stage>,
    is_json: bool,
}

impl Shown {
    fn shows(&self, stage: Stage) -> bool {
        self.stages.is_empty() || self.stages.contains(&stage)
    }

    /// Prints what is stored. It does not end by itself.
    async fn stored(&self, deployment: &impl Deployment, between: Duration) -> anyhow::Result<()> {
        if self.shows(Stage::Stored) {
            let request = TailRequest { tenant: self.tenant.clone(), lines: 0, follow: Some(between) };
            let stored = Stored { shown: self, line: Vec::new() };
            let on_note = |text| note(text);
            Tail::new(deployment, request, stored, &on_note).run().await?;
        }
        std::future::pending().await
    }

    /// Prints what arrives on a stack's stream, and what is stored. It does not end by itself.
    #[cfg(feature = "aws")]
    async fn of_stack(&self, stack: &impl Deployment) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.stages != [Stage::Refused],
            "what a stack refuses is not seen from outside; `tidegate status --stack` counts it"
        );
        let arriving = async {
            if !self.shows(Stage::Accepted) {
                return std::future::pending().await;
            }
            let config = shared::config::Config::default();
            let mut arrivals = operate::tail::Arrivals::from_now(stack, &config).await?;
            loop {
                let mut events = Vec::new();
                let accepted = |facts: &Facts, at| {
                    let event =
                        json!({ "stage": "accepted", "tenant": facts.tenant, "id": facts.id, "at": at });
                    events.push(event);
                };
                arrivals.look(accepted).await?;
                events.iter().try_for_each(|event| self.print(event))?;
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            ended = arriving => ended,
            ended = self.stored(stack, LOOK) => ended,
        }
    }

    /// Prints what ingest answers, until the local run takes no more requests.
    async fn answers(&self, mut body: Incoming) -> anyhow::Result<()> {
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            // One that is killed breaks it off.
            let Ok(frame) = frame else { break };
            let Ok(bytes) = frame.into_data() else { continue };
            rest.extend_from_slice(&bytes);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = rest.drain(..=end).collect();
                self.print(&serde_json::from_slice(&line)?)?;
            }
        }
        Ok(())
    }

    fn print(&self, event: &Value) -> io::Result<()> {
        match self.line(event) {
            Some(line) => {
                let mut out = lines_on_stdout();
                writeln!(out, "{line}")?;
                out.flush()
            }
            None => Ok(()),
        }
    }

    /// `None` if it is not shown.
    fn line(&self, event: &Value) -> Option<String> {
        let text = |name: &str| event[name].as_str();
        if let Some(missed) = event["missed"].as_u64() {
            return Some(format!("{missed} events were too fast to be shown"));
        }
        let stage = text("stage")?;
        let is_wanted =
            |wanted: &Stage| wanted.to_possible_value().is_some_and(|value| value.get_name() == stage);
        if !self.stages.is_empty() && !self.stages.iter().any(is_wanted) {
            return None;
        }
        if self.tenant.as_ref().is_some_and(|tenant| text("tenant") != Some(tenant.as_str())) {
            return None;
        }
        if self.is_json {
            return Some(event.to_string());
        }
        // 2026-11-21T09:30:00.123Z
        let time = text("at").and_then(|at| at.get(11..23)).unwrap_or_default();
        let (tenant, id) = (text("tenant").unwrap_or("–"), text("id").unwrap_or("–"));
        let more = match (text("code"), event["after_ms"].as_u64()) {
            (Some(code), _) => format!("  {code}"),
            (None, Some(ms)) => format!("  after {}", amount::time(Duration::from_millis(ms))),
            _ => String::new(),
        };
        Some(format!("{time}  {stage:<8}  {tenant:<16}  {id}{more}"))
    }
}

/// Takes archive lines, and prints which events they are.
struct Stored<'a> {
    shown: &'a Shown,
    /// Of which no end has come.
    line: Vec<u8>,
}

impl Write for Stored<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.shown.print(&stored(&line, Clock::system().now())?)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stored(line: &[u8], now: Timestamp) -> io::Result<Value> {
    let line: Value = serde_json::from_slice(line)?;
    let received = line["received_at"].as_str().and_then(Timestamp::first_at);
    let after = received.map(|received| now.since(received).as_millis());
    Ok(json!({
        "stage": "stored", "tenant": line["tenant"], "id": line["id"], "at": now,
        "after_ms": after.and_then(|ms| u64::try_from(ms).ok()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tenant: Option<&str>, stages: &[Stage]) -> Shown {
        let tenant = tenant.map(|tenant| TenantId::parse(tenant).unwrap());
        Shown { tenant, stages: stages.to_vec(), is_json: false }
    }

    #[test]
    fn each_event_is_a_line_with_stage_tenant_and_id() {
        let at = "2026-11-21T09:30:00.123Z";
        let accepted =
            json!({"stage": "accepted", "tenant": "acme", "id": "order-17", "code": null, "at": at});
        let refused =
            json!({"stage": "refused", "tenant": null, "id": null, "code": "malformed_json", "at": at});
        let now = Timestamp::first_at(at).unwrap();
        let line =
            br#"{"v":1,"id":"order-17","tenant":"acme","received_at":"2026-11-21T09:29:58.000Z","text":"x"}"#;
        let events = [accepted, refused, stored(line, now).unwrap(), json!({"missed": 7})];
        let lines: Vec<_> = events.iter().filter_map(|event| shown(None, &[]).line(event)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        09:30:00.123  accepted  acme              order-17
        09:30:00.123  refused   –                 –  malformed_json
        09:30:00.123  stored    acme              order-17  after 2.1 s
        7 events were too fast to be shown
        ");
        let of = |shown: Shown| events.iter().filter_map(|event| shown.line(event)).count();
        // What was missed may have been any of them.
        assert_eq!(of(shown(Some("acme"), &[])), 3);
        assert_eq!(of(shown(None, &[Stage::Refused, Stage::Stored])), 3);
        assert_eq!(of(shown(Some("beta"), &[Stage::Stored])), 1);
    }
}
