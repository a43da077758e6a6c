//! How many objects an event makes the pipeline write to S3, by size and by how well it compresses.

use std::collections::BTreeMap;
use std::fmt::Write;

use shared::gzip::{Level, compress};
use shared::noise::noise;
use tests::site::{answer, eventually};

const SIZES: [(&str, usize); 5] =
    [("1 KB", 1_000), ("300 KB", 300_000), ("1 MB", 1_000_000), ("5 MB", 5_000_000), ("10 MB", 10_000_000)];

/// Lines as a web server logs them: gzip makes about a seventh of them.
fn log_text(bytes: usize) -> String {
    let mut text = String::new();
    let mut state = 1_u64;
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (path, status) = (
            ["orders", "users", "carts"][(state >> 40) as usize % 3],
            [200, 404][(state >> 50) as usize % 2],
        );
        writeln!(
            text,
            "2026-11-21T09:30:00.{:03}Z INFO http request method=GET path=/api/v1/{path}/{} status={status} ms={}",
            (state >> 30) % 1_000,
            (state >> 34) % 100_000,
            (state >> 44) % 300
        )
        .unwrap();
    }
    text.truncate(bytes);
    text
}

/// Prints the table of `docs/decisions/0007-large-bodies.md`: `cargo test -p tests --test pipeline s3_writes -- --nocapture`.
#[tokio::test]
async fn an_event_that_fits_a_record_is_written_to_s3_once_with_its_batch() {
    let site = crate::site().configuration("[quotas]\ndefault = {}\n");
    let pipeline = site.start();
    let mut seen = site.stored().objects("").len();
    println!("| text | size | record fits | objects written |\n|---|---|---|---|");
    for (kind, make) in [("log", log_text as fn(usize) -> String), ("random", |bytes| noise(bytes, 7))] {
        for (name, bytes) in SIZES {
            let (text, id) = (make(bytes), format!("{kind}-{bytes}"));
            let fits = compress(text.as_bytes(), Level::FAST).len() < 1_040_000;
            let request = pipeline.post("/ingest").header("Content-Type", "text/plain");
            let request = request.header("X-Tenant-ID", "acme").header("Idempotency-Key", &id).body(text);
            assert_eq!(answer(request).await.0, 202);
            let event = ("acme".to_owned(), id);
            eventually("the archive line", || site.stored().archived().contains_key(&event).then_some(()))
                .await;

            let objects = site.stored().objects("");
            let mut written: BTreeMap<String, usize> = BTreeMap::new();
            let of_event = |key: &&String| key.contains(&event.1) || key.starts_with("events/");
            for key in objects.keys().filter(of_event) {
                let prefix = key.split('/').next().unwrap().to_owned();
                *written.entry(prefix).or_default() += 1;
            }
            let archive = written.insert("events".to_owned(), 1);
            assert!(archive.is_some_and(|archive| archive > 0));
            let new = objects.len() - seen;
            seen = objects.len();
            assert_eq!(written.values().sum::<usize>(), new, "{written:?}");
            assert!(!fits || new == 1, "{kind} {name}: {written:?}");
            let list: Vec<_> = written.iter().map(|(prefix, count)| format!("{count} {prefix}/")).collect();
            println!(
                "| {kind} | {name} | {} | {new}: {} |",
                if fits { "yes" } else { "no" },
                list.join(", ")
            );
        }
    }

    // The id of an earlier event with other content goes to quarantine: the fourth kind of object.
    let reused = pipeline.post("/ingest").header("Content-Type", "text/plain").header("X-Tenant-ID", "acme");
    let reused = reused.header("Idempotency-Key", "log-1000").body("other");
    assert_eq!(answer(reused).await.0, 202);
    eventually("the quarantine object", || {
        let bad = site.stored().objects("errors/");
        (!bad.is_empty()).then_some(())
    })
    .await;
    for (prefix, counter) in [
        ("events/", "objects_written"),
        ("claims/", "claim_parts_written"),
        ("texts/", "text_parts_written"),
        ("errors/", "quarantine_objects_written"),
    ] {
        let objects = site.stored().objects(prefix).len() as u64;
        assert!(objects > 0, "{prefix}");
        pipeline.metric_reaches(counter, objects).await;
        assert_eq!(pipeline.metric(counter).await, objects, "{counter} counts the objects under {prefix}");
    }
}
