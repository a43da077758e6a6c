//! The fixtures and their expected results, from the tables in `fixtures/README.md`.

#![expect(clippy::unwrap_used, reason = "this is test code, though not in a test target")]

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

/// A payload for `consumer-fn`.
#[derive(Clone, Debug)]
pub struct BatchFixture {
    pub name: String,
    pub payload: Bytes,
    /// The number of events that are stored.
    pub stored: usize,
    /// Their tenants, sorted.
    pub tenants: Vec<String>,
    /// The reasons in quarantine, sorted.
    pub quarantined: Vec<String>,
}

/// A payload for `ingest-fn`.
#[derive(Clone, Debug)]
pub struct RequestFixture {
    pub name: String,
    pub payload: Bytes,
    /// HTTP status of the answer.
    pub status: u64,
    /// The answer's `code`, or its `status`.
    pub answer: String,
    /// The number of events on the stream after the request.
    pub events: usize,
}

pub fn batches() -> Vec<BatchFixture> {
    let batch = |[name, stored, tenants, quarantined]: [String; 4]| BatchFixture {
        payload: read(&folder().join("kinesis").join(&name)),
        name,
        stored: stored.parse().unwrap(),
        tenants: list(&tenants),
        quarantined: list(&quarantined),
    };
    rows("kinesis").into_iter().map(batch).collect()
}

pub fn requests() -> Vec<RequestFixture> {
    let request = |[name, status, answer, events]: [String; 4]| RequestFixture {
        payload: read(&folder().join("function-url").join(&name)),
        name,
        status: status.parse().unwrap(),
        answer,
        events: events.parse().unwrap(),
    };
    rows("function-url").into_iter().map(request).collect()
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The rows of a section's table, without the description column. Every file of the folder has a row.
fn rows(section: &str) -> Vec<[String; 4]> {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let (_, rest) = readme.split_once(&format!("## {section}/\n")).unwrap();
    let (table, _) = rest.split_once("\n## ").unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).map(row).collect();
    let mut named: Vec<_> = rows.iter().map(|[name, ..]| name.clone()).collect();
    let files = std::fs::read_dir(folder().join(section)).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    // Next to a compressed file, there may be its inflated form.
    files.retain(|file| !named.contains(&format!("{file}.gz")));
    named.sort();
    files.sort();
    assert_eq!(named, files, "the table in README.md and the files in {section}/");
    rows
}

fn row(line: &str) -> [String; 4] {
    let cells: Vec<_> =
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
    let [name, _what, a, b, c] = cells.try_into().unwrap();
    [name, a, b, c]
}

fn list(cell: &str) -> Vec<String> {
    let mut list: Vec<_> = cell.split(", ").filter(|entry| !entry.is_empty()).map(str::to_owned).collect();
    list.sort();
    list
}

fn read(file: &Path) -> Bytes {
    let bytes = std::fs::read(file).unwrap();
    if file.extension().is_none_or(|extension| extension != "gz") {
        return bytes.into();
    }
    let mut inflated = Vec::new();
    MultiGzDecoder::new(&bytes[..]).read_to_end(&mut inflated).unwrap();
    inflated.into()
}
