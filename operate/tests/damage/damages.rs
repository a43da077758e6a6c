//! Every damage to everything that a site stores.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use operate::failed_batch::failed_batch;
use rusqlite::types::Value;
use shared::archive::each_line;
use shared::format::archive_line::Identity;
use shared::format::dispatch_message::DispatchMessage;
use shared::format::event_line::Event;
use shared::format::key::{self, StoredLineKey};
use shared::format::quarantine_line::QuarantineLine;
use shared::format::record::{self, Content};
use shared::format::spill_message::SpillMessage;

use crate::site::Site;
use crate::store::{StoredRow, TABLES, flipped, objects, truncated};

/// Places in each value and object at which a byte is changed.
const PLACES: usize = 2;
/// The items of which each attribute is damaged: one of each shape.
const ITEMS: [&str; 8] =
    ["redacted", "cut", "wide", "large", "off-stream", "changed", "bare", "off-stream-bare"];

/// A kind of stored thing: a row of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Thing {
    pub(crate) what: String,
    /// `None` for the whole.
    pub(crate) part: Option<String>,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            None => f.write_str(&self.what),
            Some(part) => write!(f, "{}: `{part}`", self.what),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damage {
    Deleted,
    Truncated,
    Swapped,
    Flipped,
    Added,
}

impl Damage {
    pub(crate) const ALL: [Self; 5] =
        [Self::Deleted, Self::Truncated, Self::Swapped, Self::Flipped, Self::Added];
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleted => "deleted",
            Self::Truncated => "truncated",
            Self::Swapped => "swapped with another",
            Self::Flipped => "a byte changed",
            Self::Added => "a foreign one added",
        })
    }
}

/// One damage to one thing.
pub(crate) struct Damaged {
    pub(crate) thing: Thing,
    pub(crate) damage: Damage,
    /// For people.
    pub(crate) what: String,
    /// A finding must have one of them.
    pub(crate) names: Vec<String>,
    change: Change,
}

/// A file, its content before, and after; `None` is no file.
type ChangedFile = (PathBuf, Option<Vec<u8>>, Option<Vec<u8>>);

enum Change {
    /// From these rows to those.
    Rows(Vec<StoredRow>, Vec<StoredRow>),
    Files(Vec<ChangedFile>),
}

impl Damaged {
    /// Returns whether the store took it.
    pub(crate) fn apply(&self, site: &Site) -> bool {
        match &self.change {
            Change::Rows(before, after) => {
                site.database.execute_batch("BEGIN").unwrap();
                for row in before {
                    row.delete(&site.database);
                }
                let is_taken = after.iter().all(|row| row.write(&site.database));
                site.database.execute_batch(if is_taken { "COMMIT" } else { "ROLLBACK" }).unwrap();
                is_taken
            }
            Change::Files(files) => {
                for (path, _, after) in files {
                    write(path, after.as_deref());
                }
                true
            }
        }
    }

    pub(crate) fn repair(&self, site: &Site) {
        match &self.change {
            Change::Rows(before, after) => {
                for row in after {
                    row.delete(&site.database);
                }
                assert!(before.iter().all(|row| row.write(&site.database)), "{}", self.what);
            }
            Change::Files(files) => {
                for (path, before, _) in files {
                    write(path, before.as_deref());
                }
            }
        }
    }
}

