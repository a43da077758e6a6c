//! What an operator deletes by hand, while everything else goes on: an event's item, its claim checks, its lines in archive objects.
//! There is no command for it. An operator would do so:
//!
//! - Only objects that the manifest lists are rewritten: no attempt writes them any more.
//! - The tenant's member is compressed again without the line, the others stay as they are, and the manifest row follows.

use fastrand::Rng;
use shared::archive::{each_line, each_line_of_first};
use shared::digest::sha256;
use shared::format::archive_line::{ArchiveLine, Identity};
use shared::format::key;
use shared::format::manifest_row::{ManifestRow, TenantIndex, TenantRange};
use shared::gzip;
use shared::id::{EventId, TenantId};
use shared::origin::Origin;

use crate::data::Data;
use crate::scenario::Erasure;
use crate::world::{CallFailure, Process, State, Store};

type Name = (TenantId, EventId);

/// Deletes what the erasure says, of one event that has it. A call that fails ends it, as an operator would stop.
pub(crate) async fn erase(process: &Process, erasure: Erasure) -> Result<(), CallFailure> {
    let chosen = {
        let mut state = process.world().state();
        let State { data, random, .. } = &mut *state;
        choose(data, random, erasure)
    };
    let Some(name) = chosen else { return Ok(()) };
    if matches!(erasure, Erasure::Item | Erasure::Everything) {
        let erased = name.clone();
        let delete = move |state: &mut State| {
            let Some(item) = state.data.remove_item(&erased) else { return };
            state.count("items deleted by hand");
            let is_archived = is_archived(&state.data, &item.origin);
            let erased = state.data.erased.of(&erased);
            erased.items += 1;
            if !is_archived {
                erased.unarchived.push(item.content.map(|content| content.original_text.held));
            }
        };
        process.write(Store::Items, format!("delete the item of {name:?}"), delete).await?;
    }
    if matches!(erasure, Erasure::Claims | Erasure::Everything) {
        for key in keys_of(process, key::CLAIMS, &name) {
            let (what, erased) = (format!("delete {key}"), name.clone());
            let delete = move |state: &mut State| {
                if state.data.objects.remove(&key).is_some() {
                    state.count("claim checks deleted by hand");
                    state.data.erased.of(&erased).claims += 1;
                }
            };
            process.write(Store::Objects, what, delete).await?;
        }
    }
    if matches!(erasure, Erasure::Lines | Erasure::Everything) {
        let rows: Vec<_> = {
            let state = process.world().state();
            let rows = state
                .data
                .manifest
                .iter()
                .flat_map(|(shard, rows)| rows.values().map(|row| (shard.clone(), row.clone())));
            rows.collect()
        };
        for (shard, row) in rows {
            rewrite(process, shard, row, &name).await?;
        }
        for key in keys_of(process, key::TEXTS, &name) {
            let (what, erased) = (format!("delete {key}"), name.clone());
            let delete = move |state: &mut State| {
                if state.data.objects.remove(&key).is_some() {
                    state.data.erased.of(&erased).texts += 1;
                }
            };
            process.write(Store::Objects, what, delete).await?;
        }
    }
    Ok(())
}

/// One object without the event's lines, if it has any, and then its row.
async fn rewrite(process: &Process, shard: String, row: ManifestRow, name: &Name) -> Result<(), CallFailure> {
    let bytes = process.world().state().data.objects.get(&row.key).map(|object| object.bytes.clone());
    let Some(rewritten) = bytes.and_then(|bytes| without(&bytes, name)) else { return Ok(()) };
    let Rewritten { bytes, ranges, lines, removed } = rewritten;
    let row = ManifestRow {
        bytes: bytes.len(),
        sha256: sha256(&bytes),
        lines,
        tenants: TenantIndex::Ranges(ranges),
        ..row
    };
    let (key, erased) = (row.key.clone(), name.clone());
    let put = move |state: &mut State| {
        let Some(object) = state.data.objects.get_mut(&key) else { return };
        object.bytes = bytes.into();
        state.count("archive lines deleted by hand");
        state.data.erased.of(&erased).lines += removed;
        state.data.erased.objects.insert(key);
    };
    process.write(Store::Objects, format!("rewrite {} without {name:?}", row.key), put).await?;
    let what = format!("change the row of {}", row.key);
    let note = move |state: &mut State| {
        state.data.manifest.entry(shard).or_default().insert(row.first.clone(), row);
    };
    process.write(Store::Ledger, what, note).await
}

struct Rewritten {
    bytes: Vec<u8>,
    ranges: Vec<TenantRange>,
    lines: usize,
    removed: usize,
}

/// `None` if it has no line of the event.
fn without(object: &[u8], (tenant, id): &Name) -> Option<Rewritten> {
    let mut rewritten = Rewritten { bytes: Vec::new(), ranges: Vec::new(), lines: 0, removed: 0 };
    let mut offset = 0;
    while offset < object.len() {
        let (mut kept, mut text, mut lines, mut removed) = (None, Vec::new(), 0, 0);
        let length = each_line_of_first(&object[offset..], |line: Identity, bytes| {
            if (&line.tenant, &line.id) == (tenant, id) {
                removed += 1;
                return;
            }
            kept = Some(line.tenant);
            lines += 1;
            text.extend_from_slice(bytes.trim_ascii_end());
            text.push(b'\n');
        });
        let length = length.ok()?;
        let member = match removed {
            0 => object[offset..offset + length].to_vec(),
            _ => gzip::compress(&text, gzip::Level::FAST),
        };
        offset += length;
        rewritten.removed += removed;
        if let Some(tenant) = kept {
            let range = TenantRange { tenant, offset: rewritten.bytes.len(), length: member.len(), lines };
            rewritten.ranges.push(range);
            rewritten.lines += lines;
            rewritten.bytes.extend(member);
        }
    }
    if rewritten.lines == 0 {
        rewritten.bytes = gzip::compress(b"", gzip::Level::FAST);
    }
    (rewritten.removed > 0).then_some(rewritten)
}

/// Whether an archive object has the line of this origin.
fn is_archived(data: &Data, origin: &Origin) -> bool {
    let objects = data.objects.iter().filter(|(key, _)| key.starts_with("events/"));
    let mut is_archived = false;
    for (_, object) in objects {
        // The judge says if one cannot be read.
        let _read = each_line(&object.bytes, |line: ArchiveLine<'static>, _| {
            is_archived |= *line.origin == *origin;
        });
    }
    is_archived
}

fn keys_of(process: &Process, prefix: &str, name: &Name) -> Vec<String> {
    let state = process.world().state();
    let stored = state.data.objects.range(prefix.to_owned()..).map(|(key, _)| key);
    let within = stored.take_while(|key| key.starts_with(prefix));
    within.filter(|key| of_key(key).as_ref() == Some(name)).cloned().collect()
}

fn of_key(key: &str) -> Option<Name> {
    key::StoredLineKey::parse(key).map(|key| (key.tenant, key.id))
}

fn choose(data: &Data, random: &mut Rng, erasure: Erasure) -> Option<Name> {
    let names: Vec<Name> = match erasure {
        Erasure::Claims => {
            let claims = data.objects.keys().filter(|key| key.starts_with(key::CLAIMS));
            claims.filter_map(|key| of_key(key)).collect()
        }
        Erasure::Item | Erasure::Lines | Erasure::Everything => data.items.keys().cloned().collect(),
    };
    (!names.is_empty()).then(|| names[random.usize(..names.len())].clone())
}
