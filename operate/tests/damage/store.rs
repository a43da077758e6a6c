//! The stored things of a site: each row of each table, and each object; and how to damage and to repair them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// A row with its number.
#[derive(Clone, Debug)]
pub(crate) struct StoredRow {
    pub(crate) table: &'static str,
    pub(crate) number: i64,
    pub(crate) columns: BTreeMap<String, Value>,
}

pub(crate) const TABLES: [&str; 10] = [
    "records",
    "items",
    "manifest",
    "ledger",
    "checkpoints",
    "messages",
    "object_metadata",
    "shards",
    "rate",
    "data_folder",
];

impl StoredRow {
    pub(crate) fn all(database: &Connection, table: &'static str) -> Vec<Self> {
        let mut select = database.prepare(&format!("SELECT rowid, * FROM {table} ORDER BY rowid")).unwrap();
        let names: Vec<String> = select.column_names().skip(1).map(str::to_owned).collect();
        let rows = select.query_map([], |row| {
            let columns =
                names.iter().enumerate().map(|(index, name)| Ok((name.clone(), row.get(index + 1)?)));
            Ok(Self { table, number: row.get(0)?, columns: columns.collect::<rusqlite::Result<_>>()? })
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    pub(crate) fn text(&self, column: &str) -> &str {
        match self.columns.get(column) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    pub(crate) fn delete(&self, database: &Connection) {
        database.execute(&format!("DELETE FROM {} WHERE rowid = ?1", self.table), [self.number]).unwrap();
    }

    /// Writes it as it is here. Returns whether the table takes it.
    pub(crate) fn write(&self, database: &Connection) -> bool {
        let names: Vec<_> = self.columns.keys().map(String::as_str).collect();
        let marks = vec!["?"; names.len() + 1].join(", ");
        let insert =
            format!("INSERT OR ABORT INTO {} (rowid, {}) VALUES ({marks})", self.table, names.join(", "));
        // The number of a row may be a column.
        let number = Value::Integer(self.number);
        let insert = if names.contains(&"sequence") || (self.table == "messages") {
            insert.replace("(rowid, ", "(").replacen("?, ", "", 1)
        } else {
            insert
        };
        let is_numbered = insert.contains("(rowid, ");
        let values = is_numbered.then_some(number).into_iter().chain(self.columns.values().cloned());
        database.execute(&insert, params_from_iter(values)).is_ok()
    }

    pub(crate) fn with(&self, column: &str, value: Value) -> Self {
        let mut changed = self.clone();
        // These two are the row's number.
        if let ("records", "sequence", Value::Integer(number)) | ("messages", "id", Value::Integer(number)) =
            (self.table, column, &value)
        {
            changed.number = *number;
        }
        changed.columns.insert(column.to_owned(), value);
        changed
    }
}

/// Half of it; `None` where that is no change.
pub(crate) fn truncated(value: &Value) -> Option<Value> {
    match value {
        Value::Text(text) if !text.is_empty() => {
            Some(Value::Text(text[..text.floor_char_boundary(text.len() / 2)].to_owned()))
        }
        Value::Blob(bytes) if !bytes.is_empty() => Some(Value::Blob(bytes[..bytes.len() / 2].to_vec())),
        _ => None,
    }
}

/// The version of an event line.
const VERSION: &[u8] = br#"{"v":1"#;

/// Another byte at each of some places that `random` chooses, and another version. Texts stay UTF-8.
pub(crate) fn flipped(value: &Value, random: &mut fastrand::Rng, places: usize) -> Vec<Value> {
    let bit = |length: usize, random: &mut fastrand::Rng| random.usize(..length);
    match value {
        Value::Integer(number) => vec![Value::Integer(number ^ 1), Value::Integer(number.wrapping_add(64))],
        Value::Blob(bytes) if !bytes.is_empty() => {
            let flip = |_| {
                let mut bytes = bytes.clone();
                let at = bit(bytes.len(), random);
                bytes[at] ^= 1;
                Value::Blob(bytes)
            };
            let mut flipped: Vec<_> = (0..places).map(flip).collect();
            // Too small a place to be found by chance.
            if let Some(at) = bytes.windows(VERSION.len()).position(|part| part == VERSION) {
                let mut bytes = bytes.clone();
                bytes[at + VERSION.len() - 1] ^= 1;
                flipped.push(Value::Blob(bytes));
            }
            flipped
        }
        Value::Text(text) if !text.is_empty() => {
            let flip = |_| {
                let mut bytes = text.clone().into_bytes();
                let at = bit(bytes.len(), random);
                bytes[at] = if bytes[at].is_ascii() { bytes[at] ^ 1 } else { bytes[at] };
                let flipped = String::from_utf8(bytes).unwrap();
                if flipped == *text { Value::Text(format!("{text}x")) } else { Value::Text(flipped) }
            };
            (0..places).map(flip).collect()
        }
        _ => Vec::new(),
    }
}

/// The objects of a bucket, by key.
pub(crate) fn objects(bucket: &Path) -> BTreeMap<String, (PathBuf, Vec<u8>)> {
    fn walk(folder: &Path, bucket: &Path, found: &mut BTreeMap<String, (PathBuf, Vec<u8>)>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, bucket, found);
            } else {
                let key = path.strip_prefix(bucket).unwrap().to_str().unwrap().to_owned();
                let bytes = std::fs::read(&path).unwrap();
                found.insert(key, (path, bytes));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(bucket, bucket, &mut found);
    found
}
