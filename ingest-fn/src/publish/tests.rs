//! The publisher as a whole, in virtual time, before a stream that refuses, hangs, and answers late or not at all.

mod fake;

use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;

use bytes::Bytes;
use shared::{gzip, limits};

use super::*;
use crate::offload::tests::packing_takes;
use fake::{Behaviour, FakeStream};

/// With a fixed seed: the back-off's jitter decides which attempt is the last within the budget.
fn publisher(stream: &FakeStream) -> Arc<Publisher<FakeStream>> {
    fastrand::seed(1);
    Arc::new(Publisher::new(stream.clone(), config::Publish::default(), Metric::PublishLatency))
}

fn line(key: &str, text: &str) -> OutgoingLine {
    OutgoingLine {
        partition_key: key.to_owned(),
        line: Bytes::copy_from_slice(text.as_bytes()),
        is_head: false,
        record: None,
    }
}

/// The fake cuts the padding off.
fn padded_line(key: &str, text: &str, padding: usize) -> OutgoingLine {
    line(key, &format!("{text} {}", "_".repeat(padding)))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn a_line_that_comes_alone_goes_at_once() {
    let stream = FakeStream::new(|_, records| Behaviour::takes(records, ms(7)));
    let started = Instant::now();
    assert_eq!(publisher(&stream).publish(vec![line("acme", "1")]).await, [Ok(())]);
    assert_eq!(started.elapsed(), ms(7));
}

#[tokio::test(start_paused = true)]
async fn lines_that_arrive_during_a_put_go_into_one_record() {
    let stream = FakeStream::new(|_, records| Behaviour::takes(records, ms(50)));
    let publisher = publisher(&stream);
    let request = |text: &str, after| {
        let (publisher, line) = (Arc::clone(&publisher), line("acme", text));
        async move {
            tokio::time::sleep(after).await;
            publisher.publish(vec![line]).await
        }
    };
    futures::join!(request("1", ms(0)), request("2", ms(10)), request("3", ms(20)), request("4", ms(30)));
    assert_eq!(stream.calls(), ["acme: 1", "acme: 2 3 4"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_hanging_stream_is_answered_after_the_budget_and_no_call_is_left() {
    let stream = FakeStream::new(|_, _| Behaviour::hangs());
    let started = Instant::now();
    let answers = publisher(&stream).publish(vec![line("acme", "1")]).await;
    assert_eq!(started.elapsed(), ms(250));
    insta::assert_snapshot!(answers[0].clone().unwrap_err(), @"not published within 250 ms: the stream may or may not have taken the call: no answer within 116 ms");
    // The driver runs once more, and the attempt that no request waits for ends.
    tokio::time::sleep(ms(1)).await;
    assert_eq!(stream.in_progress(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_followed_by_another_within_the_budget() {
    let stream = FakeStream::new(|call, records| match call {
        0 => Behaviour::hangs(),
        _ => Behaviour::takes(records, ms(5)),
    });
    assert_eq!(publisher(&stream).publish(vec![line("acme", "1")]).await, [Ok(())]);
    assert_eq!(stream.calls(), ["acme: 1", "acme: 1"]);
}

#[tokio::test(start_paused = true)]
async fn of_a_call_that_was_partly_taken_only_the_rest_is_sent_again() {
    let throttled = || Put::Refused(Refusal::Throttled("slow down".to_owned()));
    let stream = FakeStream::new(move |call, records| match call {
        0 => Behaviour::answers(Ok(vec![Put::Taken, throttled(), Put::Taken]), ms(5)),
        _ => Behaviour::takes(records, ms(5)),
    });
    let lines = vec![line("a", "1"), line("b", "2"), line("c", "3")];
    assert_eq!(publisher(&stream).publish(lines).await, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(stream.calls(), ["a: 1 | b: 2 | c: 3", "b: 2"]);
}

#[tokio::test(start_paused = true)]
async fn records_within_a_put_unit_are_compressed_only_for_a_minute_after_the_stream_throttled_one() {
    let compressed = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&compressed);
    let stream = FakeStream::new(move |call, records| {
        seen.lock().unwrap().push(records[0].data.starts_with(&gzip::MAGIC));
        match call {
            1 => Behaviour::answers(Ok(vec![Put::Refused(Refusal::Throttled("full".to_owned()))]), ms(5)),
            _ => Behaviour::takes(records, ms(5)),
        }
    });
    let publisher = publisher(&stream);
    // The second is throttled, and sent again.
    for (bytes, wait) in [(20_000, 0), (20_000, 0), (20_000, 50_000), (20_000, 20_000), (30_000, 0)] {
        tokio::time::sleep(ms(wait)).await;
        assert_eq!(publisher.publish(vec![padded_line("acme", "1", bytes)]).await, [Ok(())]);
    }
    assert_eq!(*compressed.lock().unwrap(), [false, false, true, true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn only_a_stream_that_is_throttled_gets_less_bytes() {
    for (failure, is_compressed) in [
        (StreamFailure::Throttled("full".to_owned()), true),
        (StreamFailure::Refused("no permission".to_owned()), false),
        (StreamFailure::Ambiguous("a 500".to_owned()), false),
    ] {
        let compressed = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&compressed);
        let stream = FakeStream::new(move |call, records| {
            seen.lock().unwrap().push(records[0].data.starts_with(&gzip::MAGIC));
            match call {
                0 => Behaviour::answers(Err(failure.clone()), ms(5)),
                _ => Behaviour::takes(records, ms(5)),
            }
        });
        assert_eq!(publisher(&stream).publish(vec![padded_line("acme", "1", 20_000)]).await, [Ok(())]);
        assert_eq!(*compressed.lock().unwrap(), [false, is_compressed]);
    }
}

/// The one thread for large work is busy for a second: so packing takes that long, as with a sixth of a processor.
#[test]
fn the_budget_begins_when_a_large_request_is_packed() {
    packing_takes(Duration::from_secs(1), async {
        let stream = FakeStream::new(|call, records| match call {
            0 => Behaviour::answers(Ok(vec![Put::Refused(Refusal::Throttled("full".to_owned()))]), ms(5)),
            _ => Behaviour::takes(records, ms(5)),
        });
        let lines = vec![padded_line("acme", "1", 200_000), line("acme", "2")];
        assert_eq!(publisher(&stream).publish(lines).await, [Ok(()), Ok(())]);
        assert_eq!(stream.calls(), ["acme: 1 2", "acme: 1 2"], "in one record, twice");
    });
}

#[tokio::test(start_paused = true)]
async fn lines_of_large_requests_keep_the_order_of_their_key() {
    let stream = FakeStream::new(|_, records| Behaviour::takes(records, ms(5)));
    let half = limits::RECORD_BYTES / 2;
    let lines = vec![
        padded_line("a", "1", half),
        line("b", "2"),
        padded_line("a", "3", half),
        line("a", "4"),
        OutgoingLine { record: Some(Bytes::from_static(b"5\n")), ..line("a", "5") },
        line("a", "6"),
    ];
    assert_eq!(publisher(&stream).publish(lines).await, [const { Ok(()) }; 6]);
    assert_eq!(stream.calls(), ["a: 1 | b: 2", "a: 3 4", "a: 5", "a: 6"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_calls_hang_holds_up_no_other() {
    let stream = FakeStream::new(|_, records| match &*records[0].partition_key {
        "slow" => Behaviour::hangs(),
        _ => Behaviour::takes(records, ms(5)),
    });
    let publisher = publisher(&stream);
    let slow = publisher.publish(vec![line("slow", "1")]);
    let quick = async {
        tokio::time::sleep(ms(1)).await;
        let started = Instant::now();
        (publisher.publish(vec![line("quick", "2")]).await, started.elapsed())
    };
    let (slow, (quick, took)) = futures::join!(slow, quick);
    assert!(slow[0].is_err());
    assert_eq!((quick, took), (vec![Ok(())], ms(5)));
}

#[tokio::test(start_paused = true)]
async fn of_one_request_the_lines_that_were_taken_count_even_if_others_were_not() {
    let stream = FakeStream::new(|_, records| {
        let put = |record: &StreamRecord| match &*record.partition_key {
            "full" => Put::Refused(Refusal::Throttled("slow down".to_owned())),
            _ => Put::Taken,
        };
        Behaviour::answers(Ok(records.iter().map(put).collect()), ms(5))
    });
    let answers = publisher(&stream).publish(vec![line("full", "1"), line("free", "2")]).await;
    insta::assert_snapshot!(answers[0].clone().unwrap_err(), @"not published within 250 ms: the shard is throttled: slow down");
    assert_eq!(answers[1], Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_is_followed_by_another() {
    let stream = FakeStream::new(|call, records| match call {
        0 => panic!("a defect in an adapter"),
        _ => Behaviour::takes(records, ms(5)),
    });
    let publisher = publisher(&stream);
    assert_eq!(publisher.publish(vec![line("acme", "1")]).await, [Ok(())]);
    assert_eq!(publisher.publish(vec![line("acme", "2")]).await, [Ok(())]);
    assert_eq!(stream.landed(), ["1", "2"]);
}

/// The first request runs the driver, and is cancelled. The others do not notice.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_cancelled_holds_up_no_other() {
    let stream = FakeStream::new(|_, records| Behaviour::takes(records, ms(50)));
    let publisher = publisher(&stream);
    let cancelled = async {
        let _cancelled =
            tokio::time::timeout(ms(20), publisher.publish(vec![line("acme", "1")])).await.unwrap_err();
    };
    let other = async {
        tokio::time::sleep(ms(10)).await;
        let started = Instant::now();
        (publisher.publish(vec![line("acme", "2")]).await, started.elapsed())
    };
    let ((), (other, took)) = futures::join!(cancelled, other);
    assert_eq!((other, took), (vec![Ok(())], ms(90)));
    assert_eq!(stream.landed(), ["1", "2"]);
    assert_eq!(publisher.publish(vec![line("acme", "3")]).await, [Ok(())], "and the driver is idle again");
}

#[tokio::test]
async fn a_request_without_lines_is_answered_at_once() {
    let stream = FakeStream::new(|_, _| Behaviour::hangs());
    assert_eq!(publisher(&stream).publish(vec![]).await, []);
}

/// Senders that await each answer before they send the next line.
#[derive(Clone, Debug)]
struct Scenario {
    seed: u64,
    /// For each sender its key, and how many lines each of its requests has.
    senders: Vec<(u8, Vec<usize>)>,
    /// How bad the stream is, from 0 to 1.
    faults: f64,
}

fn any_scenario() -> impl Strategy<Value = Scenario> {
    let sender = (0..4_u8, proptest::collection::vec(prop_oneof![3 => Just(1), 1 => 2..6_usize], 1..12));
    (any::<u64>(), proptest::collection::vec(sender, 1..7), 0.0..0.9)
        .prop_map(|(seed, senders, faults)| Scenario { seed, senders, faults })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// The fake checks each call: the limits, and one record of a key at a time. The test checks that all accepted lines are
    /// on the stream, and that those of each sender are in the order in which they were sent.
    #[test]
    fn accepted_lines_are_on_the_stream_in_the_order_of_each_sender(scenario in any_scenario()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        runtime.block_on(check(scenario))?;
    }
}

async fn check(scenario: Scenario) -> Result<(), TestCaseError> {
    // The waits follow from the seed, too: the runtime runs on this thread.
    fastrand::seed(scenario.seed);
    let random = Mutex::new(fastrand::Rng::with_seed(scenario.seed));
    let faults = scenario.faults;
    let stream = FakeStream::new(move |_, records| {
        let mut random = random.lock().unwrap();
        Behaviour::random(records, faults, || random.f64())
    });
    let publisher = publisher(&stream);
    let senders = scenario.senders.into_iter().enumerate().map(|(sender, (key, requests))| {
        let publisher = Arc::clone(&publisher);
        tokio::spawn(async move {
            let mut accepted = Vec::new();
            for (request, lines) in requests.into_iter().enumerate() {
                let texts: Vec<_> = (0..lines).map(|index| format!("{sender}-{request}-{index}")).collect();
                // Of a request with several lines two fill a record, so that it needs more than one.
                let padding = if lines > 1 { limits::RECORD_BYTES / 2 - 100 } else { 0 };
                let outgoing =
                    texts.iter().map(|text| padded_line(&key.to_string(), text, padding)).collect();
                let answers = publisher.publish(outgoing).await;
                assert_eq!(answers.len(), texts.len());
                accepted.extend(
                    texts.into_iter().zip(answers).filter_map(|(text, answer)| answer.ok().map(|()| text)),
                );
            }
            accepted
        })
    });
    let accepted: Vec<_> = futures::future::join_all(senders).await;
    // Calls that hang land late or never.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let landed = stream.landed();
    for accepted in accepted {
        let places: Vec<_> = accepted
            .map_err(|failure| TestCaseError::fail(failure.to_string()))?
            .iter()
            .map(|text| landed.iter().position(|landed| landed == text))
            .collect();
        prop_assert!(places.iter().all(Option::is_some), "accepted, but not there: {places:?}");
        prop_assert!(places.is_sorted(), "not in order: {places:?}");
    }
    Ok(())
}
