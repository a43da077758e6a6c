//! The kinds of damage: how each is switched off, and by what is counted that it occurred. A test that makes none of a kind has failed.

use crate::client::{AGAIN, REUSED, TWICE};
use crate::expiry::{EXPIRED, SENT_AGAIN};
use crate::scenario::{Configures, Operation, Scenario};
use crate::stores::DROPPED;
use crate::world::Coverage;

pub(crate) struct Kind {
    /// For `--without`.
    pub(crate) name: &'static str,
    /// Each occurs in a test.
    counters: &'static [&'static str],
    remove: fn(&mut Scenario),
}

#[rustfmt::skip]
pub(crate) const KINDS: [Kind; 20] = [
    Kind {
        name: "repeats",
        counters: &[AGAIN, REUSED, TWICE],
        remove: |scenario| scenario.repeats = 0,
    },
    Kind {
        name: "calls",
        counters: &[
            "calls refused", "calls refused in part", "answers lost", "calls that hang", "calls done and not answered",
            "late writes after an error", "late writes after no answer", "deaths before an effect",
            "deaths after an effect", "deaths before a late write",
        ],
        remove: |scenario| scenario.failing_calls = 0,
    },
    Kind {
        name: "outages",
        counters: &["writes that a store refuses", "calls that a store does not answer", "calls to a slow store"],
        remove: |scenario| scenario.outages.clear(),
    },
    Kind {
        name: "disk",
        counters: &["writes to a full disk", "writes to a read-only disk", "calls to a slow disk"],
        remove: |scenario| scenario.disks.clear(),
    },
    Kind { name: "capacity", counters: &["items refused"], remove: |scenario| scenario.items_a_second = None },
    Kind {
        name: "time",
        counters: &["clock set forward", "clock set back"],
        remove: |scenario| scenario.clock_jumps.clear(),
    },
    Kind {
        name: "configuration",
        counters: &["starts with another configuration"],
        remove: |scenario| scenario.configures = Configures::Once,
    },
    Kind {
        name: "rollover",
        counters: &["rollovers", "requests to the old ingest", "calls of the old consumer", "calls of the old drain"],
        remove: |scenario| scenario.rollovers.clear(),
    },
    Kind {
        name: "poison",
        counters: &["records that crash the consumer", "deaths at a given call"],
        remove: |scenario| scenario.poison = 0,
    },
    Kind {
        name: "kills",
        counters: &["functions killed from outside"],
        remove: |scenario| scenario.kills = 0,
    },
    Kind {
        name: "hosts",
        counters: &["hosts killed", "checkpoints set back"],
        remove: |scenario| scenario.host_kills.clear(),
    },
    Kind { name: "expiry", counters: &[EXPIRED, SENT_AGAIN], remove: |scenario| scenario.expires = false },
    Kind { name: "dropped", counters: &[DROPPED], remove: |scenario| scenario.dropped = 0 },
    Kind { name: "splits", counters: &["splits"], remove: |scenario| scenario.splits.clear() },
    Kind {
        name: "redrive",
        counters: &["redrives beside", "redrives under new ids", "redrives from the stream"],
        remove: |scenario| without(scenario, &[Operation::Redrive, Operation::RedriveAsNew, Operation::RedriveStream]),
    },
    Kind {
        name: "audit",
        counters: &["audits beside"],
        remove: |scenario| without(scenario, &[Operation::Audit]),
    },
    Kind {
        name: "replay",
        counters: &["replays beside"],
        remove: |scenario| without(scenario, &[Operation::Replay]),
    },
    Kind {
        name: "erasures",
        counters: &["items deleted by hand", "claim checks deleted by hand", "archive lines deleted by hand"],
        remove: |scenario| scenario.erasures.clear(),
    },
    Kind {
        name: "dispatch",
        counters: &[
            "events that the target took", "connections that the target refused", "calls to a busy target",
            "calls that the target throttled", "calls that were told to wait", "calls refused for good",
            "calls to a slow target", "calls that the target did not answer", "calls that the target took and did not answer",
            "calls that the target took and answered by half", "dead letters of dispatch",
            "messages of dispatch received too often", "dead letters of dispatch redriven", "redrives of dispatch",
        ],
        remove: |scenario| {
            scenario.dispatch = None;
            without(scenario, &[Operation::RedriveDispatch]);
        },
    },
    Kind {
        name: "credentials",
        counters: &[
            "requests with a key that is known", "requests with a key that is not known", "requests with a key that changes",
            "credentials that cannot be read", "credentials that are half written", "credentials that are slow",
            "credentials that are not answered", "starts without credentials",
        ],
        remove: |scenario| scenario.credentials = None,
    },
];

fn without(scenario: &mut Scenario, operations: &[Operation]) {
    scenario.operations.retain(|(_, operation)| !operations.contains(operation));
}

/// The kinds with these names.
pub(crate) fn named(names: &str) -> Result<Vec<&'static Kind>, String> {
    let kind = |name: &str| {
        let all = || KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        KINDS
            .iter()
            .find(|kind| kind.name == name)
            .ok_or_else(|| format!("there is no kind `{name}` (there are: {})", all()))
    };
    names.split(',').filter(|name| !name.is_empty()).map(kind).collect()
}

pub(crate) fn remove(kinds: &[&Kind], scenario: &mut Scenario) {
    for kind in kinds {
        (kind.remove)(scenario);
    }
}

/// How often each kind occurred that was not switched off, by its counters.
pub(crate) fn occurred<'a>(
    coverage: &'a Coverage,
    switched_off: &'a [&Kind],
) -> impl Iterator<Item = (&'static str, &'static str, u64)> + 'a {
    let on = KINDS.iter().filter(|kind| switched_off.iter().all(|off| off.name != kind.name));
    on.flat_map(|kind| kind.counters.iter().map(|counter| (kind.name, *counter)))
        .map(|(kind, counter)| (kind, counter, coverage.get(counter).copied().unwrap_or_default()))
}