fn write(path: &PathBuf, content: Option<&[u8]>) {
    match content {
        Some(content) => {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        None => std::fs::remove_file(path).unwrap(),
    }
}

/// Of the places at which bytes are changed.
pub(crate) const SEED: u64 = 42;

/// The places of one thing: a row or an object that is added to the site does not change those of the others.
fn places_of(thing: impl Hash) -> fastrand::Rng {
    let mut hasher = DefaultHasher::new();
    (SEED, thing).hash(&mut hasher);
    fastrand::Rng::with_seed(hasher.finish())
}

pub(crate) fn all(site: &Site) -> Vec<Damaged> {
    let mut damages = Vec::new();
    for table in TABLES {
        of_table(site, table, &mut damages);
    }
    of_objects(site, &mut damages);
    damages
}

fn of_table(site: &Site, table: &'static str, damages: &mut Vec<Damaged>) {
    let rows = StoredRow::all(&site.database, table);
    for row in &rows {
        let (what, names) = named(site, row);
        let mut add =
            |part: Option<&str>, damage, before: Vec<StoredRow>, after: Vec<StoredRow>, how: String| {
                let mut names = names.clone();
                names.extend(before.iter().chain(&after).flat_map(|row| named(site, row).1));
                damages.push(Damaged {
                    thing: Thing { what: what.clone(), part: part.map(str::to_owned) },
                    damage,
                    what: format!("row {} of {table} {}: {how}", row.number, names[0]),
                    names,
                    change: Change::Rows(before, after),
                });
            };
        add(None, Damage::Deleted, vec![row.clone()], Vec::new(), String::new());
        add(None, Damage::Added, Vec::new(), vec![foreign(row)], String::new());
        if table == "items" && !ITEMS.contains(&names[0].trim_matches('"')) {
            continue;
        }
        for (column, value) in &row.columns {
            let changed = |value| vec![row.with(column, value)];
            if let Some(value) = truncated(value) {
                add(Some(column), Damage::Truncated, vec![row.clone()], changed(value), String::new());
            }
            let other = rows.iter().find(|other| {
                other.columns[column] != *value
                    && other.columns[column] != Value::Null
                    && *value != Value::Null
            });
            if let Some(other) = other {
                let swapped =
                    vec![row.with(column, other.columns[column].clone()), other.with(column, value.clone())];
                let how = format!("with row {}", other.number);
                add(Some(column), Damage::Swapped, vec![row.clone(), other.clone()], swapped, how);
            }
            // Only a part of a message has a checksum of its own.
            let places = if column == "body" { 3 * PLACES } else { PLACES };
            for value in flipped(value, &mut places_of((table, &names[0], column)), places) {
                let how = format!("{value:?}").chars().take(200).collect();
                add(Some(column), Damage::Flipped, vec![row.clone()], changed(value), how);
            }
        }
    }
}

/// What the row is, and what a finding about it may call it. The first is the event, if it is of one.
fn named(site: &Site, row: &StoredRow) -> (String, Vec<String>) {
    let quoted = |id: &str| format!("\"{id}\"");
    match row.table {
        "records" => {
            let Some(Value::Integer(sequence)) = row.columns.get("sequence") else { unreachable!() };
            let role = site.records.get(sequence).copied().unwrap_or("foreign");
            let Some(Value::Blob(data)) = row.columns.get("data") else { unreachable!() };
            let mut names = vec![format!("49{sequence:054}")];
            for entry in record::unpack(data, &site.config.ids.members).unwrap_or_default().entries {
                // The note of a redrive has the former origins, too.
                let is_redriven = matches!(&entry, Ok(Content::Event(event)) if !event.redrive_of.is_empty());
                names.extend(is_redriven.then(|| key::REDRIVEN.to_owned()));
                names.extend(match entry {
                    Ok(Content::Event(event)) => Some(quoted(event.facts.id.as_str())),
                    Ok(Content::Foreign(object)) => object.id.map(|id| quoted(id.as_str())),
                    Err(_) => None,
                });
            }
            (format!("stream record, {role}"), names)
        }
        "items" => {
            let id = row.text("sk").rsplit('/').next().unwrap();
            ("item".to_owned(), vec![quoted(id)])
        }
        "manifest" => {
            let key = row.text("object_key");
            let events = std::fs::read(site.bucket.join(key)).map(|object| events(&object));
            let names = std::iter::once(key.to_owned()).chain(events.unwrap_or_default());
            ("manifest row".to_owned(), names.collect())
        }
        "ledger" => ("ledger row".to_owned(), vec![row.text("shard").to_owned()]),
        "checkpoints" => ("checkpoint of the local run".to_owned(), vec![row.text("shard").to_owned()]),
        "object_metadata" => ("metadata of an archive object".to_owned(), vec![row.text("key").to_owned()]),
        "messages" => {
            let (body, mut names) = (row.text("body"), vec![format!("message {} ", row.number)]);
            let spilled = SpillMessage::read(body).unwrap_or_default();
            let events = spilled.iter().filter_map(|line| serde_json::from_slice::<Event>(&line.line).ok());
            names.extend(events.map(|event| quoted(event.facts.id.as_str())));
            let line = DispatchMessage::read(body).ok().and_then(|message| message.line().ok());
            names.extend(line.map(|line| quoted(line.facts.id.as_str())));
            (format!("message, queue `{}`", row.text("queue")), names)
        }
        "shards" => ("shard of the local stream".to_owned(), vec![row.text("id").to_owned()]),
        "rate" => ("slot counter of dispatch".to_owned(), vec!["rate".to_owned()]),
        _ => ("mark of the data folder".to_owned(), vec!["data_folder".to_owned()]),
    }
}

/// The events of an archive object.
fn events(object: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let read = each_line(object, |line: Identity, _| names.push(format!("\"{}\"", line.id)));
    assert!(read.is_ok());
    names
}

/// Another row of the table that was not written by Tidegate.
fn foreign(row: &StoredRow) -> StoredRow {
    let text = |text: &str| Value::Text(text.to_owned());
    let mut other = StoredRow { number: row.number + 1_000, ..row.clone() };
    let changes = match row.table {
        "records" => vec![("sequence", Value::Integer(other.number))],
        "items" => vec![("pk", text("tenants/thief"))],
        "manifest" => vec![
            ("sk", text(&key::manifest_sort(&"9".repeat(56), 0))),
            ("first_sequence_number", text(&"9".repeat(56))),
            ("end_sequence_number", text(&"9".repeat(56))),
        ],
        "ledger" | "checkpoints" => vec![("shard", text("shardId-000000000099"))],
        "object_metadata" => vec![("sha256", text(&"ab".repeat(32)))],
        "messages" => vec![("id", Value::Integer(other.number)), ("body", text("garbage"))],
        "shards" => vec![("id", text("shardId-000000000099"))],
        "rate" => vec![("pk", text("other"))],
        _ => Vec::new(),
    };
    for (column, value) in changes {
        other = other.with(column, value);
    }
    other
}

fn of_objects(site: &Site, damages: &mut Vec<Damaged>) {
    let objects = objects(&site.bucket);
    for (key, (path, bytes)) in &objects {
        let what = kind(key);
        let mut names = vec![key.clone()];
        names.extend(key::archive_object_of(key));
        for line in QuarantineLine::read_all(bytes).unwrap_or_default() {
            names.push(line.origin.sequence_number.to_string());
        }
        if let Ok((_, batch)) = failed_batch(bytes) {
            names.extend(batch.lines(&site.config).map(|line| line.origin.sequence_number.to_string()));
        }
        let mut add = |damage, files: Vec<ChangedFile>, more: &str, how: String| {
            let thing = Thing { what: what.to_owned(), part: None };
            let mut names = names.clone();
            names.extend((!more.is_empty()).then(|| more.to_owned()));
            let what = format!("{key} {how}");
            damages.push(Damaged { thing, damage, what, names, change: Change::Files(files) });
        };
        let to = |content: Vec<u8>| vec![(path.clone(), Some(bytes.clone()), Some(content))];
        add(Damage::Deleted, vec![(path.clone(), Some(bytes.clone()), None)], "", String::new());
        add(Damage::Truncated, to(bytes[..bytes.len() / 2].to_vec()), "", String::new());
        let other = objects.iter().find(|(other, (_, content))| kind(other) == what && content != bytes);
        if let Some((other, (other_path, other_bytes))) = other {
            let mut files = to(other_bytes.clone());
            files.push((other_path.clone(), Some(other_bytes.clone()), Some(bytes.clone())));
            add(Damage::Swapped, files, other, format!("with {other}"));
        }
        let mut random = places_of(key);
        for _ in 0..2 * PLACES {
            let at = random.usize(..bytes.len());
            let mut changed = bytes.clone();
            changed[at] ^= 1 << random.u8(..8);
            add(Damage::Flipped, to(changed), "", format!("at byte {at}"));
        }
        // A copy under a key of the same kind.
        let foreign = foreign_key(key);
        let added = vec![(site.bucket.join(&foreign), None, Some(bytes.clone()))];
        add(Damage::Added, added, &foreign, foreign.clone());
    }
    let stranger = ("stranger/object", b"x".to_vec());
    let files = vec![(site.bucket.join(stranger.0), None, Some(stranger.1))];
    let thing = Thing { what: "object under no prefix of Tidegate".to_owned(), part: None };
    let names = vec![stranger.0.to_owned()];
    damages.push(Damaged {
        thing,
        damage: Damage::Added,
        what: String::new(),
        names,
        change: Change::Files(files),
    });
}

fn kind(key: &str) -> &'static str {
    match key.split('/').next().unwrap() {
        "events" => "archive object",
        "manifests" => "sidecar of a manifest row",
        "texts" => "large archive line",
        "claims" => match StoredLineKey::parse(key).map(|key| key.id.as_str() == "claimed") {
            Some(true) => "claim check of a stored event",
            _ => "claim check that is needed",
        },
        "errors" => "quarantine object",
        "aws" => "failed batch",
        _ if key.contains("dead-letters") => "note of a redriven dead letter",
        _ => "note of redriven events",
    }
}

/// The last number of a key is another one.
fn foreign_key(key: &str) -> String {
    match key.split_once("-0.") {
        Some((start, end)) => format!("{start}-7.{end}"),
        None => match StoredLineKey::parse(key) {
            Some(parsed) => key.replace(&format!("/{}/", parsed.id.as_str()), "/foreign-id/"),
            None => match key.rsplit_once('-') {
                Some((start, end)) => format!("{start}-0{end}"),
                None => format!("{key}0"),
            },
        },
    }
}
