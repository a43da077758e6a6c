//! Reading events back: one event, lists, and what neither ever shows.

use std::fmt::Write;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::format::archive_line::ArchiveLine;
use shared::format::claim_check::ClaimCheck;
use shared::format::item::HeldText;
use shared::format::manifest_row::{ManifestRow, TenantIndex, TenantRange};
use shared::gzip;
use shared::id::TenantId;
use shared::origin::ShardPosition;
use shared::time::Timestamp;
use tower::ServiceExt;

use crate::reader::{MemoryReader, event};
use crate::server::{ACME, Answer, JSON, Server, post_to};

/// When the server's clock stands.
const NOW: i64 = 1_795_253_400_123;
const BETA: (&str, &str) = ("x-tenant-id", "beta");

fn server(reader: &MemoryReader) -> Server {
    Server::reading(reader.clone(), |_| {})
}

fn get(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = headers.iter().fold(Request::get(path), |all, (name, value)| all.header(*name, *value));
    request.body(Body::empty()).unwrap()
}

async fn ids(server: &Server, query: &str) -> (Vec<String>, Option<String>) {
    let answer = server.send(get(&format!("/events{query}"), &[ACME])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    listed(&answer)
}

fn listed(answer: &Answer) -> (Vec<String>, Option<String>) {
    let events = answer.json["events"].as_array().unwrap();
    let ids = events.iter().map(|event| event["event_id"].as_str().unwrap().to_owned()).collect();
    (ids, answer.json["next_cursor"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn an_event_is_answered_whole() {
    let reader = MemoryReader::default();
    let mut stored = event("acme", "a/1", NOW, "tenants/acme");
    stored.item.facts.event_time = serde_json::from_str("\"2024-01-11T01:42:50.234200Z\"").unwrap();
    stored.item.facts.trace = Some("00-4bf9-00f0-01".to_owned());
    stored.item.content.as_mut().unwrap().fields.held =
        serde_json::from_str(r#"{"n":1.0,"big":12345678901234567890123}"#).unwrap();
    stored.item.expires_at = Some(1_800_000_000);
    stored.dispatch_status = Some("delivered".to_owned());
    reader.add(stored);
    let answer = server(&reader).send(get("/events/a%2F1", &[ACME])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    insta::assert_snapshot!(answer.text, @r#"{"event_id":"a/1","tenant_id":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","processed_at":"2026-11-21T09:30:00.123Z","event_time":"2024-01-11T01:42:50.234200Z","text":"User [REDACTED]","original_text":"User 555-0199","fields":{"n":1.0,"big":"12345678901234567890123"},"truncated":false,"dispatch_status":"delivered","expires_at":"2027-01-15T08:00:00.000Z","trace":"00-4bf9-00f0-01"}"#);
}

#[tokio::test]
async fn a_head_request_is_answered_like_a_get_without_the_body() {
    let reader = MemoryReader::default();
    reader.add(event("acme", "1", NOW, "tenants/acme"));
    for path in ["/events", "/events/1"] {
        let head = Request::builder().method(Method::HEAD).uri(path).header(ACME.0, ACME.1);
        let answer = server(&reader).send(head.body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""), "{path}");
        assert_eq!(answer.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn an_unknown_an_expired_and_a_foreign_event_are_the_same_404() {
    let reader = MemoryReader::default();
    let mut expired = event("acme", "expired", NOW, "tenants/acme");
    expired.item.expires_at = Some(NOW / 1_000);
    reader.add(expired);
    reader.add(event("beta", "foreign", NOW, "tenants/beta"));
    let server = server(&reader);
    for id in ["unknown", "expired", "foreign"] {
        let answer = server.send(get(&format!("/events/{id}"), &[ACME])).await;
        answer.assert_problem();
        assert_eq!(answer.shown(), "404 event_not_found");
        assert_eq!(
            answer.json["detail"],
            format!("there is no event `{id}` (an event that was accepted can be read within five seconds)")
        );
    }
    assert_eq!(server.send(get("/events/foreign", &[BETA])).await.status, 200);
    assert_eq!(ids(&server, "").await, (vec![], None), "nor is one of them listed");
}

#[tokio::test]
async fn a_list_before_the_first_and_after_the_last_time_is_empty() {
    let reader = MemoryReader::default();
    reader.add(event("acme", "1", NOW, "tenants/acme"));
    let server = server(&reader);
    for query in ["?to=1960-01-01T00:00:00Z", "?from=9999-12-31T23:59:59.999Z"] {
        assert_eq!(ids(&server, query).await, (vec![], None), "{query}");
    }
}

#[tokio::test]
async fn without_a_reader_both_routes_name_the_key_that_switches_them_on() {
    let server = Server::new();
    for path in ["/events", "/events/1"] {
        let answer = server.send(get(path, &[ACME])).await;
        answer.assert_problem();
        assert_eq!(answer.shown(), "403 reads_disabled");
        assert!(answer.json["detail"].as_str().unwrap().contains("`reads.enabled`"), "{answer:?}");
    }
    assert_eq!(server.send(post_to("/events", &[JSON, ACME], r#"{"text":"x"}"#)).await.status, 202);
}

#[tokio::test]
async fn bad_requests_are_refused_with_codes_of_their_own() {
    let reader = MemoryReader::default();
    let server = server(&reader);
    for (path, headers, expected) in [
        ("/events", &[][..], "400 tenant_missing"),
        ("/events/1", &[], "400 tenant_missing"),
        ("/events", &[("x-tenant-id", "no/slash")], "400 tenant_invalid"),
        ("/events", &[ACME, BETA], "400 tenant_conflict"),
        ("/events?limit=many", &[ACME], "400 limit_invalid"),
        ("/events?cursor=x", &[ACME], "400 cursor_invalid"),
        ("/events?from=x", &[ACME], "400 from_invalid"),
        ("/events?to=x", &[ACME], "400 to_invalid"),
        ("/events?tenant_id=beta", &[ACME], "400 parameter_unknown"),
        ("/events?limit=1&limit=1", &[ACME], "400 parameter_repeated"),
        ("/events/%0a", &[ACME], "400 event_id_invalid"),
        ("/events/%ff", &[ACME], "400 event_id_invalid"),
        ("/events/a/b", &[ACME], "404 not_found"),
    ] {
        let answer = server.send(get(path, headers)).await;
        answer.assert_problem();
        assert_eq!(answer.shown(), expected, "{path}");
    }
    assert_eq!(reader.queries(), [], "nothing was read");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_or_hangs_is_a_503_that_says_nothing_about_it() {
    for break_it in [MemoryReader::fail, MemoryReader::hang] {
        let reader = MemoryReader::default();
        break_it(&reader);
        for path in ["/events", "/events/1"] {
            let answer = server(&reader).send(get(path, &[ACME])).await;
            answer.assert_problem();
            assert_eq!(answer.shown(), "503 read_unavailable");
            assert!(answer.headers.contains_key("retry-after") && !answer.text.contains("account"));
        }
    }
}

#[tokio::test]
async fn a_list_is_newest_first_and_goes_on_where_the_page_ended() {
    let reader = MemoryReader::default();
    for (id, at) in [("old", 0), ("new", 9), ("b", 5), ("a", 5)] {
        reader.add(event("acme", id, NOW + at, "tenants/acme"));
    }
    reader.add(event("beta", "foreign", NOW + 7, "tenants/beta"));
    let server = server(&reader);
    let (first, cursor) = ids(&server, "?limit=2").await;
    assert_eq!(first, ["new", "b"]);
    let (second, cursor) = ids(&server, &format!("?limit=2&cursor={}", cursor.unwrap())).await;
    assert_eq!((second, cursor), (vec!["a".to_owned(), "old".to_owned()], None));
}

#[tokio::test]
async fn a_list_is_cut_to_its_span() {
    let reader = MemoryReader::default();
    for at in 0..4 {
        reader.add(event("acme", &at.to_string(), NOW + at, "tenants/acme"));
    }
    let server = server(&reader);
    let (from, to) = ("from=2026-11-21T09:30:00.124Z", "to=2026-11-21T09:30:00.126Z");
    assert_eq!(ids(&server, &format!("?{from}&{to}")).await.0, ["2", "1"]);
    assert_eq!(ids(&server, &format!("?{from}")).await.0, ["3", "2", "1"]);
    // A cursor of the whole list, before and after the span.
    let (_, newest) = ids(&server, "?limit=1").await;
    let (_, oldest) = ids(&server, "?limit=3").await;
    assert_eq!(ids(&server, &format!("?{from}&{to}&cursor={}", newest.unwrap())).await.0, ["2", "1"]);
    assert_eq!(ids(&server, &format!("?{from}&cursor={}", oldest.unwrap())).await.0, Vec::<String>::new());
}

#[tokio::test]
async fn a_cursor_of_another_tenant_is_refused_and_a_forged_one_shows_no_other_tenant() {
    let reader = MemoryReader::default();
    for id in ["1", "2"] {
        reader.add(event("acme", id, NOW, "tenants/acme"));
        reader.add(event("beta", id, NOW, "tenants/beta"));
    }
    let server = server(&reader);
    let (_, cursor) = ids(&server, "?limit=1").await;
    let answer = server.send(get(&format!("/events?cursor={}", cursor.unwrap()), &[BETA])).await;
    assert_eq!(answer.shown(), "400 cursor_invalid");
    for (tenant, partition, id) in [("beta", 0, "1"), ("beta", 9, "x"), ("beta", 0, "../../acme/1")] {
        let forged = json!([1, tenant, NOW + 1, partition, id]).to_string();
        let forged = base64_simd::URL_SAFE_NO_PAD.encode_to_string(forged);
        let answer = server.send(get(&format!("/events?cursor={forged}"), &[BETA])).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.text.contains("acme"), "{answer:?}");
    }
    assert!(reader.queries().iter().all(|query| query.partition == format!("tenants/{}", query.tenant)));
}

#[tokio::test]
async fn a_page_ends_before_it_is_too_large_for_an_answer_and_has_at_least_one_event() {
    let reader = MemoryReader::default();
    for id in 0..12 {
        let mut large = event("acme", &id.to_string(), NOW + id, "tenants/acme");
        let text = "\u{1}".repeat(150_000);
        large.item = large.item.with_texts(&text, &text);
        reader.add(large);
    }
    let server = server(&reader);
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = server.send(get(&format!("/events?limit=1000{cursor}"), &[ACME])).await;
        let escaped = answer.text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        assert!(answer.text.len() + escaped < shared::limits::LAMBDA_PAYLOAD_BYTES - 4_096);
        let (ids, next) = listed(&answer);
        assert!(!ids.is_empty());
        all.extend(ids);
        let Some(next) = next else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(all, (0..12).rev().map(|id| id.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn entries_without_a_live_item_are_passed_over() {
    let reader = MemoryReader::default();
    for id in 0..30 {
        reader.add(event("acme", &id.to_string(), NOW + id, "tenants/acme"));
        if id > 3 {
            reader.change("acme", &id.to_string(), |item| item.expires_at = Some(0));
        }
    }
    let server = server(&reader);
    let (first, cursor) = ids(&server, "?limit=5").await;
    assert_eq!(first, ["3", "2", "1", "0"], "a page of expired events is not the end");
    assert_eq!(cursor, None);
}

/// The archive with one line of acme, at the origin of the event, between lines of others.
pub(crate) fn archived(reader: &MemoryReader, server: &Server, line: &ArchiveLine<'_>) {
    let mut other = line.clone();
    other.origin.to_mut().position = 0;
    other.text = "other".into();
    other.claim_check = None;
    let foreign = gzip::compress(b"{\"not\":\"read\"}\n", gzip::Level::FAST);
    let own = gzip::compress(&[other.to_bytes(), line.to_bytes()].concat(), gzip::Level::FAST);
    let range = |tenant: &str, offset, length| TenantRange {
        tenant: TenantId::parse(tenant).unwrap(),
        offset,
        length,
        lines: 1,
    };
    reader.archive(ManifestRow {
        key: "events/x".to_owned(),
        first: ShardPosition::new("494", 0),
        end: ShardPosition::new("495", 2),
        bytes: foreign.len() + own.len(),
        sha256: String::new(),
        lines: 3,
        received_at: [Timestamp::from_unix_ms(NOW); 2],
        tenants: TenantIndex::Ranges(vec![
            range("aaaa", 0, foreign.len()),
            range("acme", foreign.len(), own.len()),
        ]),
    });
    server.objects.add("events/x", [foreign, own].concat());
}

/// A large event: its item has only the beginning. And its archive line.
pub(crate) fn large(reader: &MemoryReader, text: &str) -> ArchiveLine<'static> {
    let mut stored = event("acme", "1", NOW, "tenants/acme");
    let whole_bytes = Some(i64::try_from(text.len()).unwrap());
    let content = stored.item.content.as_mut().unwrap();
    content.original_text.whole_bytes = whole_bytes;
    content.modified_data = Some(HeldText { held: text[..10].to_owned(), whole_bytes });
    content.fields.whole_bytes = Some(9);
    reader.add(stored.clone());
    ArchiveLine {
        facts: std::borrow::Cow::Owned(stored.item.facts),
        processed_at: stored.item.processed_at,
        origin: std::borrow::Cow::Owned(stored.item.origin),
        text: text.to_owned().into(),
        fields: std::borrow::Cow::Owned(serde_json::from_str(r#"{"n":1.0}"#).unwrap()),
        original_text: None,
        claim_check: None,
    }
}

#[tokio::test]
async fn a_large_event_is_read_whole_from_the_archive_as_soon_as_it_is_there() {
    let reader = MemoryReader::default();
    let server = server(&reader);
    let text = "0123456789abcdef";
    let line = large(&reader, text);
    let answer = server.send(get("/events/1", &[ACME])).await;
    assert_eq!(answer.json["text"], "0123456789");
    assert_eq!((&answer.json["truncated"], &answer.json["text_bytes"]), (&json!(true), &json!(16)));

    archived(&reader, &server, &line);
    let answer = server.send(get("/events/1", &[ACME])).await;
    assert_eq!((&answer.json["text"], &answer.json["fields"]), (&json!(text), &json!({"n": 1.0})));
    assert_eq!((&answer.json["truncated"], answer.json.get("text_bytes")), (&json!(false), None));
    assert_eq!(answer.json["original_text_bytes"], 16, "the archive has no originals by default");

    let listed = server.send(get("/events", &[ACME])).await;
    assert_eq!(listed.json["events"][0]["truncated"], true, "a list shows what the item has");
}

#[tokio::test]
async fn of_an_item_without_content_an_event_is_read_from_the_archive_and_a_list_has_no_text() {
    let contents = |event: &Value| ["text", "original_text", "fields"].map(|name| event.get(name).cloned());
    for original in [None, Some("the original")] {
        let reader = MemoryReader::default();
        let server = server(&reader);
        let mut line = large(&reader, "the text of it");
        reader.change("acme", "1", |item| item.content = None);
        let answer = server.send(get("/events/1", &[ACME])).await;
        assert_eq!((answer.status, contents(&answer.json)), (StatusCode::OK, [None, None, None]));
        assert_eq!(answer.json["truncated"], true, "it is not archived yet");

        line.original_text = original.map(Into::into);
        archived(&reader, &server, &line);
        let answer = server.send(get("/events/1", &[ACME])).await;
        let expected = [Some(json!("the text of it")), original.map(Value::from), Some(json!({"n": 1.0}))];
        assert_eq!(contents(&answer.json), expected);
        assert_eq!(answer.json["truncated"], false);

        let listed = server.send(get("/events", &[ACME])).await;
        let listed = &listed.json["events"][0];
        assert_eq!((contents(listed), &listed["truncated"]), ([None, None, None], &json!(true)));
    }
}

#[tokio::test]
async fn an_item_without_a_changed_text_is_answered_with_the_original_as_its_text() {
    let reader = MemoryReader::default();
    let mut stored = event("acme", "1", NOW, "tenants/acme");
    stored.item.content.as_mut().unwrap().modified_data = None;
    reader.add(stored);
    let server = server(&reader);
    let one = server.send(get("/events/1", &[ACME])).await.json;
    let listed = server.send(get("/events", &[ACME])).await.json["events"][0].clone();
    for event in [one, listed] {
        assert_eq!(
            (&event["text"], &event["original_text"]),
            (&json!("User 555-0199"), &json!("User 555-0199"))
        );
        assert_eq!((&event["truncated"], &event["fields"]), (&json!(false), &json!({})));
    }
}

#[tokio::test]
async fn originals_are_whole_where_the_archive_has_them() {
    let reader = MemoryReader::default();
    let server = server(&reader);
    let mut line = large(&reader, "0123456789abcdef");
    line.original_text = Some("the original".into());
    archived(&reader, &server, &line);
    let answer = server.send(get("/events/1", &[ACME])).await;
    assert_eq!(answer.json["original_text"], "the original");
    assert_eq!(answer.json.get("original_text_bytes"), None);
}

#[tokio::test]
async fn a_line_that_is_stored_apart_is_followed() {
    let reader = MemoryReader::default();
    let server = server(&reader);
    let mut line = large(&reader, "0123456789abcdef");
    let whole = line.to_bytes();
    let stored = gzip::compress(&whole, gzip::Level::FAST);
    let key = |sha256: &str| format!("texts/acme/1/{sha256}");
    let (claim_check, parts) = ClaimCheck::new(stored, whole.len(), "hash".to_owned(), key);
    line.claim_check = Some(claim_check);
    archived(&reader, &server, &line);
    let answer = server.send(get("/events/1", &[ACME])).await;
    assert_eq!(answer.json["truncated"], true, "the part is missing: {answer:?}");
    for (key, bytes) in parts {
        server.objects.add(&key, bytes);
    }
    let answer = server.send(get("/events/1", &[ACME])).await;
    assert_eq!(answer.json["text"], "0123456789abcdef");
}

#[tokio::test]
async fn an_archive_object_that_has_expired_leaves_the_part_that_the_item_has() {
    let reader = MemoryReader::default();
    let server = server(&reader);
    let line = large(&reader, "0123456789abcdef");
    archived(&reader, &server, &line);
    let without_objects = Server::reading(reader.clone(), |_| {});
    let answer = without_objects.send(get("/events/1", &[ACME])).await;
    assert_eq!((answer.status, &answer.json["truncated"]), (StatusCode::OK, &json!(true)));
}

#[tokio::test]
async fn a_large_answer_is_compressed_for_clients_that_take_it() {
    let reader = MemoryReader::default();
    let server = server(&reader);
    let line = large(&reader, &"0123456789".repeat(100_000));
    archived(&reader, &server, &line);
    let request = get("/events/1", &[ACME, ("accept-encoding", "gzip")]);
    let (head, body) = server.router.clone().oneshot(request).await.unwrap().into_parts();
    assert_eq!(head.headers["content-encoding"], "gzip");
    assert_eq!(head.headers["vary"], "accept-encoding");
    let body = body.collect().await.unwrap().to_bytes();
    assert!(body.len() < 50_000);
    let cap = gzip::Cap { bytes: 2_000_000, ratio: u32::MAX };
    let read: Value = serde_json::from_slice(&gzip::inflate(&body, cap).unwrap()).unwrap();
    assert_eq!(read["text"].as_str().unwrap().len(), 1_000_000);
}

/// All pages, in order. After each page `between` is called.
async fn walk(server: &Server, limit: usize, mut between: impl FnMut()) -> Vec<(String, String)> {
    let (mut all, mut query) = (Vec::new(), format!("/events?limit={limit}"));
    for _ in 0..200 {
        let answer = server.send(get(&query, &[ACME])).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let events = answer.json["events"].as_array().unwrap();
        assert!(events.len() <= limit);
        let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
        all.extend(events.iter().map(|event| (text(event, "received_at"), text(event, "event_id"))));
        let Some(cursor) = answer.json["next_cursor"].as_str() else { return all };
        query.clear();
        write!(query, "/events?limit={limit}&cursor={cursor}").unwrap();
        between();
    }
    panic!("the list does not end");
}

proptest! {
    /// Over any partitions, with equal times, while newer events arrive, and older ones late.
    #[test]
    fn paging_gives_each_event_once_newest_first(
        times in proptest::collection::vec((0_i64..6, 0_usize..4), 0..40),
        arriving in proptest::collection::vec((0_i64..20, 0_usize..4), 0..10),
        limit in 1_usize..9,
    ) {
        let partitions = ["tenants/acme", "tenants/acme#0", "tenants/acme#1", "tenants/acme#2"];
        let reader = MemoryReader::default();
        for (number, (at, partition)) in times.iter().enumerate() {
            reader.add(event("acme", &number.to_string(), NOW + at, partitions[*partition]));
            reader.add(event("beta", &number.to_string(), NOW + at, "tenants/beta"));
        }
        let server = Server::reading(reader.clone(), |config| {
            config.tenants.spread.insert(TenantId::parse("acme").unwrap(), 3);
        });
        let mut arriving = arriving.into_iter().enumerate();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let walked = runtime.block_on(walk(&server, limit, || {
            if let Some((number, (at, partition))) = arriving.next() {
                reader.add(event("acme", &format!("late-{number}"), NOW + at, partitions[partition]));
            }
        }));
        prop_assert!(walked.is_sorted_by(|a, b| a.0 >= b.0), "{:?}", walked);
        let mut ids: Vec<_> = walked.iter().map(|(_, id)| id.clone()).collect();
        ids.sort();
        let all = ids.len();
        ids.dedup();
        prop_assert_eq!(ids.len(), all, "an event came twice");
        let known = ids.iter().filter(|id| !id.starts_with("late-")).count();
        prop_assert_eq!(known, times.len());
    }
}
