//! Erasing a tenant among a hundred, and one event, from a data folder with something of them in each store. It dies before and
//! after each of its effects, and runs again.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod folder;
#[path = "../site/shard.rs"]
mod shard;
mod struck;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use folder::{ERASED, Site, TENANTS};
use operate::deployment::{Deployment, ManifestPart};
use operate::erase::{EraseReport, Wanted, erase};
use operate::redrive::{FailureSource, Selection, redrive};
use serde_json::Value;
use shared::archive::{each_line_of_first, members_of};
use shared::config::Config;
use shared::format::archive_line::Identity;
use shared::id::{EventId, TenantId};
use struck::{Strike, Struck};

fn wanted(event: Option<&str>) -> Wanted {
    Wanted { tenant: TenantId::parse(ERASED).unwrap(), event: event.map(|id| EventId::parse(id).unwrap()) }
}

async fn open(folder: &Path, strike: Strike) -> Struck<impl operate::erase::Erasable> {
    let inner = local::deployment::open(folder, &local::adapters::Plain).await.unwrap();
    Struck::new(inner, strike)
}

async fn run(
    folder: &Path,
    config: &Config,
    event: Option<&str>,
    apply: bool,
    strike: Strike,
) -> (EraseReport, anyhow::Result<()>, usize) {
    let deployment = open(folder, strike).await;
    let (report, ended) = erase(&deployment, config, &wanted(event), apply, &|_, _, _| ()).await;
    (report, ended, deployment.effects())
}

async fn audit(folder: &Path, config: &Config, deep: bool) -> Value {
    let deployment = open(folder, Strike::Never).await;
    let report = operate::audit::audit(&deployment, config, None, None, deep, &|_, _, _| ()).await.unwrap();
    serde_json::to_value(report).unwrap()
}

/// Every archive line as the manifest's ranges lead to it, with its place: object, offset of its member, tenant and id.
async fn lines(folder: &Path) -> BTreeMap<(String, usize, String, String), Vec<u8>> {
    let deployment = open(folder, Strike::Never).await;
    let mut lines = BTreeMap::new();
    for shard in deployment.shards().await.unwrap() {
        for row in deployment.manifest(&shard, ManifestPart::After(None)).await.unwrap() {
            let (ranges, _) = shared::archive::ranges_of(deployment.objects(), &row).await.unwrap();
            for range in ranges {
                let read = members_of(deployment.objects(), &row, &range.tenant).await.unwrap();
                for member in read.members.unwrap() {
                    let read = each_line_of_first(&member, |line: Identity, bytes| {
                        assert_eq!(line.tenant, range.tenant);
                        let place =
                            (row.key.clone(), range.offset, line.tenant.to_string(), line.id.to_string());
                        lines.insert(place, bytes.to_vec());
                    });
                    read.unwrap();
                }
            }
        }
    }
    lines
}

/// What the erasure must leave, and what it must not.
struct Expected {
    lines: BTreeMap<(String, usize, String, String), Vec<u8>>,
    rest: Vec<String>,
    audit: Value,
    event: Option<&'static str>,
}

impl Expected {
    async fn of(site: &Site, event: Option<&'static str>) -> Self {
        let audit = audit(site.path(), &site.config, true).await;
        assert_eq!(audit["findings"], serde_json::json!([]), "{audit:#}");
        let mut lines = lines(site.path()).await;
        lines.retain(|(_, _, tenant, id), _| !is_erased(event, tenant, id));
        Self { lines, rest: folder::others(site.path(), event), audit, event }
    }

    /// What holds at each moment: the others' lines are where the manifest says, to the byte.
    async fn check_others(&self, folder: &Path) {
        let mut now = lines(folder).await;
        now.retain(|(_, _, tenant, id), _| !is_erased(self.event, tenant, id));
        assert!(now == self.lines, "the lines of others are not what they were");
    }

    async fn check(&self, folder: &Path, config: &Config, deep: bool) {
        self.check_others(folder).await;
        assert!(
            folder::others(folder, self.event) == self.rest,
            "what is stored of others is not what it was"
        );
        let all = lines(folder).await;
        assert_eq!(all.len(), self.lines.len(), "and no other line is left");
        let report = audit(folder, config, deep).await;
        assert_eq!(report["findings"], serde_json::json!([]), "{report:#}");
        for (tenant, tally) in self.audit["tenants"].as_object().unwrap() {
            let now = &report["tenants"][tenant];
            if tenant == ERASED {
                assert!(now["ingest"]["erased"].as_u64().unwrap() > 0, "{now:#}");
            } else {
                assert_eq!(now, tally, "{tenant}");
            }
        }
    }
}

fn is_erased(event: Option<&str>, tenant: &str, id: &str) -> bool {
    tenant == ERASED && event.is_none_or(|event| event == id)
}

