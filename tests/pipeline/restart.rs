//! Draining, `kill -9`, a backlog.

use serde_json::json;

use tests::site::eventually;

#[tokio::test]
async fn stopping_drains_what_was_accepted_and_says_so() {
    let site = crate::site();
    let pipeline = site.start();
    for n in 0..50 {
        assert_eq!(pipeline.send(&json!({"tenant_id": "acme", "id": n, "text": "x"})).await.0, 202);
    }
    let printed = pipeline.stop();
    assert!(printed.contains("Drained"), "{printed}");
    assert_eq!(site.books().items().len(), 50);
    assert_eq!(site.books().archived().len(), 50);
}

#[tokio::test]
async fn what_was_answered_202_before_kill_9_is_stored_once_after_a_new_start() {
    let site = crate::site();
    let mut sent = 0;
    for _ in 0..3 {
        let pipeline = site.start();
        for _ in 0..30 {
            assert_eq!(pipeline.send(&json!({"tenant_id": "acme", "id": sent, "text": "x"})).await.0, 202);
            sent += 1;
        }
        pipeline.kill();
    }
    let _pipeline = site.start();
    eventually("all in the archive", || (site.books().archived().len() == sent).then_some(())).await;
    assert_eq!(site.books().items().len(), sent);
}

#[tokio::test]
async fn a_second_run_on_the_same_folder_is_refused() {
    let site = crate::site();
    let _pipeline = site.start();
    let second = std::process::Command::new(crate::program())
        .args(["local", "--listen", "127.0.0.1:0", "--data"])
        .arg(site.data())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(error.contains("another `tidegate local` uses the data folder"), "{error}");
}

#[tokio::test]
async fn a_bad_configuration_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bad.toml");
    std::fs::write(&config, "[tiers]\nallowed = []\n").unwrap();
    let run = std::process::Command::new(crate::program())
        .args(["local", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path().join("data"))
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap();
    assert!(!run.status.success());
    let error = String::from_utf8(run.stderr).unwrap();
    assert_eq!(error.trim(), "tidegate: configuration: `tiers.allowed` is `[]`, allowed: at least one tier");
}
