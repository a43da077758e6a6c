//! Sizes and content codings.

use std::collections::HashSet;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use futures::StreamExt;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use shared::format::event_line::Event;
use shared::gzip::{self, Level};
use shared::id::Ids;
use shared::limits;
use uuid::Uuid;

use crate::server::{ACME, Faults, JSON, Server, TEXT, post};

fn gzip(data: &[u8]) -> Vec<u8> {
    gzip::compress(data, Level::FAST)
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    compress_to_vec(data, CompressionLevel::Fastest)
}

async fn check(headers: &[(&str, &str)], body: impl Into<Body>, expected: &str) {
    let server = Server::new();
    let answer = server.send(post(&[&[TEXT, ACME], headers].concat(), body)).await;
    assert_eq!(answer.shown(), expected, "{answer:?}");
}

/// Text that a compressor cannot make much of a lie about: no ratio is near the cap.
fn text(bytes: usize) -> Vec<u8> {
    (0..).flat_map(|n: u32| format!("{n:x} ").into_bytes()).take(bytes).collect()
}

#[tokio::test]
async fn ten_million_bytes_are_taken_and_one_more_is_not() {
    check(&[], text(limits::BODY_BYTES), "202").await;
    check(&[], text(limits::BODY_BYTES + 1), "413 body_too_large").await;
}

#[tokio::test]
async fn the_limit_holds_for_a_body_that_comes_in_pieces_of_unknown_number() {
    let pieces = |bytes: usize| {
        let chunks: Vec<_> = text(bytes).chunks(100_000).map(Bytes::copy_from_slice).collect();
        Body::from_stream(futures::stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>)))
    };
    check(&[], pieces(limits::BODY_BYTES), "202").await;
    check(&[], pieces(limits::BODY_BYTES + 1), "413 body_too_large").await;
}

#[tokio::test]
async fn the_limit_holds_for_what_a_body_inflates_to() {
    // The other codings have the same cap; `body/decode.rs` tries them at smaller sizes.
    check(&[("content-encoding", "gzip")], gzip(&text(limits::BODY_BYTES)), "202").await;
    check(&[("content-encoding", "gzip")], gzip(&text(limits::BODY_BYTES + 1)), "413 body_too_large").await;
}

#[tokio::test]
async fn a_bomb_is_refused() {
    let bomb = vec![0; 50_000_000];
    check(&[("content-encoding", "gzip")], gzip(&bomb), "413 body_too_large").await;
    check(&[("content-encoding", "deflate")], zlib(&bomb), "413 body_too_large").await;
    // Zstandard itself knows no bound on its ratio: 128 KiB of zeros in four bytes, 60 times.
    let header = b"\x28\xb5\x2f\xfd\x00\x50";
    let block = |is_last: u32| {
        (((128 * 1024) << 3) | 0b010 | is_last).to_le_bytes()[..3]
            .iter()
            .copied()
            .chain([0])
            .collect::<Vec<_>>()
    };
    let bomb = [&header[..], &block(0).repeat(59), &block(1)].concat();
    check(&[("content-encoding", "zstd")], bomb, "413 inflate_ratio").await;
}

#[tokio::test]
async fn a_compressed_body_is_what_it_inflates_to() {
    for (coding, encode) in [("gzip", gzip as fn(&[u8]) -> _), ("deflate", zlib), ("zstd", zstd)] {
        let server = Server::new();
        let request = post(&[TEXT, ACME, ("content-encoding", coding)], encode("grüße".as_bytes()));
        assert_eq!(server.send(request).await.status, 202);
        assert!(matches!(&server.events()[..], [Event { text, .. }] if text == "grüße"));
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let pieces = [Ok("begun"), Err(std::io::Error::other("connection reset"))];
    check(&[], Body::from_stream(futures::stream::iter(pieces)), "400 body_interrupted").await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_is_answered_in_time() {
    let silent = futures::stream::pending::<Result<Bytes, std::io::Error>>();
    check(&[], Body::from_stream(silent), "408 body_timeout").await;
}

/// How many of 120 pieces of a body, 12,000,000 bytes in all, the server reads before it answers.
async fn pieces_read(headers: &[(&str, &str)], expected: &str) -> usize {
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    let pieces = futures::stream::iter(0..120).map(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 100_000]))
    });
    check(headers, Body::from_stream(pieces), expected).await;
    read.load(Ordering::Relaxed)
}

#[tokio::test]
async fn what_is_left_of_a_refused_body_is_read_so_that_its_sender_gets_to_the_answer() {
    assert_eq!(pieces_read(&[], "413 body_too_large").await, 120);
    assert_eq!(pieces_read(&[("content-encoding", "br")], "415 content_encoding_unsupported").await, 120);
    let asks_first = [("expect", "100-continue"), ("content-length", "12000000")];
    assert_eq!(pieces_read(&asks_first, "413 body_too_large").await, 0);
}