/// It dies at each effect, before it and after it; the second run ends.
async fn at_every_step(event: Option<&'static str>) {
    let site = Site::new().await;
    let expected = Expected::of(&site, event).await;
    let copy = site.copy();
    let (shown, ended, effects) = run(copy.path(), &site.config, event, false, Strike::Never).await;
    ended.unwrap();
    assert_eq!(effects, 0, "a dry run changes nothing");
    expected.check_others(copy.path()).await;
    let (done, ended, effects) = run(copy.path(), &site.config, event, true, Strike::Never).await;
    ended.unwrap();
    assert!(done.is_complete(), "{done}");
    let counts = |report: &EraseReport, of: &str| serde_json::to_value(report).unwrap()[of].clone();
    assert_eq!(counts(&done, "found"), counts(&shown, "found"));
    assert_eq!(counts(&done, "removed"), counts(&shown, "found"), "{done}");
    assert!(effects > 10, "{effects} effects");
    expected.check(copy.path(), &site.config, true).await;
    // Before an effect is after the one before it.
    let strikes = std::iter::once(Strike::Before(0)).chain((0..effects).map(Strike::After));
    for (number, strike) in strikes.enumerate() {
        let copy = site.copy();
        let (_, ended, _) = run(copy.path(), &site.config, event, true, strike).await;
        assert!(ended.is_err(), "{strike:?} of {effects}");
        expected.check_others(copy.path()).await;
        let (report, ended, _) = run(copy.path(), &site.config, event, true, Strike::Never).await;
        ended.unwrap();
        assert!(report.is_complete(), "{strike:?}: {report}");
        expected.check(copy.path(), &site.config, number % 4 == 0).await;
        folder::forget_stream(copy.path());
        assert_eq!(folder::traces(copy.path(), event), Vec::<String>::new(), "{strike:?}");
    }
}

#[tokio::test]
async fn an_erasure_of_a_tenant_that_dies_anywhere_is_finished_by_the_next() {
    at_every_step(None).await;
}

#[tokio::test]
async fn an_erasure_of_an_event_that_dies_anywhere_is_finished_by_the_next() {
    at_every_step(Some("a")).await;
}

#[tokio::test]
async fn what_was_erased_can_be_found_before_and_is_of_a_hundred_tenants() {
    let site = Site::new().await;
    assert!(folder::traces(site.path(), None).len() > 8, "{:?}", folder::traces(site.path(), None));
    let tenants: std::collections::BTreeSet<_> =
        lines(site.path()).await.into_keys().map(|(_, _, tenant, _)| tenant).collect();
    assert_eq!(tenants.len(), TENANTS);
}

#[tokio::test]
async fn a_redrive_does_not_bring_back_what_was_erased_unless_its_note_is_deleted() {
    let site = Site::new().await;
    let redriven = async |folder: &Path| {
        let deployment = open(folder, Strike::Never).await;
        let sources = vec![
            FailureSource::Stream,
            FailureSource::Quarantine,
            FailureSource::FailureDestination,
            FailureSource::DeadLetters,
        ];
        let tenant = Some(TenantId::parse(ERASED).unwrap());
        let selection = Selection { sources, tenant, ..Selection::default() };
        let (report, ended) = redrive(&deployment, &site.config, selection, false, 500, &|_, _, _| ()).await;
        ended.unwrap();
        report.to_string()
    };
    let copy = site.copy();
    run(copy.path(), &site.config, None, true, Strike::Never).await.1.unwrap();
    let report = redriven(copy.path()).await;
    assert!(
        report.contains("--apply would redrive nothing") || report.contains("No failed events"),
        "{report}"
    );
    assert!(report.contains("left: it was erased"), "{report}");
    std::fs::remove_dir_all(folder::bucket(copy.path()).join("erased")).unwrap();
    let report = redriven(copy.path()).await;
    assert!(report.contains("to be redriven"), "{report}");
}

#[tokio::test]
async fn nothing_is_deleted_while_an_earlier_attempt_may_be_alive() {
    let site = Site::new().await;
    let expected = Expected::of(&site, None).await;
    let inner = local::deployment::open(site.path(), &local::adapters::Plain).await.unwrap();
    let mut deployment = Struck::new(inner, Strike::Never);
    deployment.settle = Some(Duration::from_mins(15));
    let wanted = wanted(None);
    let erased = async |deployment: &Struck<_>| {
        let (report, ended) = erase(deployment, &site.config, &wanted, true, &|_, _, _| ()).await;
        ended.unwrap();
        report
    };
    for minutes in [0, 14] {
        deployment.minutes(minutes);
        let report = erased(&deployment).await;
        assert!(report.again_at().is_some() && !report.is_complete(), "{report}");
        assert_eq!(deployment.effects(), 1, "its note");
    }
    assert!(lines(site.path()).await.keys().any(|(_, _, tenant, _)| tenant == ERASED));
    deployment.minutes(15);
    let report = erased(&deployment).await;
    assert!(report.again_at().is_none(), "{report}");
    // Claim checks that were written since it began are left to the next one.
    expected.check(site.path(), &site.config, true).await;
}

#[tokio::test]
async fn what_is_not_processed_yet_is_told_and_left() {
    let mut site = Site::new().await;
    site.put_pending().await;
    let (report, ended, _) = run(site.path(), &site.config, None, true, Strike::Never).await;
    ended.unwrap();
    assert!(!report.is_complete());
    assert!(report.to_string().contains("1  on the stream, and not processed yet"), "{report}");
    site.consume().await;
    let (report, ended, _) = run(site.path(), &site.config, None, true, Strike::Never).await;
    ended.unwrap();
    assert!(report.is_complete(), "{report}");
    let audit = audit(site.path(), &site.config, true).await;
    assert_eq!(audit["findings"], serde_json::json!([]), "{audit:#}");
}
