//! What becomes of events when nothing fails, and of data that is bad in itself.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use shared::config::{ArchiveContent, ItemContent, TransformStep};
use shared::format::event_line::Event;
use shared::format::record::unpack;
use shared::gzip;
use tokio::time::Instant;

use super::stores::{Fault, WrittenLines};
use super::{Pipeline, SHARD, admitted, batch, checked_in, pack, record, sequence_number};

/// The reasons of what is in quarantine, in order.
fn reasons(pipeline: &Pipeline) -> Vec<String> {
    let reason = |line: &Value| line["reason"].as_str().unwrap().to_owned();
    pipeline.objects.quarantined().iter().map(reason).collect()
}

fn event(line: &str) -> Vec<u8> {
    line.as_bytes().to_vec()
}

const GOLDEN_EVENT: &str = r#"{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50.234200Z","text":"User 555-0199 accessed /reports","fields":{"b":1.0,"a":[1e2]}}"#;

#[tokio::test(start_paused = true)]
async fn an_event_becomes_one_item_and_one_archive_line() {
    let pipeline = Pipeline::new();
    assert_eq!(pipeline.invoke(&[event(GOLDEN_EVENT)]).await, 1);

    let item = pipeline.items.get("acme", "123").unwrap();
    assert_eq!(item.origin.to_string(), format!("{SHARD}:95:0"));
    assert_eq!(item.texts(), ["User 555-0199 accessed /reports", "User [REDACTED] accessed /reports"]);
    assert_eq!(item.expires_at, Some(1_795_253_402 + 90 * 86_400));
    assert_eq!(pipeline.objects.keys(""), ["events/dt=2026-11-21/hr=09/shardId-000000000000-95-0.ndjson.gz"]);
}

