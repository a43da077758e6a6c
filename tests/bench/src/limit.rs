//! The limit: what the consumer cannot do without, each stage by the fastest way that we know of and apart from the others, so
//! that nothing is allocated, compared or decided in between. No error is handled, and items cost nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use libdeflater::Decompressor;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use shared::config::Config;
use shared::gzip;

use crate::cpu;

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    kinesis: Kinesis<'a>,
}

#[derive(Deserialize)]
struct Kinesis<'a> {
    data: &'a str,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(alias = "tenant_id")]
    tenant: &'a str,
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(borrow)]
    fields: Option<&'a RawValue>,
}

/// Processes a batch, and gives each stage's processor time.
pub fn stages(batch: &str) -> Vec<(&'static str, Duration)> {
    let mut stages = Vec::new();
    let mut before = cpu::used();
    let mut note = |stage| {
        let now = cpu::used();
        stages.push((stage, now.checked_sub(before).unwrap()));
        before = now;
    };

    black_box(batch.to_owned());
    note("memcpy");

    let batch: Batch<'_> = serde_json::from_str(batch).unwrap();
    note("payload");

    let decode = |record: &Record<'_>| base64_simd::STANDARD.decode_to_vec(record.kinesis.data).unwrap();
    let records: Vec<_> = batch.records.iter().map(decode).collect();
    note("base64");

    let mut decompressor = Decompressor::new();
    let mut inflate = |record: Vec<u8>| {
        if !record.starts_with(&gzip::MAGIC) {
            return record;
        }
        // A member ends with the size of what it holds.
        let size = u32::from_le_bytes(record[record.len() - 4..].try_into().unwrap());
        let mut plain = vec![0; usize::try_from(size).unwrap()];
        decompressor.gzip_decompress(&record, &mut plain).unwrap();
        plain
    };
    let records: Vec<_> = records.into_iter().map(&mut inflate).collect();
    note("inflate");

    let lines = records.iter().flat_map(|record| lines(record));
    let events: Vec<Line<'_>> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    note("line");

    let may_be_redacted = |byte: &&u8| byte.is_ascii_digit() || **byte == b'@';
    for event in &events {
        black_box(event.text.as_bytes().iter().filter(may_be_redacted).count());
    }
    note("scan for redaction");

    for event in &events {
        let mut hash = Sha256::new();
        hash.update(event.text.as_bytes());
        hash.update(event.fields.map_or("", RawValue::get));
        black_box(hash.finalize());
    }
    note("content hash");

    let mut tenants: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let all = records.iter().flat_map(|record| self::lines(record));
    for (event, line) in events.iter().zip(all) {
        // What an archive line has besides the text is about as long as what the line came with.
        let plain = tenants.entry(event.tenant).or_default();
        plain.extend_from_slice(&line[..line.len().saturating_sub(event.text.len())]);
        serde_json::to_writer(plain, &event.text).unwrap();
    }
    note("archive line");

    let level = Config::default().archive.level();
    for plain in tenants.values() {
        black_box(gzip::compress(plain, level));
    }
    note("gzip");
    stages
}

/// The lines of a record; of an aggregate of the Kinesis Producer Library, its objects.
fn lines(record: &[u8]) -> Vec<&[u8]> {
    if shared::format::kpl::is_aggregate(record) {
        // The objects are found by how they begin and end: nothing is faster.
        let starts = memchr::memmem::find_iter(record, b"{\"level\"");
        return starts
            .map(|start| {
                let end = memchr::memchr(b'}', &record[start..]).unwrap();
                &record[start..=start + end]
            })
            .collect();
    }
    record.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect()
}
