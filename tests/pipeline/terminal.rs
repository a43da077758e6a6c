//! What people see of a local run on a terminal, and of the commands that look at one.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tests::site::{Site, eventually, signal};
use tests::terminal::OnTerminal;

/// A command on a run's data folder.
fn command(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::program());
    command.args(arguments).arg("--data").arg(site.data()).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_terminal_shows_what_applies_and_a_line_for_each_batch_and_refusal() {
    let site = crate::site().configuration("[tiers]\nallowed = [\"gold\"]\n");
    let mut local =
        site.to_run(&["local", "--listen", "127.0.0.1:0", "--poll-ms", "20", "--window-ms", "60"]);
    local.env_remove("RUST_LOG");
    let mut run = OnTerminal::start(local);
    let url = eventually("the welcome", || {
        let shown = run.shown();
        let page =
            shown.lines().find_map(|line| line.trim().strip_prefix("page ").map(|url| url.trim().to_owned()));
        page.filter(|_| shown.contains("--reset"))
    });
    let url = url.await.trim_end_matches("/_/").to_owned();
    let welcome = run.shown();
    assert!(
        welcome.contains("tiers     gold, by X-Customer-Tier") && welcome.contains("tidegate.toml"),
        "{welcome}"
    );
    assert!(welcome.contains("-H 'X-Customer-Tier: gold'"), "{welcome}");

    let client = reqwest::Client::new();
    let send = async |tier: &str| {
        let event = json!({"tenant_id": "acme", "text": "x"});
        client
            .post(format!("{url}/ingest"))
            .header("X-Customer-Tier", tier)
            .json(&event)
            .send()
            .await
            .unwrap()
    };
    assert_eq!([send("gold").await.status().as_u16(), send("pro").await.status().as_u16()], [202, 403]);
    eventually("both lines", || {
        let shown = run.shown();
        let stored = shown.lines().any(|line| line.starts_with("stored 1 event of 1 tenant → events/…"));
        (stored && shown.contains("refused 1 × tier_not_allowed (docs/http-api.md#problems)")).then_some(())
    })
    .await;
    signal(run.process.id(), "INT");
    let status = eventually("its end", || run.process.try_wait().unwrap()).await;
    let shown = run.shown();
    assert!(status.success() && shown.contains("This run stored 1 event in 1 object, in "), "{shown}");
    assert!(
        !shown.contains("INFO") && !shown.contains("archive object written"),
        "the lines say it: {shown}"
    );
}

#[tokio::test]
async fn the_log_of_all_processes_can_be_json() {
    let site = crate::site().options(&["--log-format", "json"]);
    let pipeline = site.start();
    pipeline.send(&json!({"tenant_id": "acme", "text": "x"})).await;
    pipeline.metric_reaches("events_stored", 1).await;
    let log = pipeline.stop_and_read_log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert!(messages.contains(&"polling a shard"), "of this process: {log}");
    assert!(messages.contains(&"archive object written"), "of the consumer: {log}");
}

#[tokio::test]
async fn status_has_the_numbers_and_its_exit_code_is_the_health() {
    let site = crate::site();
    let ask = |arguments: &[&str]| -> Output { command(&site, arguments).output().unwrap() };
    let missing = ask(&["status"]);
    let told = text(&missing.stderr);
    assert!(missing.status.code() == Some(2) && told.contains("start one with `tidegate local`"), "{told}");

    let pipeline = site.start();
    for n in 0..3 {
        pipeline.send(&json!({"tenant_id": "acme", "id": n.to_string(), "text": "x"})).await;
    }
    pipeline.metric_reaches("events_stored", 3).await;
    let numbers = eventually("the numbers", || {
        let output = ask(&["status", "--json"]);
        let state: Value = serde_json::from_slice(&output.stdout).unwrap();
        let is_there = state["parts"]["items"]["events_stored_total"] == 3.0;
        is_there.then_some((output.status.code(), state))
    });
    let (code, state) = numbers.await;
    assert_eq!((code, &state["status"], &state["name"]), (Some(0), &json!("ok"), &json!(pipeline.url)));
    assert_eq!(state["parts"]["ingest"]["events_accepted_total"], 3.0);
    assert_eq!(
        state["shards"],
        json!([{"id": "shardId-000000000000", "waiting": 0, "oldest_age_seconds": null}])
    );
    let screen = text(&ask(&["status"]).stdout);
    assert!(screen.contains("3 accepted in all") && screen.contains("shard 0: nothing waits"), "{screen}");
    assert!(!screen.contains('\x1b'), "it is no terminal: {screen}");

    pipeline.stop();
    assert_eq!(ask(&["status"]).status.code(), Some(2), "a run that has ended leaves no address");
}

#[tokio::test]
async fn a_degraded_run_is_1_for_status_with_reason_and_runbook() {
    let site = crate::site().faults(&[("stream_put", 1, 1_000, "refuse")]);
    let pipeline = site.start();
    assert_eq!(pipeline.send(&json!({"tenant_id": "acme", "text": "x"})).await.0, 202);
    let screen = eventually("the reason", || {
        let output = command(&site, &["status"]).output().unwrap();
        (output.status.code() == Some(1)).then(|| text(&output.stdout))
    });
    let screen = screen.await;
    assert!(screen.contains(": degraded") && screen.contains("docs/runbooks/spilling.md"), "{screen}");
}

