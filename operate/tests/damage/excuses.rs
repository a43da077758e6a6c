//! Damages that the audit does not find, each with its reason.

use crate::damages::{Damage, Thing};

use Damage::{Added, Deleted, Flipped, Swapped};

/// How things, their parts and the damages match: `*` is any, and the end of a name may be left open with it.
struct Excuse {
    things: &'static [&'static str],
    parts: &'static [&'static str],
    damages: &'static [Damage],
    reason: &'static str,
}

const ANY: &[Damage] = &Damage::ALL;

const EXCUSES: &[Excuse] = &[
    Excuse {
        things: &["item"],
        parts: &["processed_at"],
        damages: &[Flipped],
        reason: "by less than five minutes: an attempt that was repeated has archived the line later than it inserted the item",
    },
    Excuse {
        things: &["item"],
        parts: &["hash"],
        damages: ANY,
        reason: "of an item without content, where neither the stream nor the archive has the original",
    },
    Excuse {
        things: &["sidecar of a manifest row"],
        parts: &[""],
        damages: &[Flipped],
        reason: "in the header of gzip, in a byte that no reader uses",
    },
    Excuse {
        things: &["message, queue `spill*"],
        parts: &["body"],
        damages: &[Flipped],
        reason: "in the header of the lines' gzip, in a byte that no reader uses",
    },
    Excuse {
        things: &["stream record*"],
        parts: &[""],
        damages: &[Added],
        reason: "it is an event that arrives, like any other",
    },
    Excuse {
        things: &["stream record, not processed yet*"],
        parts: &["*"],
        damages: ANY,
        reason: "nothing else has the event yet; a claim check that is left over may be of a refused request",
    },
    Excuse {
        things: &["stream record, stored twice by us", "stream record, the same sent again"],
        parts: &["*"],
        damages: ANY,
        reason: "it is only a copy of a stored event",
    },
    Excuse {
        things: &["stream record*"],
        parts: &["data"],
        damages: &[Flipped],
        reason: "another version, which is read the same",
    },
    Excuse {
        things: &["stream record*"],
        parts: &["partition_key"],
        damages: ANY,
        reason: "it has only decided the shard, and the order in it",
    },
    Excuse {
        things: &["stream record*"],
        parts: &["arrival_ms"],
        damages: ANY,
        reason: "the event has the time at which ingest received it; this one only decides when the record expires",
    },
    Excuse {
        things: &["checkpoint of the local run"],
        parts: &["*"],
        damages: ANY,
        reason: "an earlier or no checkpoint: records are delivered again, and recognised. The ledger has what is committed",
    },
    Excuse {
        things: &["claim check of a stored event"],
        parts: &[""],
        damages: &[Deleted],
        reason: "it is not needed any more",
    },
    Excuse {
        things: &["failed batch"],
        parts: &[""],
        damages: &[Swapped],
        reason: "both are read, under either key",
    },
    Excuse {
        things: &["failed batch"],
        parts: &[""],
        damages: &[Added],
        reason: "events that are there twice are redriven once",
    },
    Excuse {
        things: &["failed batch"],
        parts: &[""],
        damages: &[Flipped],
        reason: "in what Lambda says besides the records: times, names, the number of calls",
    },
    Excuse {
        things: &["item"],
        parts: &["dispatch_attempts", "dispatch_reason"],
        damages: ANY,
        reason: "only the dispatcher knows them; they say nothing about what is stored",
    },
    Excuse {
        things: &["item"],
        parts: &["truncated"],
        damages: &[Flipped],
        reason: "SQLite has no flags: each number but 0 is true",
    },
    Excuse {
        things: &["ledger row"],
        parts: &[""],
        damages: &[Added],
        reason: "of a shard that neither stream nor archive has; no one reads it",
    },
    Excuse {
        things: &["ledger row"],
        parts: &["committed_end_position"],
        damages: &[Flipped],
        reason: "in a record all of whose lines are done",
    },
    Excuse {
        things: &["ledger row"],
        parts: &["version"],
        damages: ANY,
        reason: "it only tells one write from the next",
    },
    Excuse {
        things: &["mark of the data folder"],
        parts: &["*"],
        damages: ANY,
        reason: "no event; a start of the local run checks it",
    },
    Excuse {
        things: &["message, queue*"],
        parts: &["id", "receives", "sent_ms", "visible_ms"],
        damages: ANY,
        reason: "the queue's own; it may be delivered earlier or later",
    },
    Excuse {
        things: &["message, queue*"],
        parts: &[""],
        damages: &[Deleted],
        reason: "what waits in a queue is nowhere else, or was done",
    },
    Excuse {
        things: &["message, queue*"],
        parts: &["queue"],
        damages: ANY,
        reason: "what waits in a queue is nowhere else, or was done: it is in another one now, or in none",
    },
    Excuse {
        things: &["message, queue `dispatch*"],
        parts: &["body"],
        damages: &[Swapped],
        reason: "two messages have changed places",
    },
    Excuse {
        things: &["message, queue `dispatch*"],
        parts: &["body"],
        damages: &[Flipped],
        reason: "in why it failed, or in the event's name: an event of that name may have had an item",
    },
    Excuse {
        things: &["metadata of an archive object"],
        parts: &[""],
        damages: &[Added],
        reason: "it is of other bytes than those of the object",
    },
    Excuse {
        things: &["note of*"],
        parts: &[""],
        damages: &[Deleted],
        reason: "the next redrive finds that the event is stored",
    },
    Excuse {
        things: &["shard of the local stream"],
        parts: &["*"],
        damages: ANY,
        reason: "the stream's own: which keys it takes from now on",
    },
    Excuse {
        things: &["slot counter of dispatch"],
        parts: &["*"],
        damages: ANY,
        reason: "no event; the dispatcher begins it again",
    },
];

pub(crate) fn reason(thing: &Thing, damage: Damage) -> Option<&'static str> {
    let part = thing.part.as_deref().unwrap_or_default();
    let matches = |pattern: &&str, name: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => *pattern == name,
    };
    let is_its = |excuse: &&Excuse| {
        excuse.things.iter().any(|pattern| matches(pattern, &thing.what))
            && excuse.parts.iter().any(|pattern| matches(pattern, part))
            && excuse.damages.contains(&damage)
    };
    EXCUSES.iter().find(is_its).map(|excuse| excuse.reason)
}

pub(crate) fn all() -> Vec<&'static str> {
    EXCUSES.iter().map(|excuse| excuse.reason).collect()
}
