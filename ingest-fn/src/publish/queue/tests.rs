//! The plan alone: no stream, and time only as an argument.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::publish::port::Refusal;

struct Bench {
    queue: Queue,
    start: Instant,
    lines: usize,
}

impl Bench {
    fn new() -> Self {
        Self { queue: Queue::new(limits::RECORD_BYTES), start: Instant::now(), lines: 0 }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// Lets a line of `bytes` bytes enter whose request waits until `deadline_ms`.
    fn enter(&mut self, key: &str, bytes: usize, deadline_ms: u64) -> Ticket {
        let ticket = Ticket { request: 0, index: self.lines };
        self.lines += 1;
        let line = Bytes::from(vec![b'x'; bytes]);
        self.enter_piece(key, Piece::Line { index: ticket.index, line, is_head: false }, deadline_ms);
        ticket
    }

    /// Lets the head of a stored line enter.
    fn enter_head(&mut self, key: &str) {
        let piece = Piece::Line { index: self.lines, line: Bytes::from_static(b"head"), is_head: true };
        self.lines += 1;
        self.enter_piece(key, piece, 250);
    }

    fn enter_piece(&mut self, key: &str, piece: Piece, deadline_ms: u64) {
        self.queue.enter(key, Waiting { request: 0, piece, deadline: self.at(deadline_ms) });
    }

    /// The next call at `ms`, as `key×lines`, and its id.
    fn call(&mut self, ms: u64) -> Option<(CallId, Vec<String>)> {
        let call = self.queue.next_call(self.at(ms))?;
        let shown = |record: &PlannedRecord| match &record.content {
            Content::Lines(lines) => format!("{}×{}", record.partition_key, lines.len()),
            Content::Packed(data) => format!("{} packed, {}", record.partition_key, data.len()),
        };
        Some((call.id, call.records.iter().map(shown).collect()))
    }

    fn finish(&mut self, call: CallId, puts: Vec<Put>, ms: u64) -> CallOutcome {
        self.queue.finish(call, Ok(puts), self.at(ms), 1.0)
    }
}

fn throttled() -> Put {
    Put::Refused(Refusal::Throttled("slow down".to_owned()))
}

#[test]
fn a_line_is_sent_at_once_if_no_record_of_its_key_is_in_progress() {
    let mut bench = Bench::new();
    bench.enter("a", 10, 250);
    assert_eq!(bench.call(0).unwrap().1, ["a×1"]);
}

#[test]
fn lines_of_a_key_that_is_under_way_wait_and_go_as_one_record() {
    let mut bench = Bench::new();
    bench.enter("a", 10, 250);
    let (first, _) = bench.call(0).unwrap();
    bench.enter("a", 10, 250);
    bench.enter("a", 10, 250);
    assert!(bench.call(1).is_none());
    bench.finish(first, vec![Put::Taken], 20);
    assert_eq!(bench.call(20).unwrap().1, ["a×2"]);
}

#[test]
fn a_key_that_waits_to_be_sent_again_holds_up_no_other() {
    let mut bench = Bench::new();
    let a = bench.enter("a", 10, 250);
    bench.enter("b", 10, 250);
    let (first, _) = bench.call(0).unwrap();
    let outcome = bench.finish(first, vec![throttled(), Put::Taken], 10);
    assert_eq!(outcome.refused[0].0, a);
    bench.enter("b", 10, 250);
    bench.enter("a", 10, 250);
    assert_eq!(bench.call(10).unwrap().1, ["b×1"]);
    assert!(bench.call(29).is_none());
    assert_eq!(bench.queue.wake_at(), Some(bench.at(30)), "20 ms at full jitter");
    assert_eq!(bench.call(30).unwrap().1, ["a×2"], "the refused line, and the line after it");
}

#[test]
fn only_a_few_calls_are_under_way_at_a_time() {
    let mut bench = Bench::new();
    for key in ["a", "b", "c", "d"] {
        bench.enter(key, 10, 250);
        assert!(bench.call(0).is_some());
    }
    bench.enter("e", 10, 250);
    assert!(bench.call(0).is_none());
    bench.finish(0, vec![Put::Taken], 1);
    assert_eq!(bench.call(1).unwrap().1, ["e×1"]);
}

#[test]
fn a_record_has_at_most_one_head() {
    let mut bench = Bench::new();
    bench.enter("a", 10, 250);
    for _ in 0..3 {
        bench.enter_head("a");
        bench.enter("a", 10, 250);
    }
    let mut records = Vec::new();
    while let Some((call, record)) = bench.call(0) {
        records.extend(record);
        bench.finish(call, vec![Put::Taken], 0);
    }
    assert_eq!(records, ["a×3", "a×2", "a×2"]);
}

#[test]
fn a_line_that_nobody_waits_for_is_not_sent() {
    let mut bench = Bench::new();
    bench.enter("a", 10, 100);
    bench.enter("b", 10, 200);
    assert_eq!(bench.call(100).unwrap().1, ["b×1"]);
    bench.enter("a", 10, 250);
    assert_eq!(bench.call(101).unwrap().1, ["a×1"]);
}

#[test]
fn the_wait_doubles_up_to_its_longest() {
    let waits: Vec<_> = (1..7).map(|failures| BACKOFF.after(failures).as_millis()).collect();
    assert_eq!(waits, [20, 40, 80, 100, 100, 100]);
}

#[test]
fn an_answer_without_a_position_for_each_record_is_none() {
    let mut bench = Bench::new();
    bench.enter("a", 10, 250);
    bench.enter("b", 10, 250);
    let (call, _) = bench.call(0).unwrap();
    let outcome = bench.finish(call, vec![Put::Taken], 1);
    assert_eq!(outcome.taken, []);
    assert_eq!(&*outcome.refused[1].1, "the stream answered for 1 of 2 records");
}

#[test]
fn a_record_is_filled_to_its_last_byte() {
    let fits = limits::RECORD_BYTES - "a".len() - 2;
    for (second, expected) in [(fits - 1_000, "a×2"), (fits - 999, "a×1")] {
        let mut bench = Bench::new();
        bench.enter("a", 1_000, 250);
        bench.enter("a", second, 250);
        assert_eq!(bench.call(0).unwrap().1, [expected]);
    }
}

#[test]
fn a_line_beyond_a_record_that_compresses_travels_alone() {
    let mut bench = Bench::new();
    bench.enter("a", 10, 250);
    bench.enter("a", 10 * limits::RECORD_BYTES, 250);
    bench.enter("a", 10, 250);
    for _ in 0..3 {
        let (call, records) = bench.call(0).unwrap();
        assert_eq!(records, ["a×1"]);
        bench.finish(call, vec![Put::Taken], 0);
    }
}

#[test]
fn a_record_that_is_packed_goes_as_it_is_in_its_place() {
    let mut bench = Bench::new();
    bench.enter("a", 10, 250);
    let data = Bytes::from_static(b"packed");
    bench.enter_piece("a", Piece::Record { indexes: vec![1, 2], data }, 250);
    bench.enter("a", 10, 250);
    bench.enter("a", 10, 250);
    let (call, records) = bench.call(0).unwrap();
    assert_eq!(records, ["a×1"]);
    bench.finish(call, vec![Put::Taken], 0);
    let (call, records) = bench.call(0).unwrap();
    assert_eq!(records, ["a packed, 6"]);
    let refused: Vec<_> =
        bench.finish(call, vec![throttled()], 0).refused.iter().map(|(ticket, _)| ticket.index).collect();
    assert_eq!(refused, [1, 2]);
    let (call, records) = bench.call(20).unwrap();
    assert_eq!(records, ["a packed, 6"]);
    assert_eq!(bench.finish(call, vec![Put::Taken], 20).taken.len(), 2);
    assert_eq!(bench.call(20).unwrap().1, ["a×2"]);
}

#[test]
fn a_call_has_500_records_at_most() {
    let mut bench = Bench::new();
    for key in 0..=limits::PUT_RECORDS {
        bench.enter(&key.to_string(), 10, 250);
    }
    assert_eq!(bench.call(0).unwrap().1.len(), limits::PUT_RECORDS);
    assert_eq!(bench.call(0).unwrap().1, ["500×1"]);
}

proptest! {
    /// Whatever enters, calls keep the limits, every line is sent once, and a key's lines in their order.
    #[test]
    fn calls_keep_the_limits_and_the_order(
        entries in proptest::collection::vec((0..30_u8, prop_oneof![0..2_000_usize, 500_000..1_048_600_usize]), 1..80),
        drain_after in 1..80_usize,
    ) {
        let mut bench = Bench::new();
        let mut entered: HashMap<String, Vec<Ticket>> = HashMap::new();
        let mut sent: HashMap<String, Vec<Ticket>> = HashMap::new();
        for (index, (key, bytes)) in entries.iter().enumerate() {
            let key = key.to_string();
            let ticket = bench.enter(&key, *bytes, 250);
            entered.entry(key).or_default().push(ticket);
            if index % drain_after == 0 {
                drain(&mut bench, &mut sent)?;
            }
        }
        drain(&mut bench, &mut sent)?;
        prop_assert_eq!(sent, entered);
        prop_assert!(bench.queue.keys.is_empty() && bench.queue.turns.is_empty());
    }
}

/// Makes calls until nothing is left, and checks each.
fn drain(bench: &mut Bench, sent: &mut HashMap<String, Vec<Ticket>>) -> Result<(), TestCaseError> {
    let now = bench.at(0);
    while let Some(call) = bench.queue.next_call(now) {
        prop_assert!(call.records.len() <= limits::PUT_RECORDS);
        let mut keys: Vec<_> = call.records.iter().map(|record| &*record.partition_key).collect();
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(keys.len(), call.records.len(), "one record a key");
        let sizes = call.records.iter().map(|record| {
            let Content::Lines(lines) = &record.content else { unreachable!("only lines entered") };
            let size = lines.iter().map(|line| line.len() + 1).sum::<usize>() + record.partition_key.len();
            // A line alone is sent, whatever its size.
            if lines.len() == 1 { size.min(limits::RECORD_BYTES) } else { size }
        });
        let sizes: Vec<_> = sizes.collect();
        prop_assert!(sizes.iter().all(|size| *size <= limits::RECORD_BYTES));
        prop_assert!(sizes.iter().sum::<usize>() <= limits::PUT_BYTES);
        for record in &bench.queue.in_progress[&call.id] {
            let tickets = record.pieces.iter().flat_map(Waiting::tickets);
            sent.entry(record.partition_key.to_string()).or_default().extend(tickets);
        }
        let puts = vec![Put::Taken; call.records.len()];
        bench.queue.finish(call.id, Ok(puts), now, 1.0);
    }
    Ok(())
}
