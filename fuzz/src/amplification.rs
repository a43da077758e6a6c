//! What one request, or one record of a foreign producer, makes us store is bounded ([`shared::limits::Bound`]). A search
//! climbs: it changes a shape, keeps the change if a store comes nearer to its bound, and panics if it passes it.
//!
//! | file | has |
//! |---|---|
//! | `sender.rs` | shapes of what is sent, and their changes |
//! | `pipeline.rs` | ingest and consumer over stores that count bytes |

use std::fmt;

use shared::limits::{self, Bound};

use self::pipeline::{Cost, Pipeline};
use self::sender::{Shape, WAYS, Way};
use crate::mutate::Dice;

pub mod pipeline;
pub mod sender;

/// A store, what was stored there, and the bound.
struct Store {
    name: &'static str,
    stored: fn(&Cost) -> usize,
    bound: fn(Way) -> Bound,
}

const STORES: [Store; 8] = [
    Store { name: "stream", stored: |cost| cost.stream, bound: |way| of(way, limits::ON_STREAM) },
    Store { name: "spill queue", stored: |cost| cost.spilled, bound: |way| of(way, limits::IN_SPILL_QUEUE) },
    Store { name: "claim checks", stored: |cost| cost.claims, bound: |way| of(way, limits::IN_CLAIM_CHECKS) },
    Store { name: "items", stored: |cost| cost.items, bound: |way| of(way, limits::IN_ITEMS) },
    Store { name: "archive", stored: |cost| cost.archive, bound: |way| of(way, limits::IN_ARCHIVE) },
    Store { name: "manifest", stored: |cost| cost.manifest, bound: |way| of(way, limits::IN_MANIFEST) },
    Store { name: "quarantine", stored: |cost| cost.quarantine, bound: |way| of(way, limits::IN_QUARANTINE) },
    Store { name: "all", stored: Cost::sum, bound: |way| of(way, limits::IN_ALL_STORES) },
];

/// Log records of OpenTelemetry have copies of their resource.
fn of(way: Way, bound: Bound) -> Bound {
    if way.is_otlp() { bound.with_copies() } else { bound }
}

/// The worst that a search found for a store.
pub struct Worst {
    store: &'static str,
    shape: Shape,
    cost: Cost,
    stored: usize,
    /// In thousandths of the bound.
    part: usize,
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, shape, cost, stored, part } = self;
        let Cost { wire, inflated, events, .. } = cost;
        let each = |per: usize| (*stored * 10).checked_div(per).unwrap_or_default();
        write!(
            f,
            "{store}: {part}/1000 of the bound: {stored} bytes of {inflated} ({wire} as sent), {events} events; {}.{} a byte, {}.{} an event: {shape:?}",
            each(*inflated) / 10,
            each(*inflated) % 10,
            each(*events) / 10,
            each(*events) % 10,
        )
    }
}

/// Climbs to each store by each kind of way in: from `starts` places, `steps` steps each, with bodies of up to `most` bytes.
/// Returns the worst of each.
pub fn search(seed: u64, starts: usize, steps: usize, most: usize) -> Vec<Worst> {
    let mut dice = Dice::new(seed);
    let mut found = Vec::new();
    for ways in WAYS {
        for store in &STORES {
            let climbs = (0..starts).map(|start| {
                let way = ways[start % ways.len()];
                let mut worst = climbed(store, Shape::small(way), most);
                for _ in 0..steps {
                    let next = climbed(store, worst.shape.changed(ways, &mut dice), most);
                    assert!(next.is_within(), "seed {seed}: {next}");
                    if next.part >= worst.part {
                        worst = next;
                    }
                }
                worst
            });
            found.extend(climbs.max_by_key(|worst| worst.part));
        }
    }
    found
}

/// What the known large shapes cost in each store.
pub fn known() -> Vec<Worst> {
    let mut found = Vec::new();
    for shape in Shape::known() {
        let cost = Pipeline::new(shape.is_spilled).cost(shape.sent(limits::BODY_BYTES));
        let all = STORES.iter().map(|store| Worst::new(store, shape.clone(), cost));
        found.extend(all.filter(|worst| worst.stored > 0));
    }
    found
}

fn climbed(store: &Store, shape: Shape, most: usize) -> Worst {
    let cost = Pipeline::new(shape.is_spilled).cost(shape.sent(most));
    Worst::new(store, shape, cost)
}

impl Worst {
    fn new(store: &Store, shape: Shape, cost: Cost) -> Self {
        let stored = (store.stored)(&cost);
        let bound = (store.bound)(shape.way).of(cost.events, cost.inflated);
        Self { store: store.name, shape, cost, stored, part: stored * 1_000 / bound.max(1) }
    }

    pub fn is_within(&self) -> bool {
        self.part <= 1_000
    }
}
