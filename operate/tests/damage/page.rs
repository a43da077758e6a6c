//! The table as `docs/audit.md`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use crate::damages::Damage;
use crate::{Cell, Cells, excuses};

const BEFORE: &str = "# What the audit finds

<!-- Written by a test: UPDATE_AUDIT=1 cargo test -p operate --test damage -->

A test stores one of everything. Then it damages each stored thing in each way, one at a time, runs `tidegate audit --deep`,
and repairs it. The audit must name the thing, or its event.

| cell | says |
|---|---|
| found | `tidegate audit` finds it, and so does `--deep` |
| `--deep` | only `--deep` finds it, or only `--deep` finds each of these damages |
| a number | not found, for the reason below |
| both | some are found, the others not |
| – | there is no such damage: nothing to cut, or no other value |

A truncated thing has half of its bytes. A changed byte is tried at several places. A foreign one is a copy under another
key. Rows of tables are those of the local run; `item`, `manifest row` and `ledger row` are the same in DynamoDB, with one column
for each attribute. SQLite's own tables and S3's checksums are not shown.

";

pub(crate) fn check(cells: &Cells) {
    let mut reasons = Vec::new();
    let mut page = BEFORE.to_owned();
    page += "| stored thing |";
    for damage in Damage::ALL {
        write!(page, " {damage} |").unwrap();
    }
    page += "\n|---|---|---|---|---|---|\n";
    let things: BTreeSet<_> = cells.keys().map(|(thing, _)| thing).collect();
    for thing in things {
        write!(page, "| {thing} |").unwrap();
        for damage in Damage::ALL {
            let cell = cells.get(&(thing.clone(), damage));
            let reason = cell.filter(|cell| !cell.unseen.is_empty());
            let number = reason
                .and_then(|_| excuses::reason(thing, damage))
                .map(|reason| number(reason, &mut reasons));
            write!(page, " {} |", cell.map_or("–".to_owned(), |cell| shown(cell, number))).unwrap();
        }
        page += "\n";
    }
    page += "\nNot found, because:\n\n";
    for (index, reason) in reasons.iter().enumerate() {
        writeln!(page, "{}. {reason}.", index + 1).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md");
    if std::env::var_os("UPDATE_AUDIT").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let then = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(then.lines()).find(|(now, then)| now != then);
    assert!(page == then, "docs/audit.md is not current, run with UPDATE_AUDIT=1: {differs:?}");
}

/// Reasons are numbered as they appear.
fn number(reason: &'static str, reasons: &mut Vec<&'static str>) -> usize {
    let index = reasons.iter().position(|other| *other == reason).unwrap_or_else(|| {
        reasons.push(reason);
        reasons.len() - 1
    });
    index + 1
}

fn shown(cell: &Cell, number: Option<usize>) -> String {
    let found = cell.damages - cell.unseen.len();
    let by = match found {
        0 => None,
        found if found == cell.plain => Some("found".to_owned()),
        _ => Some("`--deep`".to_owned()),
    };
    by.into_iter().chain(number.map(|number| number.to_string())).collect::<Vec<_>>().join(", ")
}
