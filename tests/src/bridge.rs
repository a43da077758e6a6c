//! The source and the target of dispatch in real time: a source that is faster than the target, which limits its rate, fails
//! and goes away, while dispatchers are killed. Prints a transcript, and fails if a promise is broken.

#![expect(clippy::unwrap_used, reason = "this is test code, though not in a test target")]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::site::{LocalRun, Site, signal};
use crate::target::GraphqlTarget;

/// Events a second of the source.
const SOURCE: u32 = 50;
const SECONDS: u32 = 60;
/// Calls a second that the target takes.
const RATE: usize = 20;
/// Every so many calls one fails: 5 %.
const FAIL_EVERY: usize = 20;
/// Every so many events one is refused for good.
const PERMANENT_EVERY: u32 = 500;
/// How long the target is away, and from when.
const AWAY: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(40)];
/// When a dispatcher is killed.
const KILLS: [u64; 5] = [10, 20, 45, 70, 100];
/// The source's requirement: an answer within this time, and it is 2xx.
const ANSWER: Duration = Duration::from_millis(500);
/// Until everything must be delivered: twice as long as the rate needs.
const DEADLINE: Duration = Duration::from_mins(8);

pub async fn run(program: &Path) {
    let mut target = GraphqlTarget::start(RATE);
    target.seen().fail_every = FAIL_EVERY;
    let site = Site::at_deployed_pace(program).configuration(&format!(
        "[dispatch]\nenabled = true\nurl = \"{}\"\nrate_per_second = {RATE}\n[dispatch.constants]\nbrand = \"testBrand\"\n",
        target.url()
    ));
    let pipeline = std::sync::Arc::new(site.start());
    let begun = Instant::now();
    let source = tokio::spawn(source(std::sync::Arc::clone(&pipeline)));

    let count = (SOURCE * SECONDS) as usize;
    let permanent = count.div_ceil(PERMANENT_EVERY as usize);
    let (mut kills, mut killed) = (KILLS.into_iter().peekable(), 0);
    let mut is_away = false;
    loop {
        let elapsed = begun.elapsed();
        let should_be_away = (AWAY[0]..AWAY[1]).contains(&elapsed);
        match (is_away, should_be_away) {
            (false, true) => target.go_away(),
            (true, false) => target.come_back(),
            _ => {}
        }
        is_away = should_be_away;
        if kills.next_if(|second| elapsed.as_secs() >= *second).is_some()
            && let Some(process) = pipeline.processes_of("dispatch-fn").first()
        {
            signal(*process, "KILL");
            killed += 1;
        }
        let items = site.stored().dispatches();
        let dispatched = items.values().filter(|(status, ..)| status.is_some()).count();
        if dispatched == count && source.is_finished() {
            break;
        }
        assert!(elapsed < DEADLINE, "not within {DEADLINE:?}: {dispatched} of {count} events are dispatched");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let took = begun.elapsed();

    let mut answers = source.await.unwrap();
    answers.sort_unstable();
    let worst = answers[answers.len() - 1];
    println!(
        "source        {} events in {SECONDS} s, each answered 202; worst answer {worst:?}",
        answers.len()
    );
    assert!(worst <= ANSWER, "every answer comes within {ANSWER:?}");

    let seen = target.seen();
    let most = seen.most_in_a_second();
    println!(
        "target        {} calls: {} failed, {} refused for its rate; away for {} s; {killed} dispatchers killed",
        seen.arrivals.len(),
        seen.failed,
        seen.refused,
        AWAY[1].as_secs() - AWAY[0].as_secs()
    );
    println!("rate          at most {most} calls in any sliding second, allowed are {RATE}");
    assert!(most <= RATE && seen.refused == 0, "the target never gets more than its rate");

    let letters = site.stored().messages("dispatch-dead");
    println!(
        "delivered     {} keys, {} of them by more than one call, after {:.0} s",
        seen.taken.len(),
        seen.repeated(),
        took.as_secs_f64()
    );
    println!("dead letters  {}, each with `BAD_USER_INPUT: the body is not allowed`", letters.len());
    assert_eq!((seen.taken.len(), letters.len()), (count - permanent, permanent));
    assert!(letters.iter().all(|letter| letter.contains("BAD_USER_INPUT: the body is not allowed")));

    let statuses: Vec<_> =
        site.stored().dispatches().into_values().filter_map(|(status, ..)| status).collect();
    let of = |name: &str| statuses.iter().filter(|status| *status == name).count();
    println!("items         {} delivered, {} failed", of("delivered"), of("failed"));
    assert_eq!((of("delivered"), of("failed")), (count - permanent, permanent));
    drop(seen);
    let stopped = std::sync::Arc::into_inner(pipeline).unwrap().stop();
    println!("stopped       {}", stopped.lines().last().unwrap_or_default());
}

/// Sends events in the source document's form, at its pace, whatever the answers. Returns how long each took.
async fn source(pipeline: std::sync::Arc<LocalRun>) -> Vec<Duration> {
    let mut next = tokio::time::interval(Duration::from_secs(1) / SOURCE);
    let mut requests = Vec::new();
    for n in 0..SOURCE * SECONDS {
        next.tick().await;
        let pipeline = std::sync::Arc::clone(&pipeline);
        requests.push(tokio::spawn(async move {
            let body = if n % PERMANENT_EVERY == 0 { "a permanent error" } else { "test body" };
            let event = json!({"id": format!("e{n}"), "name": "test event", "body": body, "timestamp": 1_795_253_400 + n, "tenant_id": "source"});
            let begun = Instant::now();
            let (status, answer) = pipeline.send(&event).await;
            assert_eq!(status, 202, "{answer}");
            begun.elapsed()
        }));
    }
    let mut answers = Vec::new();
    for request in requests {
        answers.push(request.await.unwrap());
    }
    answers
}
