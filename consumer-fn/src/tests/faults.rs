//! Random faults until all is done: every event ends with one item and one archive line.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use shared::format::event_line::Event;

use super::stores::{Fault, WrittenLines};
use super::{Pipeline, admitted, batch, checked_in, pack, sequence_number, unfinished};
use crate::deadline::Deadline;

/// One effect in so many goes wrong.
const FAULT_IN: u64 = 10;

/// One line of the stream.
#[derive(Clone, Debug)]
enum Line {
    /// An event; of two with one id, the text tells whether they are the same.
    Event {
        tenant: u8,
        id: u8,
        text: u8,
    },
    /// An event whose text came by reference.
    Large {
        id: u8,
    },
    Bad,
    /// Its item is refused whenever it is tried.
    Refused {
        id: u8,
    },
}

fn any_line() -> impl Strategy<Value = Line> {
    prop_oneof![
        8 => (0_u8..3, 0_u8..30, 0_u8..2).prop_map(|(tenant, id, text)| Line::Event { tenant, id, text }),
        1 => (0..LARGE).prop_map(|id| Line::Large { id }),
        1 => Just(Line::Bad),
        1 => (0_u8..200).prop_map(|id| Line::Refused { id }),
    ]
}

fn any_stream() -> impl Strategy<Value = Vec<Vec<Line>>> {
    proptest::collection::vec(proptest::collection::vec(any_line(), 1..4), 1..25)
}

/// How many events come as claim checks.
const LARGE: u8 = 30;

fn large(admission: u128, id: u8) -> Event {
    admitted(admission, "acme", &format!("large{id}"), "large")
}

fn admission(record: usize, position: usize) -> u128 {
    (record * 10 + position) as u128
}

fn admissions(stream: &[Vec<Line>]) -> impl Iterator<Item = (u128, &Line)> {
    stream.iter().enumerate().flat_map(|(at, lines)| {
        lines.iter().enumerate().map(move |(position, line)| (admission(at, position), line))
    })
}

/// A record's bytes. No two of its events are of one admission.
fn record((at, lines): (usize, &Vec<Line>)) -> Vec<u8> {
    let mut data = Vec::new();
    for (position, line) in lines.iter().enumerate() {
        let admission = admission(at, position);
        match line {
            Line::Event { tenant, id, text } => {
                let (tenant, id) = (["acme", "beta", "gamma"][usize::from(*tenant)], format!("e{id}"));
                data.extend(pack(&[admitted(admission, tenant, &id, &format!("text {text}"))]));
            }
            Line::Large { id } => {
                let mut event = large(admission, *id);
                event.check_in(&event.line());
                data.extend(pack(&[event]));
            }
            Line::Bad => data.extend(b"{bad\n"),
            Line::Refused { id } => {
                data.extend(pack(&[admitted(admission, "acme", &format!("no{id}"), "x")]));
            }
        }
    }
    data
}

/// What must come out: `tenant/id` of stored events, and the origins in quarantine as `record:position`.
fn expected(stream: &[Vec<Line>]) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut first_texts = std::collections::BTreeMap::new();
    let (mut stored, mut quarantined) = (BTreeSet::new(), BTreeSet::new());
    for (at, lines) in stream.iter().enumerate() {
        // A record of which no line can be read is in quarantine whole.
        let is_unreadable = lines.iter().all(|line| matches!(line, Line::Bad));
        let lines = if is_unreadable { &lines[..1] } else { lines };
        for (position, line) in lines.iter().enumerate() {
            let bad = match line {
                Line::Event { tenant, id, text } => {
                    let key = format!("{}/e{id}", ["acme", "beta", "gamma"][usize::from(*tenant)]);
                    stored.insert(key.clone());
                    first_texts.entry(key).or_insert(*text) != text
                }
                Line::Large { id } => {
                    stored.insert(format!("acme/large{id}"));
                    false
                }
                Line::Bad | Line::Refused { .. } => true,
            };
            if bad {
                quarantined.insert(format!("{}:{position}", sequence_number(at)));
            }
        }
    }
    (stored, quarantined)
}

/// Does what an event source mapping does with partial answers: comes back with what is left of the batch.
async fn drive(pipeline: &Pipeline, records: &[Vec<u8>], sizes: &[usize]) {
    let mut sizes = sizes.iter().cycle();
    let (mut next, mut end) = (0, 0);
    for _ in 0..1_000 {
        if next == end {
            if end == records.len() {
                return;
            }
            end = (next + sizes.next().unwrap()).min(records.len());
        }
        let deadline = Deadline::after(Duration::from_secs(20), &pipeline.config);
        let response = pipeline.consumer().handle(batch(next, &records[next..end]), deadline).await;
        let finished = unfinished(&response, end);
        assert!((next..=end).contains(&finished), "{finished} is not of the batch");
        next = finished;
    }
    panic!("never done");
}

/// What goes wrong, effect after effect.
fn rolls(seed: u64) -> impl FnMut() -> Option<Fault> {
    let mut state = seed;
    move || {
        // Knuth's linear congruential generator; its high bits are good.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let roll = state >> 33;
        let kind = usize::try_from(roll / FAULT_IN % 3).unwrap();
        roll.is_multiple_of(FAULT_IN).then(|| [Fault::Throttled, Fault::Lost, Fault::Hangs][kind])
    }
}

fn origins(quarantined: &[Value]) -> BTreeSet<String> {
    let origin = |line: &Value| format!("{}:{}", line["sequence_number"].as_str().unwrap(), line["position"]);
    quarantined.iter().map(origin).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn with_random_faults_every_event_has_one_item_and_one_line(
        stream in any_stream(),
        sizes in proptest::collection::vec(1_usize..12, 1..6),
        seed: u64,
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let mut pipeline = Pipeline::new();
        for (admission, line) in admissions(&stream) {
            if let Line::Large { id } = line {
                checked_in(large(admission, *id), &pipeline.objects);
            }
        }
        // A few records an object, so that some attempts end between two.
        pipeline.config.archive.object_bytes = 2_000;
        let mut roll = rolls(seed);
        let mut roll_item = rolls(!seed);
        pipeline.items.fail(move |id| if id.starts_with("no") { Some(Fault::Refused) } else { roll_item() });
        pipeline.objects.fail(move |_| roll());

        let records: Vec<_> = stream.iter().enumerate().map(record).collect();
        runtime.block_on(drive(&pipeline, &records, &sizes));

        let (stored, quarantined) = expected(&stream);
        let stored: Vec<_> = stored.into_iter().collect();
        prop_assert_eq!(pipeline.items.keys(), stored.clone(), "items");
        prop_assert_eq!(pipeline.objects.archived_keys(), stored, "archive lines");
        prop_assert_eq!(origins(&pipeline.objects.quarantined()), quarantined, "quarantine");
        for line in pipeline.objects.archived() {
            let item = pipeline.items.get(line["tenant"].as_str().unwrap(), line["id"].as_str().unwrap()).unwrap();
            prop_assert_eq!(line["sequence_number"].as_str().unwrap(), &*item.origin.sequence_number);
            prop_assert_eq!(&line["position"], item.origin.position);
        }
    }
}
