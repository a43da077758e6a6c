//! What real senders send that is not as it should be, by every way in: each form must have the same answer, be stored once,
//! with the same content, and leave a balanced audit. The table is in `cases/rows.rs`.
//!
//! `cargo test -p tests --test pipeline cases -- --nocapture` prints what came of each form. With `UPDATE_CASES=1` it also writes
//! `docs/cases.md`, and `cdk/test/readers/lines.ndjson`: the archive lines, which `cdk/test/readers.test.ts` reads with `DuckDB`,
//! Python, jq and the rules of Athena's reader.

mod attacks;
mod aws;
mod elsewhere;
mod form;
mod found;
mod page;
mod rows;
mod way;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use local::event_source_mapping::ports::Invoker;
use serde_json::{Value, json};
use tests::site::{DEADLINE, LocalRun};
use tests::stored::StoredData;

use form::{Form, Row};
use found::{Found, masked};
use way::{Answer, Sender, Way};

const CONFIGURATION: &str =
    "[tiers]\ndefault = \"free\"\n[cors]\norigins = [\"https://page.example\"]\ntext_is_json = true\n";

/// In all forms of the row about them.
const SURROGATES: u64 = 3;

/// What came of a form by one way.
struct Came {
    answers: Vec<String>,
    lines: Vec<String>,
    /// Reasons in quarantine.
    quarantined: Vec<String>,
}

/// What came of each form that can take a way, by row and index.
type Outcomes = BTreeMap<(usize, usize), Came>;

/// All that came by one way.
struct Run {
    outcomes: Outcomes,
    /// The sums of the audit.
    audited: Value,
    wrong: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 5)]
async fn every_case_has_its_outcome_by_every_way_in() {
    let table: &'static [Row] = Box::leak(rows::table().into());
    let runs = Way::ALL.map(|way| tokio::spawn(run(way, table)));
    let (mut outcomes, mut wrong, mut audited) = (Vec::new(), Vec::new(), Vec::new());
    for (way, run) in Way::ALL.into_iter().zip(runs) {
        let run = run.await.unwrap();
        wrong.extend(run.wrong.into_iter().map(|what| format!("{way:?}: {what}")));
        audited.push(format!("{way:?}, audited: {}", run.audited));
        outcomes.push(run.outcomes);
    }
    let lines = lines_alike(table, &outcomes, &mut wrong);
    println!("{}{}", page::printed(table, &outcomes), audited.join("\n"));
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (file, now) in [
        ("cdk/test/readers/lines.ndjson", lines),
        ("docs/cases.md", page::page(table, &outcomes) + &elsewhere::page()),
    ] {
        let path = root.join(file);
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let then = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = now.lines().zip(then.lines()).find(|(now, then)| now != then);
        assert!(now == then, "{file} is not current, run with UPDATE_CASES=1: {differs:?}");
    }
}

fn forms(table: &[Row]) -> impl Iterator<Item = ((usize, usize), String, &Form)> {
    table.iter().enumerate().flat_map(|(number, row)| {
        row.forms
            .iter()
            .enumerate()
            .map(move |(index, form)| ((number, index), form.tenant(row, index), form))
    })
}

/// Sends all forms by one way, and checks what came of them.
async fn run(way: Way, table: &'static [Row]) -> Run {
    let site = crate::site().configuration(CONFIGURATION);
    let pipeline = site.start();
    let sender = Sender::new(way, &site, &pipeline).await;
    let mut answered = HashMap::new();
    for (key, tenant, form) in forms(table).filter(|(_, _, form)| way.closed_to(form.takes).is_none()) {
        answered.insert(key, sender.send(form, &tenant).await);
    }
    sender.end().await;

    let open = || forms(table).filter(|(key, ..)| answered.contains_key(key));
    let neighbours = if way == Way::Aggregate { answered.len() } else { 0 };
    let stored = open().map(|(_, _, form)| form.lines()).sum::<usize>() + neighbours;
    let unreadable = |form: &Form, tenant: &str| -> Vec<_> {
        let sent = form.sent.iter().filter(|_| !way.is_http());
        sent.filter_map(|sent| sent.unreadable(tenant)).collect()
    };
    let quarantined: usize =
        open().map(|(_, tenant, form)| form.quarantined.len() + unreadable(form, &tenant).len()).sum();
    let counted = counted(&pipeline, [stored as u64, quarantined as u64]).await;
    let surrogates = pipeline.metric("surrogates_replaced").await;
    pipeline.stop();

    let mut wrong = Vec::new();
    // The process of the pipeline counts them where it reads the client's bytes.
    if matches!(way, Way::LocalRun | Way::Aggregate | Way::Record) && surrogates < SURROGATES {
        wrong.push(format!("{surrogates} of {SURROGATES} halves of surrogate pairs are counted"));
    }
    if counted != [stored as u64, quarantined as u64] {
        wrong.push(format!(
            "stored and quarantined are counted as {counted:?}, not {stored} and {quarantined}"
        ));
    }
    let mut found = Found::of(&site);
    let mut outcomes = Outcomes::new();
    for (key, tenant, form) in forms(table) {
        let Some(answers) = answered.remove(&key) else { continue };
        let mut failed = |what: String| wrong.push(format!("{tenant}, {}: {what}", form.what));
        check_answers(form, &answers, &mut failed);
        let lines = found.lines.remove(&tenant).unwrap_or_default();
        check_lines(form, &tenant, &lines, &answers, &mut failed);
        found.check_items(&tenant, &lines, &mut failed);
        let mut reasons = found.reasons.remove(&tenant).unwrap_or_default();
        if reasons != form.quarantined {
            failed(format!("in quarantine are {reasons:?}, expected {:?}", form.quarantined));
        }
        for (reason, bytes) in unreadable(form, &tenant) {
            match found.unreadable.iter().position(|found| *found == (reason.to_owned(), bytes.clone())) {
                Some(index) => reasons.push(found.unreadable.swap_remove(index).0),
                None => {
                    failed(format!("not in quarantine as `{reason}`: {}", String::from_utf8_lossy(&bytes)));
                }
            }
        }
        let answers = answers.into_iter().map(|answer| answer.shown).collect();
        outcomes.insert(key, Came { answers, lines, quarantined: reasons });
    }
    wrong.extend(found.rest(neighbours));
    let (code, report) = site.audit();
    if code != 0 || report["balanced"] != true {
        wrong.push(format!("the audit does not balance: {report:#}"));
    }
    Run { outcomes, audited: report["total"].clone(), wrong }
}

