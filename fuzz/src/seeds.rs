//! The inputs that mutation starts with: the fixtures of the integration tests, the sample configuration, and
//! `corpus/`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use shared::gzip::{self, Cap};

#[derive(Clone, Debug)]
pub struct Seed {
    /// The file that it was made from.
    pub name: String,
    pub input: Vec<u8>,
}

/// All seeds of a target, sorted by name.
pub fn of(target: &str) -> Vec<Seed> {
    let mut seeds = match target {
        "record" => [records(), aggregates()].concat(),
        "aggregate" => aggregates(),
        "http" => requests(),
        "otlp" => crate::otlp::seeds(),
        "configuration" => vec![Seed {
            name: "tidegate.toml".to_owned(),
            input: std::fs::read(workspace().join("tidegate.toml")).unwrap(),
        }],
        other => panic!("there is no target `{other}`"),
    };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    seeds.extend(files(&corpus).map(|(name, input)| Seed { name, input }));
    seeds.sort_by(|one, other| one.name.cmp(&other.name));
    seeds
}

/// The first records of every payload for `consumer-fn`.
fn records() -> Vec<Seed> {
    let payloads = files(&workspace().join("tests/fixtures/kinesis")).map(|(name, bytes)| {
        let cap = Cap { bytes: 100_000_000, ratio: 1_100 };
        let bytes = if bytes.starts_with(&gzip::MAGIC) { gzip::inflate(&bytes, cap).unwrap() } else { bytes };
        (name, serde_json::from_slice::<Value>(&bytes).unwrap())
    });
    let seeds = payloads.flat_map(|(name, payload)| {
        let records = payload["Records"].as_array().unwrap().iter().take(8).enumerate();
        let seed = |(index, record): (usize, &Value)| Seed {
            name: format!("{name}-{index}"),
            input: base64(&record["kinesis"]["data"]),
        };
        records.map(seed).collect::<Vec<_>>()
    });
    seeds.collect()
}

fn aggregates() -> Vec<Seed> {
    let files = files(&workspace().join("tests/fixtures/kpl")).filter(|(name, _)| name != "make.py");
    let seeds = files.flat_map(|(name, input)| {
        // Also the message alone: changes to it do not break the checksum.
        let message = [b"k", &input[4..input.len() - 16]].concat();
        [Seed { name: format!("message-{name}"), input: message }, Seed { name, input }]
    });
    seeds.collect()
}

/// The requests of every payload for `ingest-fn`, as text.
fn requests() -> Vec<Seed> {
    let seed = |(name, payload): (String, Vec<u8>)| {
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let http = &payload["requestContext"]["http"];
        let mut input = format!("{} {}\n", text(&http["method"]), text(&payload["rawPath"]));
        for (name, value) in payload["headers"].as_object().unwrap() {
            if !["host", "user-agent", "accept"].contains(&name.as_str()) && !name.starts_with("x-forwarded")
            {
                writeln!(input, "{name}: {}", text(value)).unwrap();
            }
        }
        let body = match payload["isBase64Encoded"] {
            Value::Bool(true) => base64(&payload["body"]),
            _ => text(&payload["body"]).into_bytes(),
        };
        Seed { name, input: [input.as_bytes(), b"\n", &body].concat() }
    };
    files(&workspace().join("tests/fixtures/function-url")).map(seed).collect()
}

fn base64(value: &Value) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(value.as_str().unwrap()).unwrap()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of a folder: names and contents.
fn files(folder: &Path) -> impl Iterator<Item = (String, Vec<u8>)> + use<> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
    })
}
