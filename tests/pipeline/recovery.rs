//! What `docs/recovery.md` does after a loss or a mistake, as far as one machine goes. Each ends with an audit that balances.

use std::process::Command;

use rusqlite::Connection;
use serde_json::{Value, json};
use tests::site::{DEADLINE, LocalRun, Site, eventually};

async fn send(pipeline: &LocalRun, tenant: &str, id: &str, text: &str) {
    let (status, body) = pipeline.send(&json!({"tenant_id": tenant, "id": id, "text": text})).await;
    assert_eq!(status, 202, "{body}");
}

async fn all_archived(site: &Site, events: usize) {
    eventually("the archive lines", || (site.stored().archived().len() == events).then_some(())).await;
}

/// By an audit that compares contents, too.
fn balances(site: &Site) {
    let text = site.printed(&["audit", "--deep"]);
    assert!(text.contains("Balanced: nothing is missing, doubled or foreign."), "{text}");
}

/// Both tables are restored beside the damaged ones, and what is missing is copied: what came after the restored state stays.
#[tokio::test]
async fn rows_that_were_deleted_come_back_from_a_copy_of_their_table_and_newer_ones_stay() {
    let site = crate::site();
    let pipeline = site.start();
    for (events, id) in ["1", "2"].into_iter().enumerate() {
        send(&pipeline, "acme", id, "before the copy").await;
        all_archived(&site, events + 1).await;
    }
    let database = Connection::open(site.data().join("tidegate.sqlite")).unwrap();
    database.busy_timeout(DEADLINE).unwrap();
    for table in ["items", "manifest"] {
        database.execute(&format!("CREATE TABLE restored_{table} AS SELECT * FROM {table}"), []).unwrap();
    }
    send(&pipeline, "acme", "3", "after the copy").await;
    all_archived(&site, 3).await;
    assert_eq!(site.audit().0, 0);

    let deleted = [
        database.execute("DELETE FROM items WHERE sk = 'processed_logs/1'", []).unwrap(),
        database.execute("DELETE FROM manifest WHERE sk IN (SELECT sk FROM restored_manifest)", []).unwrap(),
    ];
    assert_eq!(deleted, [1, 2]);
    let (code, report) = site.audit();
    assert!(code == 1 && report.to_string().contains("missing"), "{report:#}");

    for (table, missing) in [("items", 1), ("manifest", 2)] {
        let copy = format!("INSERT OR IGNORE INTO {table} SELECT * FROM restored_{table}");
        assert_eq!(database.execute(&copy, []).unwrap(), missing, "{table}: what is there stays");
        database.execute(&format!("DROP TABLE restored_{table}"), []).unwrap();
    }
    send(&pipeline, "acme", "4", "after the recovery").await;
    all_archived(&site, 4).await;
    balances(&site);
    drop(pipeline);
}

/// A configuration that works, and is wrong: it does not redact.
#[tokio::test]
async fn events_of_a_wrong_configuration_are_found_erased_and_sent_again() {
    const NUMBER: &str = "call 555-0199";
    let mut site = crate::site();
    let pipeline = site.start();
    send(&pipeline, "acme", "good", NUMBER).await;
    all_archived(&site, 1).await;
    pipeline.stop();

    site.set_configuration("[transform]\nsteps = []\n");
    let friday = shared::time::Clock::system().now().to_string();
    let pipeline = site.start();
    send(&pipeline, "acme", "bad", NUMBER).await;
    all_archived(&site, 2).await;
    pipeline.stop();

    site.set_configuration("");
    let mut cat = Command::new(crate::program());
    let cat =
        cat.args(["cat", "--tenant", "acme", "--from", &friday, "--data"]).arg(site.data()).output().unwrap();
    let since = String::from_utf8(cat.stdout).unwrap();
    let since: Vec<Value> = since.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((since.len(), &since[0]["id"], &since[0]["text"]), (1, &json!("bad"), &json!(NUMBER)));
    site.printed(&["erase", "--tenant", "acme", "--event", "bad", "--yes"]);

    let pipeline = site.start();
    send(&pipeline, "acme", "bad", NUMBER).await;
    eventually("the event that was sent again", || {
        (site.stored().archive_text().matches("call [REDACTED]").count() == 2).then_some(())
    })
    .await;
    assert!(!site.stored().archive_text().contains(NUMBER));
    balances(&site);
    drop(pipeline);
}