/// The events that are counted as stored and as quarantined, when both have reached what is expected or time is up.
async fn counted(pipeline: &LocalRun, expected: [u64; 2]) -> [u64; 2] {
    let end = Instant::now() + DEADLINE / 2;
    loop {
        let counted = [pipeline.metric("events_stored").await, pipeline.metric("events_quarantined").await];
        if counted.iter().zip(expected).all(|(counted, expected)| *counted >= expected)
            || Instant::now() > end
        {
            return counted;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn check_answers(form: &Form, answers: &[Answer], failed: &mut impl FnMut(String)) {
    for (sent, answer) in form.sent.iter().zip(answers) {
        if answer.shown != sent.answer {
            failed(format!("the answer is `{}`, expected `{}`", answer.shown, sent.answer));
        }
    }
}

/// The lines are those that are expected, in any order, and all events that were answered as accepted are there.
fn check_lines(
    form: &Form,
    tenant: &str,
    lines: &[String],
    answers: &[Answer],
    failed: &mut impl FnMut(String),
) {
    let mut values: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for id in answers.iter().flat_map(|answer| &answer.ids) {
        if values.iter().all(|line| line["id"] != **id) {
            failed(format!("{id} is answered as accepted, and is not stored"));
        }
    }
    for expected in form.expected_lines(tenant) {
        let has = |line: &Value| {
            let mut members = expected.as_object().unwrap().iter();
            members.all(|(name, value)| line.get(name).unwrap_or(&Value::Null) == value)
        };
        match values.iter().position(has) {
            Some(index) => drop(values.swap_remove(index)),
            None => failed(format!("no line has {expected}: {values:?}")),
        }
    }
    if !values.is_empty() {
        failed(format!("also stored: {values:?}"));
    }
}

/// The lines of all forms, masked, by the first way that each can take. By all other ways they must be the same, except tier and
/// source.
fn lines_alike(table: &[Row], outcomes: &[Outcomes], wrong: &mut Vec<String>) -> String {
    let mut all = String::new();
    for (key, tenant, form) in forms(table) {
        let mut first: Option<&Came> = None;
        for (way, came) in
            Way::ALL.iter().zip(outcomes).filter_map(|(way, came)| Some((way, came.get(&key)?)))
        {
            let Some(first) = first else {
                all.extend(came.lines.iter().enumerate().map(|(index, line)| masked(line, index, true)));
                first = Some(came);
                continue;
            };
            let alike = |came: &Came| -> Vec<_> {
                came.lines.iter().enumerate().map(|(index, line)| masked(line, index, false)).collect()
            };
            if alike(first) != alike(came) {
                wrong.push(format!(
                    "{way:?}: {tenant}, {}: the lines are others: {:?}",
                    form.what,
                    alike(came)
                ));
            }
        }
    }
    all
}

/// A20: Lambda's event source mapping sends no such payload. Something that replays payloads may.
#[tokio::test]
async fn a_payload_with_records_twice_or_out_of_order_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let host = crate::function("consumer-fn", folder.path());
    let record = |number: u32| {
        let data = base64_simd::STANDARD
            .encode_to_string(format!(r#"{{"tenant_id":"acme","id":{number},"text":"x"}}"#));
        json!({
            "eventID": format!("shardId-000000000000:{number}"),
            "kinesis": {"sequenceNumber": number.to_string(), "partitionKey": "acme", "approximateArrivalTimestamp": 1_795_253_400.19, "data": data},
        })
    };
    for (records, expected) in [
        ([1, 1], "the batch has the record `1` twice"),
        ([2, 1], "the batch has the record `1` after `2`, against the shard's order"),
    ] {
        let payload = json!({"Records": records.map(record)}).to_string();
        let failure = host.invoke(payload.into()).await.unwrap_err().to_string();
        assert!(failure.contains(expected), "{failure}");
    }
    assert!(StoredData::of(folder.path()).lines().is_empty());
    let records = [1, 2].map(record);
    let payload = json!({"Records": records}).to_string();
    host.invoke(payload.into()).await.unwrap();
    assert_eq!(StoredData::of(folder.path()).lines().len(), 2);
    host.shutdown(Duration::from_secs(2)).await;
}
