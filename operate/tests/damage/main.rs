//! The mutation table of `tidegate audit --deep`.
//!
//! The test stores one of everything. Then it damages each stored thing in each way, one at a time, audits, and repairs it. The
//! audit must name the thing or its event. The result is `docs/audit.md`: `UPDATE_AUDIT=1 cargo test -p operate --test damage`
//! writes it again.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod damages;
mod excuses;
mod page;
#[path = "../site/shard.rs"]
mod shard;
mod site;
mod store;

use std::collections::BTreeMap;
use std::time::Duration;

use damages::{Damage, Damaged, SEED, Thing};
use operate::deployment::Deployment;
use serde_json::Value;
use shared::time::Timestamp;
use site::Site;

/// Each has a site of its own, and every second damage.
const WORKERS: usize = 2;
/// An audit takes some milliseconds.
const LIMIT: Duration = Duration::from_secs(30);

/// What the audits said of all things of one kind with one damage.
#[derive(Debug, Default)]
struct Cell {
    /// How many damages.
    damages: usize,
    /// How many of them are found without `--deep`.
    plain: usize,
    /// Damages without a finding.
    unseen: Vec<String>,
}

/// By the kind of thing and the damage.
type Cells = BTreeMap<(Thing, Damage), Cell>;

#[test]
fn every_damage_to_every_stored_thing_is_found_or_has_a_reason() {
    let workers: Vec<_> = (0..WORKERS).map(|worker| std::thread::spawn(move || run(worker))).collect();
    let (mut cells, mut wrong) = (Cells::new(), Vec::new());
    for worker in workers {
        let (of_worker, wrong_ones) = worker.join().unwrap();
        wrong.extend(wrong_ones);
        for (key, cell) in of_worker {
            let all = cells.entry(key).or_default();
            all.damages += cell.damages;
            all.plain += cell.plain;
            all.unseen.extend(cell.unseen);
        }
    }
    let mut excuses = excuses::all();
    for ((thing, damage), cell) in cells.iter().filter(|(_, cell)| !cell.unseen.is_empty()) {
        match excuses::reason(thing, *damage) {
            None => wrong.push(format!("{thing}, {damage}: nothing is found: {:?}", cell.unseen)),
            Some(reason) => excuses.retain(|other| *other != reason),
        }
    }
    wrong.extend(excuses.iter().map(|reason| format!("no damage needs this reason any more: {reason}")));
    assert!(wrong.is_empty(), "seed {SEED}, {} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    page::check(&cells);
}

fn run(worker: usize) -> (Cells, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let site = Site::new().await;
        let deployment = site.deployment().await;
        let report = audit(&deployment, &site, true).await.unwrap();
        assert_eq!(report["findings"], serde_json::json!([]), "{report:#}");
        let (mut cells, mut wrong) = (Cells::new(), Vec::new());
        let damages = damages::all(&site);
        println!("{} damages", damages.len());
        for damaged in damages.iter().skip(worker).step_by(WORKERS) {
            if !damaged.apply(&site) {
                continue;
            }
            let found = found(&deployment, &site, damaged, true, &mut wrong).await;
            let cell = cells.entry((damaged.thing.clone(), damaged.damage)).or_default();
            cell.damages += 1;
            if found {
                let plain = self::found(&deployment, &site, damaged, false, &mut Vec::new()).await;
                cell.plain += usize::from(plain);
            } else {
                cell.unseen.push(damaged.what.clone());
            }
            damaged.repair(&site);
        }
        let report = audit(&deployment, &site, true).await.unwrap();
        assert_eq!(report["findings"], serde_json::json!([]), "repaired");
        (cells, wrong)
    })
}

async fn audit(deployment: &impl Deployment, site: &Site, deep: bool) -> anyhow::Result<Value> {
    let span = [0, site::NOW + 1_000].map(|at| Some(Timestamp::from_unix_ms(at)));
    let report =
        operate::audit::audit(deployment, &site.config, span[0], span[1], deep, &|_, _, _| ()).await?;
    Ok(serde_json::to_value(&report).unwrap())
}

/// Whether there are findings. One must name the thing or its event.
async fn found(
    deployment: &impl Deployment,
    site: &Site,
    damaged: &Damaged,
    deep: bool,
    wrong: &mut Vec<String>,
) -> bool {
    let audited = tokio::time::timeout(LIMIT, audit(deployment, site, deep)).await;
    let report = match audited.unwrap_or_else(|_| panic!("no end: {}, {}", damaged.thing, damaged.what)) {
        Ok(report) => report,
        // It must go on whatever it finds.
        Err(error) => {
            wrong.push(format!("{}, {}: {}: {error:#}", damaged.thing, damaged.damage, damaged.what));
            return true;
        }
    };
    let findings = report["findings"].as_array().unwrap();
    let names = |finding: &Value| {
        let text = finding.to_string();
        damaged.names.iter().any(|name| text.contains(name.as_str()))
    };
    if !findings.is_empty() && !findings.iter().any(names) {
        wrong.push(format!(
            "{}, {}: {} is not named in {findings:?}",
            damaged.thing, damaged.damage, damaged.what
        ));
    }
    !findings.is_empty()
}