#[tokio::test]
async fn an_object_is_flattened_to_no_more_text_than_it_has_bytes() {
    // Its paths alone would come to 1,500,000 bytes.
    let object = |id: u32| format!(r#"{{"id":{id},"{}":[{}1]}}"#, "k".repeat(1_500), "1,".repeat(1_000));
    let server = Server::new();
    let batch = format!("[{},{}]", object(1), object(2));
    assert_eq!(server.send(post(&[JSON, ACME], batch)).await.shown(), "202");
    assert!(server.events().iter().all(|event| event.text.len() <= object(1).len()));
}

#[tokio::test]
async fn a_large_body_is_not_cut_on_a_thread_that_serves() {
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&threads);
    let ids = Ids::new(move || {
        seen.lock().unwrap().insert(std::thread::current().id());
        Uuid::from_u128(1)
    });
    let server = Server::with_ids(Faults::default(), |_| {}, ids);
    let of_others = || {
        let mut threads = std::mem::take(&mut *threads.lock().unwrap());
        threads.remove(&std::thread::current().id());
        threads.len()
    };
    assert_eq!(server.send(post(&[JSON, ACME], r#"{"a":1}"#)).await.shown(), "202");
    assert_eq!(of_others(), 0);
    for (bytes, others) in [(100_000, 0), (200_000, 1)] {
        assert_eq!(server.send(post(&[TEXT, ACME], "t".repeat(bytes))).await.shown(), "202");
        assert_eq!(of_others(), others);
    }
}

/// The texts that a body became.
async fn texts(content_type: &str, body: &[u8]) -> Vec<String> {
    let server = Server::new();
    let answer = server.send(post(&[("content-type", content_type), ACME], body.to_vec())).await;
    assert_eq!(answer.shown(), "202", "{content_type}: {answer:?}");
    server.events().into_iter().map(|event| event.text).collect()
}

#[tokio::test]
async fn a_body_may_begin_with_a_mark_and_have_another_charset() {
    let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let json = "{\"text\":\"caf\u{e9}\"}";
    let lines = format!("{json}\n{json}\n");
    let latin = b"{\"text\":\"caf\xe9\"}";
    for (content_type, body, events) in [
        ("application/json", format!("\u{feff}{json}").into_bytes(), 1),
        ("application/json", format!("\u{feff}[{json}]").into_bytes(), 1),
        ("application/x-ndjson", format!("\u{feff}{lines}").into_bytes(), 2),
        ("text/plain", "\u{feff}caf\u{e9}".into(), 1),
        ("application/json", utf_16(&format!("\u{feff}{json}")), 1),
        ("text/plain; charset=utf-16", utf_16("\u{feff}caf\u{e9}"), 1),
        ("application/jsonl; charset=UTF-16LE", utf_16(&lines), 2),
        ("application/json; charset=ISO-8859-1", latin.to_vec(), 1),
        ("text/plain; charset=windows-1252", b"caf\xe9".to_vec(), 1),
        ("text/plain; charset=iso-8859-1", b"\xef\xbb\xbfcaf\xc3\xa9".to_vec(), 1),
    ] {
        assert_eq!(texts(content_type, &body).await, vec!["caf\u{e9}"; events], "{content_type} {body:?}");
    }
    assert_eq!(texts("text/plain; charset=ISO-8859-1", b"plain ASCII").await, ["plain ASCII"]);
}

#[tokio::test]
async fn a_body_that_becomes_too_large_by_its_charset_is_refused() {
    let euros = |bytes: usize| vec![0x80_u8; bytes];
    let windows = ("content-type", "text/plain; charset=windows-1252");
    for (body, coding, expected) in [
        (euros(limits::BODY_BYTES / 3), "identity", "202"),
        (euros(limits::BODY_BYTES / 3 + 1), "identity", "413 body_too_large"),
        (gzip(&euros(limits::BODY_BYTES)), "gzip", "413 body_too_large"),
    ] {
        let answer = Server::new().send(post(&[windows, ACME, ("content-encoding", coding)], body)).await;
        assert_eq!(answer.shown(), expected, "{answer:?}");
    }
}

#[tokio::test]
async fn zeros_after_a_compressed_body_do_not_matter_and_other_bytes_do() {
    for (coding, body) in [("gzip", gzip(b"text")), ("deflate", zlib(b"text"))] {
        check(&[("content-encoding", coding)], [&body[..], &[0; 512]].concat(), "202").await;
        check(&[("content-encoding", coding)], [&body[..], b"\0x"].concat(), "400 body_corrupt").await;
    }
}
