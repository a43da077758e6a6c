//! The operator: redrive, audit and replay while everything else goes on, and at the end.

use std::collections::BTreeSet;
use std::time::Duration;

use operate::audit::{AuditReport, audit};
use operate::redrive::{FailureSource, ID_REUSED, Selection, redrive};
use operate::replay::{ReplayRequest, to_stdout};
use serde_json::Value;
use shared::config::Config;
use shared::time::Timestamp;
use tokio::time::{sleep, timeout};

use crate::deployment::SimDeployment;
use crate::erase::erase;
use crate::host::Site;
use crate::scenario::{Erasure, Operation};
use crate::stores::DROPPED;
use crate::world::{Caller, Process, World};

/// The operator gives up after that.
const PATIENCE: Duration = Duration::from_mins(5);

fn silent(_: &str, _: u64, _: Option<u64>) {}

/// The operations of the scenario. Any of them may fail or die.
pub(crate) async fn operations(site: &Site, world: &World) {
    let one = |(at, operation): (Duration, Operation)| async move {
        sleep(at).await;
        let config = site.config();
        let deployment = SimDeployment::new(world);
        let process = deployment.process().clone();
        let run = async {
            match operation {
                Operation::Redrive => redrive_once(&deployment, &config, Selection::default()).await,
                Operation::RedriveStream => redrive_once(&deployment, &config, dropped()).await,
                Operation::RedriveDispatch => redrive_once(&deployment, &config, of_dispatch()).await,
                Operation::RedriveAsNew => {
                    let reasons = vec![ID_REUSED.to_owned()];
                    let selection = Selection { reasons, as_new: true, ..Selection::default() };
                    redrive_once(&deployment, &config, selection).await
                }
                Operation::Audit => audit_once(world, &deployment, &config).await,
                Operation::Replay => replay_once(world, &deployment).await,
            }
        };
        world.note(format_args!("{operation:?} begins"));
        let ended = tokio::select! {
            biased;
            () = process.died() => None,
            ended = timeout(PATIENCE, run) => ended.ok(),
        };
        process.kill();
        match &ended {
            Some(Ok(())) => world.note(format_args!("{operation:?} is done")),
            Some(Err(error)) => world.note(format_args!("{operation:?} failed: {error:#}")),
            None => world.note(format_args!("{operation:?} died")),
        }
        world.count(match (operation, &ended) {
            (Operation::RedriveAsNew, Some(Ok(()))) => "redrives under new ids",
            (Operation::Redrive, Some(Ok(()))) => "redrives beside",
            (Operation::RedriveStream, Some(Ok(()))) => "redrives from the stream",
            (Operation::RedriveDispatch, Some(Ok(()))) => "redrives of dispatch",
            (Operation::Audit, Some(Ok(()))) => "audits beside",
            (Operation::Replay, Some(Ok(()))) => "replays beside",
            (_, Some(Err(_))) => "operations that failed",
            (_, None) => "operations that died",
        });
    };
    futures::future::join_all(world.scenario().operations.iter().copied().map(one)).await;
}

/// Of what is stored nowhere.
pub(crate) fn dropped() -> Selection {
    Selection { sources: vec![FailureSource::Stream], ..Selection::default() }
}

fn of_dispatch() -> Selection {
    Selection { sources: vec![FailureSource::Dispatch], ..Selection::default() }
}

async fn redrive_once(
    deployment: &SimDeployment,
    config: &Config,
    selection: Selection,
) -> anyhow::Result<()> {
    redrive(deployment, config, selection, true, 500, &silent).await.1
}

/// The erasures of the scenario. Any of them may fail or die.
pub(crate) async fn erasures(world: &World) {
    let one = |(at, erasure): (Duration, Erasure)| async move {
        sleep(at).await;
        world.note(format_args!("an erasure begins: {erasure:?}"));
        let process = Process::new(world, Caller::Operator);
        let ended = tokio::select! {
            biased;
            () = process.died() => None,
            ended = timeout(PATIENCE, erase(&process, erasure)) => ended.ok(),
        };
        process.kill();
        world.count(if matches!(ended, Some(Ok(()))) { "erasures" } else { "erasures that failed" });
    };
    futures::future::join_all(world.scenario().erasures.iter().copied().map(one)).await;
}

/// Nothing else was damaged, so the audit must not say so, whatever is in progress.
async fn audit_once(world: &World, deployment: &SimDeployment, config: &Config) -> anyhow::Result<()> {
    let report = audit(deployment, config, None, None, false, &silent).await?;
    let unexplained = world.state().data.erased.unexplained(&serde_json::to_value(&report)?);
    // What was dropped is missing until it is redriven from the stream.
    let is_dropped = world.coverage().contains_key(DROPPED);
    if !unexplained.is_empty() && !is_dropped {
        world.violation(format_args!("an audit beside has false findings: {unexplained:?} in {report}"));
    }
    Ok(())
}

/// No event is replayed twice, unless something of it was deleted.
async fn replay_once(world: &World, deployment: &SimDeployment) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    let replayed = to_stdout(deployment, &ReplayRequest::default(), &mut lines).await?;
    let names: Vec<(String, String)> = lines
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .map(|line| [&line["tenant"], &line["id"]].map(|name| name.as_str().unwrap_or_default().to_owned()))
        .map(|[tenant, id]| (tenant, id))
        .filter(|name| world.state().data.erased.find(name).is_none())
        .collect();
    let different: BTreeSet<_> = names.iter().collect();
    if different.len() != names.len() {
        world.violation(format_args!("a replay has events twice: {names:?}"));
    }
    let has_rewritten = !world.state().data.erased.objects.is_empty();
    if !has_rewritten && (replayed.absent.lost() > 0 || !replayed.left_out.is_empty()) {
        world.violation(format_args!("a replay left something out: {replayed:?}"));
    }
    Ok(())
}

/// Redrives what failed. Nothing fails any more.
pub(crate) async fn last_redrive(site: &Site, world: &World, selection: Selection) {
    let deployment = SimDeployment::new(world);
    world.count("redrives at the end");
    let ended = timeout(PATIENCE, redrive_once(&deployment, &site.config(), selection)).await;
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => world.violation(format_args!("the last redrive failed: {error:#}")),
        Err(_) => world.violation(format_args!("the last redrive took longer than {PATIENCE:?}")),
    }
}

/// Audits everything.
pub(crate) async fn last_audit(site: &Site, world: &World) -> anyhow::Result<AuditReport> {
    let deployment = SimDeployment::new(world);
    let (from, to) = (Timestamp::default(), Timestamp::from_unix_ms(i64::MAX));
    audit(&deployment, &site.config(), Some(from), Some(to), false, &silent).await
}
