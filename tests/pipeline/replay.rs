//! Archived events that are printed again, or sent to another deployment.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use tests::site::{Site, eventually};

/// A stopped site that has stored `count` events of three tenants, one of them large.
async fn with_events(count: usize) -> Site {
    let site = crate::site().shards(2);
    let pipeline = site.start();
    for n in 0..count {
        let text = if n == 1 { "large ".repeat(100_000) } else { format!("text {n}") };
        let event =
            json!({"tenant_id": format!("t{}", n % 3), "id": format!("e{n:02}"), "text": text, "n": n});
        assert_eq!(pipeline.send(&event).await.0, 202);
    }
    eventually("all in the archive", || (site.stored().archived().len() == count).then_some(())).await;
    pipeline.stop();
    site
}

fn ids(printed: &str) -> Vec<String> {
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    printed.lines().map(id).collect()
}

#[tokio::test]
async fn the_archive_is_printed_line_by_line_for_a_tenant_and_a_time() {
    let site = with_events(12).await;
    let printed = site.printed(&["replay"]);
    let mut lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut archived = site.stored().lines();
    let id = |line: &Value| line["id"].as_str().unwrap().to_owned();
    lines.sort_by_key(id);
    archived.sort_by_key(id);
    assert_eq!(lines, archived);

    let of_tenant: BTreeSet<_> = ids(&site.printed(&["replay", "--tenant", "t1"])).into_iter().collect();
    assert_eq!(of_tenant, ["e01", "e04", "e07", "e10"].map(str::to_owned).into());
    let from = archived[6]["received_at"].as_str().unwrap();
    let later: BTreeSet<_> = ids(&site.printed(&["replay", "--from", from])).into_iter().collect();
    let expected = archived.iter().filter(|line| line["received_at"].as_str().unwrap() >= from).map(id);
    assert_eq!(later, expected.collect());
    assert!(later.len() < 12, "{later:?}");
}

#[tokio::test]
async fn a_reader_that_closes_the_pipe_is_not_an_error() {
    let site = with_events(3).await;
    let mut replay = site.to_run(&["replay", "--rate", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(replay.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(replay.wait().unwrap().success());
}

#[tokio::test]
async fn a_replay_skips_expired_objects_and_fails_on_lost_objects() {
    let site = crate::site();
    let pipeline = site.start();
    for n in 0..3 {
        let event = json!({"tenant_id": "t1", "id": format!("e{n}"), "text": "x"});
        assert_eq!(pipeline.send(&event).await.0, 202);
        eventually("an object of its own", || (site.stored().archived().len() == n + 1).then_some(())).await;
    }
    pipeline.stop();
    let objects: Vec<_> = site.stored().objects("events").into_iter().collect();
    let path = |object: usize| site.data().join("s3/tidegate-local").join(&objects[object].0);

    std::fs::remove_file(path(0)).unwrap();
    let replayed = site.command(&["replay"], &[]);
    let errors = String::from_utf8_lossy(&replayed.stderr);
    assert!(replayed.status.success(), "{errors}");
    assert!(
        errors.contains(&format!("objects older than {} do not exist any more", objects[1].0)),
        "{errors}"
    );
    assert_eq!(ids(&String::from_utf8_lossy(&replayed.stdout)), ["e1", "e2"]);

    std::fs::write(path(0), &objects[0].1).unwrap();
    std::fs::remove_file(path(1)).unwrap();
    for arguments in [&["replay"][..], &["replay", "--tenant", "t1"]] {
        let replayed = site.command(arguments, &[]);
        let errors = String::from_utf8_lossy(&replayed.stderr);
        assert!(!replayed.status.success(), "{errors}");
        assert!(errors.contains(&format!("left out: {}: the manifest has it", objects[1].0)), "{errors}");
        assert_eq!(ids(&String::from_utf8_lossy(&replayed.stdout)), ["e0", "e2"]);
    }
}

#[tokio::test]
async fn a_killed_replay_resumes_where_it_stopped() {
    let site = with_events(12).await;
    let cursor = site.data().join("cursor.json");
    let arguments = ["replay", "--rate", "4", "--resume", cursor.to_str().unwrap()];
    let mut replay = site.to_run(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(replay.stdout.take().unwrap()).lines();
    let mut printed: Vec<_> = lines.by_ref().take(5).map(Result::unwrap).collect();
    replay.kill().unwrap();
    replay.wait().unwrap();
    // Lines that are still in the pipe. The last one may be cut off.
    let is_whole = |line: &String| serde_json::from_str::<Value>(line).is_ok();
    printed.extend(lines.map_while(Result::ok).filter(is_whole));

    let rest = ids(&site.printed(&arguments));
    let before = ids(&printed.join("\n"));
    let all: BTreeSet<_> = before.iter().chain(&rest).collect();
    assert_eq!(all.len(), 12, "{before:?}, then {rest:?}");
    assert!(before.len() + rest.len() <= 12 + 4, "at most one portion is repeated");
    assert!(rest.len() < 12);
    assert_eq!(site.printed(&arguments), "", "nothing is left");

    let other = site.command(&["replay", "--tenant", "t1", "--resume", cursor.to_str().unwrap()], &[]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("belongs to another replay"));
}

#[tokio::test]
async fn another_deployment_stores_replayed_events_once_even_if_the_replay_is_killed() {
    let site = with_events(12).await;
    let target = crate::site();
    let pipeline = target.start();
    let cursor = site.data().join("cursor.json");
    let folder = target.data();
    let arguments = [
        "replay",
        "--rate",
        "4",
        "--to-data",
        folder.to_str().unwrap(),
        "--resume",
        cursor.to_str().unwrap(),
    ];
    for fault in ["die_before", "die_after"] {
        assert!(!site.command(&arguments, &[("stream_put", 2, 2, fault)]).status.success());
    }
    site.printed(&arguments);
    // Again, from the beginning.
    site.printed(&arguments[..5]);
    let data = target.stored();
    eventually("all in the archive", || (data.archived().len() == 12).then_some(())).await;
    pipeline.stop();
    assert!(data.archived().values().all(|times| *times == 1), "{:?}", data.archived());
    assert!(data.quarantined().is_empty());
    let (was, is) = (site.stored().items(), data.items());
    assert_eq!(is.len(), 12);
    for (key, item) in was {
        assert_eq!(is[&key].modified_data, item.modified_data, "{key:?}");
    }
    let audit = target.command(&["audit"], &[]);
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

#[tokio::test]
async fn a_deployment_is_not_replayed_into_itself() {
    let site = with_events(1).await;
    let folder = site.data().join("..").join("data");
    let output = site.command(&["replay", "--to-data", folder.to_str().unwrap()], &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is the deployment that is replayed"));
    assert_eq!(site.stored().events(), 1);
}
