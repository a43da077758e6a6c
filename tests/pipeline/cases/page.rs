//! The outcomes as text: for a terminal, and as the page `docs/cases.md`.

use std::fmt::Write;

use super::form::{Form, Row};
use super::way::Way;
use super::{Came, Outcomes};

const INTRODUCTION: &str = "# Messy input

What becomes of input that is not as it should be. Each row was sent by every way that it can take, and its outcome was the
same by all of them:

- *by HTTP*: to ingest in a container, through a Function URL, and on the local run;
- *on the stream*: as a record, and in a KPL aggregate beside a good event.

*Stored* has members of the archive line; `null` means that it does not have this one. What is *quarantined* is saved exactly
as it was sent, under a [reason](operate.md#quarantine-reasons): the one that ingest answers with, if both can find the fault. The
rules are in [HTTP API](http-api.md).

A test writes this page: `UPDATE_CASES=1 cargo test -p tests --test pipeline cases`.
";

/// A line for each form: what came of it by each way.
pub(super) fn printed(table: &[Row], outcomes: &[Outcomes]) -> String {
    let mut text = String::new();
    for (key, _, form) in super::forms(table) {
        let row = table[key.0].number;
        let came = |(way, outcomes): (&Way, &Outcomes)| match (way.closed_to(form.takes), outcomes.get(&key))
        {
            (Some(reason), _) => format!("{way:?}: – ({reason})"),
            (None, Some(came)) => format!("{way:?}: {}", shown(came)),
            (None, None) => format!("{way:?}: not sent"),
        };
        let ways: Vec<_> = Way::ALL.iter().zip(outcomes).map(came).collect();
        let _ = writeln!(text, "{row:4} {}\n     {}", form.what, ways.join("\n     "));
    }
    text
}

fn shown(came: &Came) -> String {
    let Came { answers, lines, quarantined } = came;
    format!("{} → {} stored, in quarantine {quarantined:?}", answers.join(", then "), lines.len())
}

pub(super) fn page(table: &[Row], outcomes: &[Outcomes]) -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut forms = super::forms(table).peekable();
    for (number, row) in table.iter().enumerate() {
        let _ = writeln!(
            page,
            "\n## {}\n\n| what is sent | by HTTP | on the stream | stored |\n|---|---|---|---|",
            row.title
        );
        while let Some((key, _, form)) = forms.next_if(|((of, _), ..)| *of == number) {
            let of = |way: Way| {
                Way::ALL
                    .iter()
                    .zip(outcomes)
                    .find(|(other, _)| **other == way)
                    .and_then(|(_, all)| all.get(&key))
            };
            let by_http = match (of(Way::Container), of(Way::FunctionUrl)) {
                (Some(came), None) => format!(
                    "{}; not through a Function URL: {}",
                    answers(came),
                    reason(form, Way::FunctionUrl)
                ),
                (Some(came), Some(_)) => answers(came),
                (None, Some(came)) => format!(
                    "{}; through a Function URL only: {}",
                    answers(came),
                    reason(form, Way::Container)
                ),
                (None, None) => format!("–: {}", reason(form, Way::Container)),
            };
            let on_stream = match of(Way::Record) {
                Some(came) => read(form, came),
                None => format!("–: {}", reason(form, Way::Record)),
            };
            let cells = [form.what.to_owned(), by_http, on_stream, events(form)];
            // Also in code, a table's cells end at a bar.
            let _ = writeln!(page, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
        }
    }
    page
}

fn reason(form: &Form, way: Way) -> &'static str {
    way.closed_to(form.takes).unwrap_or_default()
}

/// `202`, then 400 with its code.
fn answers(came: &Came) -> String {
    let answer = |answer: &String| match answer.split_once(' ') {
        Some((status, "for the page")) => format!("`{status}`, for the page"),
        Some((status, code)) => format!("`{status} {code}`"),
        None => format!("`{answer}`"),
    };
    let mut answers: Vec<_> = came.answers.iter().map(answer).collect();
    answers.dedup();
    answers.join(", then ")
}

fn read(form: &Form, came: &Came) -> String {
    let unreadable: Vec<_> =
        came.quarantined[form.quarantined.len()..].iter().map(|reason| format!("`{reason}`")).collect();
    match (unreadable.is_empty(), came.lines.is_empty()) {
        (true, _) => "read".to_owned(),
        (false, true) => format!("quarantined, {}", unreadable.join(", ")),
        (false, false) => format!("read, the bad line quarantined, {}", unreadable.join(", ")),
    }
}

fn events(form: &Form) -> String {
    let stored = match (form.lines(), form.line().filter(|line| *line != "{}")) {
        (0, _) => "nothing".to_owned(),
        (1, Some(line)) => format!("`{line}`"),
        (1, None) => "1 event".to_owned(),
        (more, _) => format!("{more} events"),
    };
    let quarantined: Vec<_> =
        form.quarantined.iter().map(|reason| format!("; another quarantined, `{reason}`")).collect();
    stored + &quarantined.concat()
}
