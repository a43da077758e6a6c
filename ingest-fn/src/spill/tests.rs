//! The spill path as a whole, in virtual time, before a queue that refuses, hangs, and answers too little.

use std::sync::Mutex;

use shared::objects::memory::MemoryObjects;

use super::*;
use crate::offload::tests::packing_takes;

type Sent = Vec<Result<(), SpillFailure>>;

/// A queue whose calls go by plan; `None` hangs.
struct Planned<F> {
    plan: F,
    calls: Mutex<Vec<Vec<String>>>,
}

impl<F: Fn(usize, usize) -> Option<Sent> + Send + Sync + 'static> SpillQueue for Planned<F> {
    async fn send(&self, messages: &[SpillMessage]) -> Sent {
        let call = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(messages.iter().map(|message| message.partition_key().to_owned()).collect());
            calls.len() - 1
        };
        tokio::time::sleep(Duration::from_millis(5)).await;
        match (self.plan)(call, messages.len()) {
            Some(sent) => sent,
            None => std::future::pending().await,
        }
    }
}

/// The lines here are small: none needs a claim check.
fn nowhere() -> MemoryObjects {
    let mut objects = MemoryObjects::default();
    objects.fail(|key| panic!("`{key}` is not called"));
    objects
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// Lets `keys`, a line each, spill into a queue that goes by `plan`: what became of each, the calls, the milliseconds.
async fn spill(
    keys: &[&str],
    plan: impl Fn(usize, usize) -> Option<Sent> + Send + Sync + 'static,
) -> (Answers, Vec<Vec<String>>, u128) {
    let spill = Spill::new(Planned { plan, calls: Mutex::default() }, Duration::from_millis(150));
    let line = |key: &&str| OutgoingLine {
        partition_key: (*key).to_owned(),
        line: "{}".into(),
        is_head: false,
        record: None,
    };
    let refused = Err(Unpublished { budget_ms: 250, cause: "throttled".to_owned() });
    let started = Instant::now();
    let answers = spill
        .take_rest(keys.iter().map(line).collect(), vec![refused; keys.len()], &nowhere(), later())
        .await;
    let calls = spill.queue.calls.into_inner().unwrap();
    (answers, calls, started.elapsed().as_millis())
}

#[expect(clippy::unnecessary_wraps, reason = "it is the plan of a call, which may hang")]
fn taken(count: usize) -> Option<Sent> {
    Some(vec![Ok(()); count])
}

fn refused() -> Result<(), SpillFailure> {
    Err(SpillFailure("throttled".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn only_what_the_stream_did_not_take_is_sent() {
    let spill = Spill::new(
        Planned { plan: |_, count| taken(count), calls: Mutex::default() },
        Duration::from_millis(150),
    );
    let line = |key: &str| OutgoingLine {
        partition_key: key.to_owned(),
        line: "{}".into(),
        is_head: false,
        record: None,
    };
    let refused = Err(Unpublished { budget_ms: 250, cause: "throttled".to_owned() });
    let answers = spill
        .take_rest(vec![line("a"), line("b"), line("c")], vec![Ok(()), refused, Ok(())], &nowhere(), later())
        .await;
    assert_eq!(answers, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(*spill.queue.calls.lock().unwrap(), [["b"]]);
    assert_eq!(spill.take_rest(vec![line("a")], vec![Ok(())], &nowhere(), later()).await, [Ok(())]);
    assert_eq!(
        spill.queue.calls.lock().unwrap().len(),
        1,
        "the queue is not asked when there is nothing for it"
    );
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_refused_are_sent_again_alone() {
    let plan = |call, count| if call == 0 { Some(vec![Ok(()), refused(), Ok(())]) } else { taken(count) };
    let (answers, calls, took) = spill(&["a", "b", "c"], plan).await;
    assert_eq!(answers, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(calls, [vec!["a", "b", "c"], vec!["b"]]);
    assert_eq!(took, 5 + 10 + 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_followed_by_another() {
    let (answers, _, took) = spill(&["a"], |call, count| if call == 0 { None } else { taken(count) }).await;
    assert_eq!((answers, took), (vec![Ok(())], 75 + 10 + 5));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_hangs_or_refuses_is_answered_for_within_the_budget() {
    let (answers, _, took) = spill(&["a"], |_, _| None).await;
    let hung = answers[0].clone().unwrap_err();
    insta::assert_snapshot!(hung, @"not published within 400 ms: throttled; nor did the spill queue: not sent within 150 ms");
    assert_eq!(took, 150);

    let (answers, _, took) = spill(&["a"], |_, _| Some(vec![refused()])).await;
    insta::assert_snapshot!(answers[0].clone().unwrap_err(), @"not published within 400 ms: throttled; nor did the spill queue: throttled");
    assert!(took <= 150);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_position_for_each_message_counts_for_none_that_it_lacks() {
    let (answers, _, _) = spill(&["a", "b"], |_, _| Some(vec![])).await;
    assert!(answers.iter().all(Result::is_err));
}

#[tokio::test(start_paused = true)]
async fn many_keys_go_side_by_side() {
    let keys: Vec<_> = (0..160).map(|key| format!("t{key}")).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let (answers, calls, took) = spill(&keys, |_, count| taken(count)).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!((calls.len(), took), (16, 5));
}

#[test]
fn the_budget_begins_when_large_lines_are_packed() {
    packing_takes(Duration::from_secs(1), async {
        let plan = |_, count| taken(count);
        let spill = Spill::new(Planned { plan, calls: Mutex::default() }, Duration::from_millis(150));
        let line = "x".repeat(200_000).into();
        let line = OutgoingLine { partition_key: "a".to_owned(), line, is_head: false, record: None };
        let refused = Err(Unpublished { budget_ms: 250, cause: "throttled".to_owned() });
        assert_eq!(spill.take_rest(vec![line], vec![refused], &nowhere(), later()).await, [Ok(())]);
    });
}
