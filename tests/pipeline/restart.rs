//! Draining, `kill -9`, a backlog, a reset.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use tests::site::{DEADLINE, eventually, signal};

#[tokio::test]
async fn a_stop_stores_every_accepted_event_and_says_so() {
    let site = crate::site();
    let pipeline = site.start();
    for n in 0..50 {
        assert_eq!(pipeline.send(&json!({"tenant_id": "acme", "id": n, "text": "x"})).await.0, 202);
    }
    let printed = pipeline.stop();
    assert!(printed.contains("Drained"), "{printed}");
    assert_eq!(site.stored().items().len(), 50);
    assert_eq!(site.stored().archived().len(), 50);
}

/// As in `tidegate local 2>&1 | head -2`.
#[tokio::test]
async fn a_run_whose_output_is_closed_goes_on_and_stores_every_event() {
    let site = crate::site();
    let mut command = site.to_run(&["local", "--listen", "127.0.0.1:0", "--window-ms", "60"]);
    // It logs much more than it would otherwise, to the closed stderr.
    command.env("RUST_LOG", "debug").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = command.spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok);
    let url = lines.find_map(|line| Some(line.trim().strip_prefix("requests  ")?.to_owned())).unwrap();
    drop((lines, run.stderr.take()));

    let request = reqwest::Client::new().post(url).header("X-Customer-Tier", "pro").timeout(DEADLINE);
    let event = json!({"tenant_id": "acme", "id": 1, "text": "x"});
    assert_eq!(request.json(&event).send().await.unwrap().status(), 202);
    signal(run.id(), "TERM");
    let end = Instant::now() + DEADLINE;
    let status = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < end, "it did not stop");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success(), "{status}");
    assert_eq!(site.stored().archived().len(), 1);
}

#[tokio::test]
async fn events_accepted_before_kill_9_are_stored_once_after_a_restart() {
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
    eventually("all in the archive", || (site.stored().archived().len() == sent).then_some(())).await;
    assert_eq!(site.stored().items().len(), sent);
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
async fn a_reset_deletes_the_data_of_earlier_runs_and_nothing_else() {
    let site = crate::site();
    let pipeline = site.start();
    assert_eq!(pipeline.send(&json!({"tenant_id": "acme", "id": "old", "text": "x"})).await.0, 202);
    pipeline.stop();
    let notes = site.data().join("notes.txt");
    std::fs::write(&notes, "mine").unwrap();
    assert_eq!((site.stored().items().len(), site.stored().archived().len()), (1, 1));

    let site = site.options(&["--reset"]);
    let pipeline = site.start();
    assert_eq!((site.stored().items().len(), site.stored().archived().len()), (0, 0));
    // The same id again is a new event, and the first record of the stream.
    assert_eq!(pipeline.send(&json!({"tenant_id": "acme", "id": "old", "text": "y"})).await.0, 202);
    pipeline.stop();
    let items = site.stored().items();
    assert_eq!(items.values().map(|item| &*item.modified_data).collect::<Vec<_>>(), ["y"]);
    assert_eq!(site.stored().archived().len(), 1);
    assert_eq!(std::fs::read_to_string(notes).unwrap(), "mine");
}

#[tokio::test]
async fn a_reset_is_refused_while_another_run_uses_the_folder() {
    let site = crate::site();
    let pipeline = site.start();
    assert_eq!(pipeline.send(&json!({"tenant_id": "acme", "id": "1", "text": "x"})).await.0, 202);
    let reset = std::process::Command::new(crate::program())
        .args(["local", "--reset", "--listen", "127.0.0.1:0", "--data"])
        .arg(site.data())
        .output()
        .unwrap();
    assert!(!reset.status.success());
    let error = String::from_utf8(reset.stderr).unwrap();
    assert!(error.contains("another `tidegate local` uses the data folder"), "{error}");
    pipeline.stop();
    assert_eq!((site.stored().items().len(), site.stored().archived().len()), (1, 1));
}

#[tokio::test]
async fn a_bad_configuration_is_refused_before_anything_starts() {
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
