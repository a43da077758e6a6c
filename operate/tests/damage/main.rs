//! The mutation table of `tidegate audit --deep`.
//!
//! The test stores one of everything. Then it damages each stored thing in each way, one at a time, audits, and repairs it. The
//! audit must name the thing or its event. The result is `docs/audit.md`: `UPDATE_AUDIT=1 cargo test -p operate --test damage`
//! writes it again.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod site;

use site::Site;

#[tokio::test]
async fn a_site_with_one_of_everything_balances() {
    let site = Site::new().await;
    let deployment = site.deployment().await;
    let start = std::time::Instant::now();
    let report = operate::audit::audit(
        &deployment,
        &site.config,
        Some(shared::time::Timestamp::default()),
        None,
        true,
        &|_, _, _| (),
    )
    .await;
    println!("{:?}", start.elapsed());
    let report = report.unwrap();
    assert!(report.is_balanced(), "{report}");
    println!("{report}");
}
