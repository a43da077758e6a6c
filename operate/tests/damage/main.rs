//! The mutation table of `tidegate audit --deep`.
//!
//! The test stores one of everything. Then it damages each stored thing in each way, one at a time, audits, and repairs it. The
//! audit must name the thing or its event. The result is `docs/audit.md`: `UPDATE_AUDIT=1 cargo test -p operate --test damage`
//! writes it again.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod damages;
mod excuses;
mod page;
mod site;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use damages::{Damage, Damaged, Thing};
use operate::deployment::Deployment;
use serde_json::Value;
use shared::time::Timestamp;
use site::Site;

/// Each has a site of its own, and every second damage.
const WORKERS: usize = 2;
/// An audit takes some milliseconds.
const LIMIT: Duration = Duration::from_secs(30);
/// Of the places at which bytes are changed.
const SEED: u64 = 42;

/// What the audits said of all things of one kind with one damage.
#[derive(Debug, Default)]
struct Cell {
    kinds: BTreeSet<String>,
    /// Found without `--deep`, of the first of them.
    plain: Option<bool>,
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
            all.kinds.extend(cell.kinds);
            all.plain = all.plain.or(cell.plain);
            all.unseen.extend(cell.unseen);
        }
    }
    for ((thing, damage), cell) in &cells {
        match (excuses::reason(thing, *damage), cell.unseen.is_empty()) {
            (None, false) => wrong.push(format!("{thing}, {damage}: nothing is found: {:?}", cell.unseen)),
            (Some(reason), true) => wrong.push(format!("{thing}, {damage}: found, although `{reason}`")),
            _ => {}
        }
    }
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
        let damages = damages::all(&site, &mut fastrand::Rng::with_seed(SEED));
        println!("{} damages", damages.len());
        for damaged in damages.iter().skip(worker).step_by(WORKERS) {
            if !damaged.apply(&site) {
                continue;
            }
            let found = found(&deployment, &site, damaged, true, &mut wrong).await;
            let cell = cells.entry((damaged.thing.clone(), damaged.damage)).or_default();
            if found.is_empty() {
                cell.unseen.push(damaged.what.clone());
            } else if cell.plain.is_none() {
                let plain = self::found(&deployment, &site, damaged, false, &mut Vec::new()).await;
                cell.plain = Some(!plain.is_empty());
            }
            cell.kinds.extend(found);
            damaged.repair(&site);
        }
        let report = audit(&deployment, &site, true).await.unwrap();
        assert_eq!(report["findings"], serde_json::json!([]), "repaired");
        (cells, wrong)
    })
}

async fn audit(deployment: &impl Deployment, site: &Site, deep: bool) -> anyhow::Result<Value> {
    let from = Some(Timestamp::from_unix_ms(0));
    let report = operate::audit::audit(deployment, &site.config, from, None, deep, &|_, _, _| ()).await?;
    Ok(serde_json::to_value(&report).unwrap())
}

/// The kinds of the findings, of which one must name the thing or its event.
async fn found(
    deployment: &impl Deployment,
    site: &Site,
    damaged: &Damaged,
    deep: bool,
    wrong: &mut Vec<String>,
) -> BTreeSet<String> {
    let audited = tokio::time::timeout(LIMIT, audit(deployment, site, deep)).await;
    let report = match audited.unwrap_or_else(|_| panic!("no end: {}, {}", damaged.thing, damaged.what)) {
        Ok(report) => report,
        Err(error) => {
            let error = format!("{error:#}");
            if !damaged.names.iter().any(|name| error.contains(name.trim_matches('"'))) {
                wrong.push(format!(
                    "{}, {}: {} is not named: {error}",
                    damaged.thing, damaged.damage, damaged.what
                ));
            }
            return BTreeSet::from(["error".to_owned()]);
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
    findings.iter().map(|finding| finding["kind"].as_str().unwrap().to_owned()).collect()
}
