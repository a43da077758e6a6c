//! How long objects take to be read: `cargo test --release -p shared --test parse_time -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use shared::client_object::ClientObject;
use shared::config::IdSources;
use shared::format::event_line::Event;

#[test]
#[ignore = "a measurement"]
fn how_long_an_object_takes() {
    let small = r#"{"tenant_id":"acme","log_id":"123","text":"User 555-0199 accessed /reports","level":"info","user":8123,"ms":12.5}"#;
    let webhook = format!(
        r#"{{"id":820982911946154508,"status":"paid","total":"12.50","customer":{{"id":1,"email":"a@b.co","address":{{"city":"Köln","zip":"50667","lat":50.9375,"lon":6.9603}}}},"items":[{}{{"id":4}}]}}"#,
        r#"{"id":1,"sku":"A-1","quantity":2,"price":{"amount":1.25,"currency":"EUR"},"tags":["a","b"]},"#
            .repeat(8)
    );
    let members: Vec<_> = (0..200).map(|n| format!("\"name{n}\":{n},")).collect();
    let wide = format!("{{\"text\":\"x\",\"m\":{{{}\"n\":1}}}}", members.concat());
    let text = format!(r#"{{"id":"1","text":"{}"}}"#, "It was the best of times. ".repeat(300));
    let line = format!(
        r#"{{"v":1,"id":"1","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","text":"x","fields":{webhook}}}"#
    );
    assert!(serde_json::from_str::<Event>(&line).is_ok());
    for (name, json) in [("small", small), ("webhook", &webhook), ("200 members", &wide), ("text", &text)] {
        print_time(name, json, |json| {
            drop(black_box(ClientObject::parse(json, &IdSources::default().members)));
        });
    }
    print_time("event line", &line, |line| drop(black_box(serde_json::from_str::<Event>(line))));
}

fn print_time(name: &str, json: &str, read: impl Fn(&str)) {
    let round = || {
        let start = Instant::now();
        (0..1_000).for_each(|_| read(black_box(json)));
        start.elapsed()
    };
    let best = (0..20).map(|_| round()).min().unwrap_or(Duration::MAX);
    println!("{name:12} {:5} bytes: {:.2} µs", json.len(), best.as_secs_f64() * 1_000.0);
}