#[tokio::test(start_paused = true)]
async fn an_item_has_what_the_configuration_says_of_the_events_content_and_the_archive_always_has_it() {
    let plain = GOLDEN_EVENT.replace("555-0199", "0199").replace("\"123\"", "\"plain\"");
    let mut lines = Vec::new();
    for (content, of_redacted, of_plain) in [
        (ItemContent::Both, Some(true), Some(true)),
        (ItemContent::Changed, Some(true), Some(false)),
        (ItemContent::Reference, None, None),
    ] {
        let mut pipeline = Pipeline::new();
        pipeline.config.items.content = content;
        assert_eq!(pipeline.invoke(&[event(GOLDEN_EVENT), event(&plain)]).await, 2);
        // Whether it has the text after the transform, if it has any content.
        let has = |id: &str| {
            let content = pipeline.items.get("acme", id).unwrap().content?;
            assert!(!content.fields.held.is_empty());
            Some(content.modified_data.is_some())
        };
        assert_eq!([has("123"), has("plain")], [of_redacted, of_plain], "{content:?}");
        lines.push(pipeline.objects.archived());
    }
    assert!(lines.iter().all(|other| *other == lines[0]));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_delivered_again_under_another_setting_is_the_same_event() {
    let modes = [ItemContent::Both, ItemContent::Changed, ItemContent::Reference];
    for (first, then) in modes.into_iter().flat_map(|first| modes.map(|then| (first, then))) {
        let mut pipeline = Pipeline::new();
        pipeline.config.items.content = first;
        assert_eq!(pipeline.invoke(&[event(GOLDEN_EVENT)]).await, 1);
        let stored = pipeline.items.get("acme", "123").unwrap();
        pipeline.config.items.content = then;
        // The batch again, a second copy of ours, and the client's second request.
        let again = GOLDEN_EVENT.replace("8000-000000000001", "8000-000000000002");
        assert_eq!(pipeline.invoke(&[event(GOLDEN_EVENT), event(GOLDEN_EVENT), event(&again)]).await, 3);
        assert_eq!(pipeline.items.get("acme", "123"), Some(stored));
        assert_eq!(pipeline.objects.archived().len(), 1, "{first:?}, then {then:?}");
        assert_eq!(reasons(&pipeline), [""; 0]);
    }
}

/// These bytes were in archives on 21 November 2026; analysts read them for as long as there are archives.
#[tokio::test(start_paused = true)]
async fn the_archive_line_has_golden_bytes() {
    let archived = async |pipeline: Pipeline| {
        pipeline.invoke(&[event(GOLDEN_EVENT)]).await;
        let key = pipeline.objects.keys("events/").remove(0);
        let cap = gzip::Cap { bytes: 10_000, ratio: 1_000 };
        String::from_utf8(gzip::inflate(&pipeline.objects.bytes(&key), cap).unwrap()).unwrap()
    };
    let mut both = Pipeline::new();
    both.config.archive.content = ArchiveContent::Both;
    insta::assert_snapshot!(archived(Pipeline::new()).await, @r#"{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50.234200Z","processed_at":"2026-11-21T09:30:02.000Z","text":"User [REDACTED] accessed /reports","fields":{"b":1.0,"a":[1e2]},"shard":"shardId-000000000000","sequence_number":"95","position":0}"#);
    insta::assert_snapshot!(archived(both).await, @r#"{"v":1,"id":"123","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50.234200Z","processed_at":"2026-11-21T09:30:02.000Z","text":"User [REDACTED] accessed /reports","fields":{"b":1.0,"a":[1e2]},"shard":"shardId-000000000000","sequence_number":"95","position":0,"original_text":"User 555-0199 accessed /reports"}"#);
}

#[tokio::test(start_paused = true)]
async fn constants_are_added_to_item_and_line_alike() {
    let mut pipeline = Pipeline::new();
    pipeline.config.transform.steps = vec![TransformStep::Enrich, TransformStep::Uppercase];
    pipeline.config.transform.enrich.insert("brand".to_owned(), "ours".into());
    pipeline.invoke(&[event(GOLDEN_EVENT)]).await;
    let fields = r#"{"b":1.0,"a":[1e2],"brand":"ours"}"#;
    assert_eq!(pipeline.items.get("acme", "123").unwrap().content.unwrap().fields.held.as_json(), fields);
    assert_eq!(pipeline.objects.archived()[0]["fields"], serde_json::from_str::<Value>(fields).unwrap());
    assert_eq!(pipeline.objects.archived()[0]["text"], "USER 555-0199 ACCESSED /REPORTS");
}

#[tokio::test(start_paused = true)]
async fn a_foreign_producers_object_is_an_event_of_the_default_tier() {
    let pipeline = Pipeline::new();
    let object = br#"{"tenant_id":"acme","id":7,"text":"hello","extra":[1]}"#.to_vec();
    let nameless = br#"{"tenant_id":"acme","text":"hello"}"#.to_vec();
    assert_eq!(pipeline.invoke(&[object, nameless.clone()]).await, 2);
    let item = pipeline.items.get("acme", "7").unwrap();
    assert_eq!(
        (item.facts.tier.as_str(), item.content.unwrap().fields.held.as_json()),
        ("free", r#"{"extra":[1]}"#)
    );
    assert_eq!(item.facts.received_at.unix_ms(), super::ARRIVAL_MS);

    let keys = pipeline.items.keys();
    pipeline.invoke_from(1, &[nameless]).await;
    assert_eq!(pipeline.items.keys(), keys, "its id follows from its origin");
}

#[tokio::test(start_paused = true)]
async fn bad_data_is_quarantined_and_its_neighbours_are_stored() {
    let pipeline = Pipeline::new();
    let mut mixed = record("acme", &["1"]);
    mixed.extend(b"not json\n");
    mixed.extend(record("acme", &["2"]));
    let records = [b"\x00garbage".to_vec(), mixed, b"\x1f\x8bnot gzip".to_vec(), record("beta", &["3"])];
    assert_eq!(pipeline.invoke(&records).await, 4);

    assert_eq!(pipeline.objects.archived_keys(), ["acme/1", "acme/2", "beta/3"]);
    assert_eq!(reasons(&pipeline), ["unrecognised", "malformed_json", "body_corrupt"]);
    let keys = pipeline.objects.keys("errors/");
    assert!(
        keys.len() == 1 && keys[0].starts_with("errors/dt=2026-11-21/shardId-000000000000-95-"),
        "{keys:?}"
    );
    let object = pipeline.objects.bytes(&keys[0]);
    let line = std::str::from_utf8(&object).unwrap().lines().nth(1).unwrap();
    insta::assert_snapshot!(line, @r#"{"reason":"malformed_json","detail":"the line is neither an event nor a JSON object with `tenant_id`: not a JSON object: expected ident at line 1 column 2","shard":"shardId-000000000000","sequence_number":"96","position":1,"arrival":"2026-11-21T09:30:00.000Z","partition_key":"acme","bytes":"bm90IGpzb24="}"#);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_which_nothing_can_be_read_is_quarantined_once_as_it_was_sent() {
    let pipeline = Pipeline::new();
    let events: Vec<_> = (0..200).map(|n| admitted(n, "acme", &n.to_string(), "x")).collect();
    let gzip = |data: &[u8]| shared::gzip::compress(data, shared::gzip::Level::FAST);
    let binary: Vec<u8> = (0..9_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let records = [
        gzip(&gzip(&pack(&events))),
        gzip(&binary),
        b"  java.lang.Error: no\n    at A.b(A.java:1)\n\n    at C.d(C.java:2)\r\n".to_vec(),
        b"\n{\"text\":\n {\"a\":\n".to_vec(),
        b"{\"text\":\"no tenant\"}\n{\"text\":\"no tenant\"}\n".to_vec(),
        b"[{}, 5]\0".to_vec(),
        binary,
    ];
    assert_eq!(pipeline.invoke(&records).await, records.len());
    let kept: Vec<_> = pipeline
        .objects
        .quarantined()
        .iter()
        .map(|line| base64_simd::STANDARD.decode_to_vec(line["bytes"].as_str().unwrap()).unwrap())
        .collect();
    assert!(kept == records, "{} lines", kept.len());
}

#[tokio::test(start_paused = true)]
async fn an_event_seen_twice_is_stored_once_and_says_why() {
    let pipeline = Pipeline::new();
    let first = admitted(1, "acme", "a", "hello");
    let resent = first.clone();
    let same = admitted(2, "acme", "a", "hello");
    let other = admitted(3, "acme", "a", "something else");
    let elsewhere = admitted(4, "beta", "a", "something else");
    let records = [pack(&[first]), pack(&[resent, same]), pack(&[other, elsewhere])];
    assert_eq!(pipeline.invoke(&records).await, 3);

    assert_eq!(pipeline.objects.archived_keys(), ["acme/a", "beta/a"]);
    assert_eq!(pipeline.objects.archived()[0]["sequence_number"], sequence_number(0));
    let quarantined = pipeline.objects.quarantined();
    assert_eq!(reasons(&pipeline), ["id_reused"]);
    let bytes = base64_simd::STANDARD.decode_to_vec(quarantined[0]["bytes"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, admitted(3, "acme", "a", "something else").line());
    assert_eq!(pipeline.items.calls(), [2], "what is known of the first needs no second call");
}

#[tokio::test(start_paused = true)]
async fn an_item_that_can_never_be_written_is_quarantined_and_not_archived() {
    let mut pipeline = Pipeline::new();
    pipeline.items.fail(|id| (id == "bad").then_some(Fault::Refused));
    assert_eq!(pipeline.invoke(&[record("acme", &["1", "bad", "2"])]).await, 1);
    assert_eq!(pipeline.objects.archived_keys(), ["acme/1", "acme/2"]);
    assert_eq!(reasons(&pipeline), ["item_refused"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_without_a_good_line_has_no_archive_object() {
    let pipeline = Pipeline::new();
    assert_eq!(pipeline.invoke(&[b"x".to_vec(), b"y".to_vec()]).await, 2);
    assert_eq!(pipeline.objects.keys("events/"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_same_batch_again_writes_nothing_new() {
    let pipeline = Pipeline::new();
    let records = [record("acme", &["1", "2"]), b"bad".to_vec(), record("beta", &["3"])];
    for _ in 0..3 {
        assert_eq!(pipeline.invoke(&records).await, 3);
    }
    assert_eq!(pipeline.objects.archived_keys(), ["acme/1", "acme/2", "beta/3"]);
    assert_eq!(pipeline.objects.quarantined().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_check_that_is_missing_or_holds_another_line_is_quarantined_as_a_head() {
    let pipeline = Pipeline::new();
    let head = |id: &str, line: &[u8]| {
        let mut event = admitted(1, "acme", id, "x");
        let parts = event.check_in(line);
        (event, parts)
    };
    let line = |id: &str, tenant: &str| admitted(1, tenant, id, "x").line();
    let (missing, _) = head("missing", &line("missing", "acme"));
    let (whole, whole_parts) = head("whole", &line("whole", "acme"));
    let mut records = vec![pack(std::slice::from_ref(&missing)), pack(&[whole])];
    let mut stored = whole_parts;
    let mut mismatched = |event: Event, parts: Vec<(String, Bytes)>| {
        records.push(pack(&[event]));
        stored.extend(parts);
    };
    let mut other_content = admitted(1, "acme", "content", "x");
    other_content.text = "y".to_owned();
    for (id, line) in [
        ("tenant", line("tenant", "beta")),
        ("id", line("another", "acme")),
        ("admission", admitted(2, "acme", "admission", "x").line()),
        ("content", other_content.line()),
        ("head", missing.line()),
        ("foreign", br#"{"tenant_id":"acme","id":"foreign","text":"x"}"#.to_vec()),
        ("binary", b"\xff".to_vec()),
    ] {
        let (event, parts) = head(id, &line);
        mismatched(event, parts);
    }
    let (other_bytes, mut parts) = head("bytes", &line("bytes", "acme"));
    parts[0].1 = Bytes::from_static(b"another");
    mismatched(other_bytes, parts);
    for (key, part) in stored {
        pipeline.objects.add(&key, part);
    }
    assert_eq!(pipeline.invoke(&records).await, records.len());
    assert_eq!(reasons(&pipeline), [&["claim_missing"][..], &["claim_mismatch"; 8]].concat());
    assert_eq!(pipeline.items.keys(), ["acme/whole"]);
    let quarantined = &pipeline.objects.quarantined()[0];
    let bytes = base64_simd::STANDARD.decode_to_vec(quarantined["bytes"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, missing.line());
}

/// S3 refuses a key that is too long every time, and a file system one that is a folder.
#[tokio::test(start_paused = true)]
async fn a_claim_check_at_another_key_than_the_events_own_is_never_followed() {
    let mut pipeline = Pipeline::new();
    pipeline.objects.fail(|effect| effect.starts_with("get ").then_some(Fault::Hangs));
    let sha256 = shared::digest::sha256(b"x");
    let elsewhere = [
        ("claims/acme/e/".to_owned() + &"long".repeat(300), sha256.clone()),
        ("claims/acme/e".to_owned(), sha256.clone()),
        (format!("claims/acme/e//{sha256}"), sha256.clone()),
        (format!("claims/acme/another/{sha256}"), sha256.clone()),
        (format!("claims/beta/e/{sha256}"), sha256.clone()),
        (format!("claims/acme/e/{}", sha256.to_uppercase()), sha256.to_uppercase()),
        ("claims/acme/e/".to_owned() + &"long".repeat(300), "long".repeat(300)),
        ("claims/acme/e/".to_owned(), String::new()),
    ];
    let count = elsewhere.len();
    let events = elsewhere.into_iter().enumerate().map(|(at, (key, sha256))| {
        let mut event = admitted(at as u128, "acme", "e", "");
        event.check_in(b"x");
        let claim_check = event.claim_check.as_mut().unwrap();
        (claim_check.key, claim_check.sha256) = (key, sha256);
        event
    });
    assert_eq!(pipeline.invoke(&[pack(&events.collect::<Vec<_>>())]).await, 1);
    assert_eq!(reasons(&pipeline), vec!["claim_mismatch"; count]);
}

#[tokio::test(start_paused = true)]
async fn of_a_record_with_more_claim_checks_than_are_fetched_the_rest_is_quarantined() {
    let mut pipeline = Pipeline::new();
    let head =
        |id: u32| checked_in(admitted(u128::from(id), "acme", &id.to_string(), "12345"), &pipeline.objects);
    let heads: Vec<_> = (1..=5).map(head).collect();
    let line_bytes = heads[0].claim_check.as_ref().unwrap().line_bytes;
    let records = [pack(&heads[..4]), pack(&heads[4..])];
    pipeline.config.limits.claim_check_bytes = 2 * usize::try_from(line_bytes).unwrap();
    // The next record waits for the next invocation, as it does after any record that uses up this one.
    assert_eq!(pipeline.invoke(&records).await, 1);
    assert_eq!(pipeline.objects.archived_keys(), ["acme/1", "acme/2"]);
    assert_eq!(reasons(&pipeline), ["claims_too_large"; 2]);
    assert_eq!(pipeline.invoke_from(1, &records[1..]).await, 2);
    assert_eq!(pipeline.objects.archived_keys(), ["acme/1", "acme/2", "acme/5"]);
}

#[test]
fn the_handlers_future_can_move_between_threads() {
    fn check<T: Send>(_: T) {}
    let consumer = Pipeline::new().consumer();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    check(consumer.handle(batch(0, &[b"x".to_vec()]), consumer.deadline(None)));
}

/// Bytes that are no record, or nearly one.
fn malformed() -> impl Strategy<Value = Vec<u8>> {
    let good = record("acme", &["1", "2"]);
    prop_oneof![
        any::<Vec<u8>>(),
        r#"\{("(v|admission_id|tenant_id|text|claim_check|id)":("[a-z\\]{0,3}"|[0-9]{1,3}|\{\}|null),?){0,5}\}?"#
            .prop_map(String::into_bytes),
        any::<Vec<u8>>().prop_map(|bytes| [&gzip::MAGIC, &bytes[..]].concat()),
        any::<Vec<u8>>().prop_map(|bytes| gzip::compress(&bytes, gzip::Level::FAST)),
        (0..good.len()).prop_map(move |end| good[..end].to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn malformed_records_never_stop_a_batch_and_each_line_is_stored_or_quarantined(
        records in proptest::collection::vec(malformed(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let pipeline = Pipeline::new();
        let finished = runtime.block_on(pipeline.invoke(&records));
        prop_assert_eq!(finished, records.len());

        let lines: usize = records.iter().map(|data| unpack(data, &[]).map_or(1, |r| r.entries.len())).sum();
        let quarantined = pipeline.objects.quarantined();
        let stored = pipeline.objects.archived().len();
        // What is left are truncated copies of the same two events.
        prop_assert!(quarantined.len() + stored <= lines);
        prop_assert!(lines - quarantined.len() - stored <= 2 * records.len());
        prop_assert_eq!(stored, pipeline.items.keys().len());
    }
}

#[tokio::test(start_paused = true)]
async fn an_invocation_ends_at_the_latest_after_the_configured_time_out() {
    let consumer = Pipeline::new().consumer();
    let now = Instant::now();
    let ends = |remaining| (consumer.deadline(remaining).archive - now).as_millis();
    assert_eq!(ends(None), 59_400);
    // The clock was set back by an hour after the host had named the end.
    assert_eq!(ends(Some(Duration::from_mins(61))), 59_400);
    assert_eq!(ends(Some(Duration::from_secs(30))), 29_700);
}