#[tokio::test]
async fn top_is_drawn_again_and_leaves_the_terminal_as_it_was() {
    let site = crate::site();
    let not_there = command(&site, &["top"]).output().unwrap();
    assert!(text(&not_there.stderr).contains("`tidegate status` prints the same once"));
    let pipeline = site.start();
    let mut top = OnTerminal::start(command(&site, &["top"]));
    eventually("the screen", || top.shown().contains("q ends it").then_some(())).await;
    assert!(!top.has_echo());
    pipeline.send(&json!({"tenant_id": "acme", "text": "x"})).await;
    eventually("the event", || top.shown().contains("1 accepted in all").then_some(())).await;
    top.press("q");
    let status = eventually("its end", || top.process.try_wait().unwrap()).await;
    assert!(status.success() && top.has_echo(), "{status}");
    eventually("the other screen", || top.shown().contains("\x1b[?25h\x1b[?1049l").then_some(())).await;
}

#[tokio::test]
async fn a_panic_of_top_leaves_the_terminal_as_it_was_and_its_message_on_it() {
    let site = crate::site();
    let _pipeline = site.start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("panic");
    let mut command = command(&site, &["top"]);
    command.env("TIDEGATE_TEST_PANIC", &file);
    let top = OnTerminal::start(command);
    eventually("the screen", || top.shown().contains("q ends it").then_some(())).await;
    assert!(!top.has_echo());
    std::fs::write(file, "").unwrap();
    eventually("the message", || top.shown().contains("as the test asks").then_some(())).await;
    let shown = top.shown();
    let (before, _) = shown.split_once("as the test asks").unwrap();
    assert!(before.contains("\x1b[?25h\x1b[?1049l"), "the other screen is closed before: {shown}");
    assert!(top.has_echo());
}

#[tokio::test]
async fn tap_shows_what_the_run_stores_at_its_end() {
    let mut site = crate::site();
    site.set_option("--window-ms", "60000");
    let pipeline = site.start();
    let mut tap = command(&site, &["tap", "--stage", "stored", "--stage", "accepted"]);
    let mut tap = tap.stdout(Stdio::piped()).spawn().unwrap();
    let (shown, out) = (Arc::<Mutex<String>>::default(), BufReader::new(tap.stdout.take().unwrap()));
    let seen = Arc::clone(&shown);
    std::thread::spawn(move || {
        out.lines().map_while(Result::ok).for_each(|line| *seen.lock().unwrap() += &line);
    });
    let mut sent = 0;
    while !shown.lock().unwrap().contains("accepted") {
        pipeline.send(&json!({"tenant_id": "acme", "id": format!("order-{sent}"), "text": "x"})).await;
        sent += 1;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(!shown.lock().unwrap().contains("stored"), "the batch is gathered for a minute");
    pipeline.stop();
    let status = eventually("its end", || tap.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
    eventually("the last one", || {
        shown.lock().unwrap().contains(&format!("order-{}  after", sent - 1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn tap_shows_each_event_at_each_stage_and_ends_with_the_run() {
    let site = crate::site();
    let pipeline = site.start();
    let mut tap = command(&site, &["tap", "--tenant", "acme"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let (seen, out) = (Arc::clone(&lines), BufReader::new(tap.stdout.take().unwrap()));
    std::thread::spawn(move || {
        out.lines().map_while(Result::ok).for_each(|line| seen.lock().unwrap().push(line));
    });
    let has = |words: &[&str]| {
        lines
            .lock()
            .unwrap()
            .iter()
            .any(|line| words.iter().all(|word| line.split_whitespace().any(|w| w == *word)))
    };
    // Until it watches.
    while !has(&["refused", "acme", "malformed_json"]) {
        pipeline
            .post("/ingest")
            .header("X-Tenant-ID", "acme")
            .header("Content-Type", "application/json")
            .body("{")
            .send()
            .await
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for tenant in ["beta", "acme"] {
        assert_eq!(pipeline.send(&json!({"tenant_id": tenant, "id": "order-17", "text": "x"})).await.0, 202);
    }
    for stage in ["accepted", "stored"] {
        eventually(stage, || has(&[stage, "acme", "order-17"]).then_some(())).await;
    }
    assert!(!has(&["beta"]));
    // It does not hold up the end.
    let begun = std::time::Instant::now();
    pipeline.stop();
    assert!(begun.elapsed() < std::time::Duration::from_secs(8), "{:?}", begun.elapsed());
    let status = eventually("its end", || tap.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
}

#[test]
fn shells_and_man_know_the_commands_and_a_build_without_aws_says_how_to_get_the_others() {
    let run = |arguments: &[&str]| {
        Command::new(crate::program()).args(arguments).env_remove("TIDEGATE_COMMAND").output().unwrap()
    };
    let alone = run(&[]);
    assert!(alone.status.code() == Some(2) && text(&alone.stderr).contains("Usage: "), "{alone:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&run(&["completions", shell]).stdout);
        assert!(script.contains("redrive") && !script.contains("function_options"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let written = run(&["man", folder.path().to_str().unwrap()]);
    assert!(written.status.success(), "{written:?}");
    let page = std::fs::read_to_string(folder.path().join("tidegate-local.1")).unwrap();
    assert!(page.contains("\\-\\-listen") && page.contains("Examples"), "{page}");

    assert!(text(&run(&["audti"]).stderr).contains("'audit'"));
    if cfg!(feature = "aws") {
        return;
    }
    for arguments in
        [&["doctor", "--stack", "Tidegate-dev"][..], &["mapping"], &["audit", "--stack", "Tidegate-dev"]]
    {
        let refused = run(arguments);
        let told = text(&refused.stderr);
        assert!(refused.status.code() == Some(2) && told.contains("--features aws"), "{arguments:?}: {told}");
    }
}
