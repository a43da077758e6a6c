//! `tidegate tail` while the pipeline runs, is killed, and its shard is split.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use local::data::DataFolder;
use local::embedded::EmbeddedStream;
use serde_json::{Value, json};
use shared::time::Clock;

use tests::site::{DEADLINE, LocalRun, Site, eventually, signal};

/// A `tail` that runs, and the lines that it has printed.
struct Following {
    process: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Following {
    fn start(site: &Site, arguments: &[&str]) -> Self {
        let mut tail = tail(site, &["--follow", "--poll-ms", "20"]);
        let mut process = tail.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let (lines, out) = (Arc::default(), BufReader::new(process.stdout.take().unwrap()));
        let printed: Arc<Mutex<Vec<Value>>> = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                printed.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, lines }
    }

    fn ids(&self) -> Vec<String> {
        ids(&self.lines.lock().unwrap())
    }

    async fn has(&self, count: usize) {
        eventually("the lines", || (self.ids().len() >= count).then_some(())).await;
    }

    async fn ends_well(&mut self) {
        let status = eventually("its end", || self.process.try_wait().unwrap()).await;
        assert!(status.success(), "{status}");
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn tail(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::program());
    command.arg("tail").arg("--data").arg(site.data()).args(arguments).stdin(Stdio::null());
    command
}

/// What it prints of the stored events.
fn printed(site: &Site, arguments: &[&str]) -> Vec<Value> {
    let output = tail(site, arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(lines: &[Value]) -> Vec<String> {
    lines.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect()
}

async fn send(pipeline: &LocalRun, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let tenant = if n % 3 == 2 { "beta" } else { "acme" };
        let event =
            json!({"tenant_id": tenant, "id": format!("{n:02}"), "text": format!("call 555-0199, {n}")});
        assert_eq!(pipeline.send(&event).await.0, 202);
    }
}

/// The numbers of one tenant's events, or of all.
fn numbers(range: std::ops::Range<usize>, tenant: Option<&str>) -> Vec<String> {
    let is_of = |n: &usize| tenant.is_none_or(|tenant| (n % 3 == 2) == (tenant == "beta"));
    range.filter(is_of).map(|n| format!("{n:02}")).collect()
}

#[tokio::test]
async fn each_event_is_printed_once_and_in_order_across_a_kill_and_a_split() {
    let site = crate::site();
    let pipeline = site.start();
    send(&pipeline, 0..6).await;
    eventually("all in the archive", || (site.stored().archived().len() == 6).then_some(())).await;
    eventually("the manifest", || {
        (site.stored().manifest().len() == site.stored().objects("events").len()).then_some(())
    })
    .await;

    let mut of_acme = Following::start(&site, &["--tenant", "acme", "--lines", "2"]);
    let mut of_all = Following::start(&site, &["--lines", "0"]);
    of_acme.has(2).await;
    assert_eq!(of_acme.ids(), ["03", "04"], "the last ones");
    let first = of_acme.lines.lock().unwrap()[0].clone();
    assert_eq!((&first["text"], &first["tenant"]), (&"call [REDACTED], 3".into(), &"acme".into()));

    send(&pipeline, 6..12).await;
    of_acme.has(2 + 4).await;
    pipeline.kill();
    let pipeline = site.start();
    send(&pipeline, 12..18).await;
    let data = DataFolder::open(&site.data()).unwrap();
    let stream = EmbeddedStream::open(data.database().unwrap(), 1, Clock::system()).await.unwrap();
    stream.split("shardId-000000000000").await.unwrap();
    send(&pipeline, 18..30).await;
    of_acme.has(numbers(3..30, Some("acme")).len()).await;
    of_all.has(numbers(6..30, None).len()).await;
    pipeline.stop();

    for tail in [&mut of_acme, &mut of_all] {
        signal(tail.process.id(), "INT");
        tail.ends_well().await;
    }
    assert_eq!(of_acme.ids(), numbers(3..30, Some("acme")));
    let all = of_all.lines.lock().unwrap().clone();
    for tenant in ["acme", "beta"] {
        let of_tenant: Vec<_> = all.iter().filter(|line| line["tenant"] == tenant).cloned().collect();
        assert_eq!(ids(&of_tenant), numbers(6..30, Some(tenant)));
    }
    assert_eq!(all.len(), 24);

    assert_eq!(ids(&printed(&site, &["--tenant", "acme", "-n", "3"])), ["25", "27", "28"]);
}

#[tokio::test]
async fn a_reader_that_closes_the_pipe_ends_it_also_while_nothing_is_stored() {
    let site = crate::site();
    let pipeline = site.start();
    send(&pipeline, 0..1).await;
    let mut tail = tail(&site, &["--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(tail.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains(r#""id":"00""#), "{first}");
    let end = Instant::now() + DEADLINE;
    let status = loop {
        if let Some(status) = tail.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < end, "it did not end");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_large_text_is_printed_whole() {
    let site = crate::site();
    let pipeline = site.start();
    // Random, so that its archive line compresses to more than an object.
    let mut random = fastrand::Rng::with_seed(7);
    let text: String = std::iter::repeat_with(|| random.alphanumeric()).take(8_000_000).collect();
    let request = pipeline.post("/ingest").header("X-Tenant-ID", "acme").header("Content-Type", "text/plain");
    assert_eq!(request.body(text.clone()).send().await.unwrap().status(), 202);
    eventually("its manifest row", || (!site.stored().manifest().is_empty()).then_some(())).await;
    assert!(!site.stored().objects("texts").is_empty());
    let printed = printed(&site, &[]);
    assert_eq!(printed.len(), 1);
    assert!(printed[0]["text"] == text, "{} bytes", printed[0]["text"].as_str().map_or(0, str::len));
}
