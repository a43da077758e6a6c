//! Archive lines of what clients should not send. `cdk/test/readers.test.ts` reads the same lines with `DuckDB`, Python and jq.
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};
use std::{env, fs};

use shared::client_object::ClientObject;
use shared::config::IdSources;
use shared::format::archive_line::ArchiveLine;
use shared::format::event_line::Event;
use shared::format::facts::{Facts, Source};
use shared::id::{AdmissionId, EventId, TenantId};
use shared::origin::Origin;
use shared::tier::Tier;
use shared::time::Timestamp;

const LINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cdk/test/readers/lines.ndjson");

/// What is sent, each under a name of its own.
fn sent() -> Vec<(&'static str, String)> {
    let digits = "7".repeat(5_000);
    let deep = format!("{}{{\"a\":1,\"a\":2}}{}", "[".repeat(118), "]".repeat(118));
    let integers = "[0,-1,9007199254740993,820982911946154508,9223372036854775807,-9223372036854775808]";
    let fractions = "[0.1,1.0,1e2,-0.0,1.7976931348623157e308,5e-324,0e99999,0.1234567890123456789012345]";
    let beyond = "[9223372036854775808,18446744073709551615,1e400,-1e400,1e-400,1e99999999999999999999]";
    let named = |member: &str| format!("{{\"text\":\"x\",{member}}}");
    vec![
        ("duplicates", named(r#""a":1,"b":{"c":1,"d":{"e":[1],"e":[{"f":1,"f":2}]},"c":3},"\u0061":2"#)),
        ("duplicate texts", r#"{"text":"one","text":"two","message":"three","id":1,"id":2}"#.to_owned()),
        ("duplicates deep within", named(&format!("\"deep\":{deep}"))),
        ("duplicates among many", named(&format!("\"m\":{{{}\"n7\":-1}}", many("n")))),
        ("case", named(r#""URL":"upper","url":"lower","nested":{"Id":1,"ID":2,"id":3}"#)),
        ("names", named(r#""":1,"a.b":2,"a\nb":3,"\"":4,"\\":5,"é":6,"e\u0301":7,"\u0000":8,"\ud83d\ude00":9,"$":10,"' OR 1":11"#)),
        ("names of ours", named(r#""v":9,"shard":"forged","position":{"v":1},"claim_check":{"key":"k"},"dt":"x","fields":{"a":1}"#)),
        ("integers", named(&format!("\"n\":{integers},\"minus\":-0"))),
        ("fractions", named(&format!("\"n\":{fractions}"))),
        ("numbers beyond", named(&format!("\"n\":{beyond}"))),
        ("digits", named(&format!("\"i\":{digits},\"f\":{digits}.5,\"s\":0.{digits},\"e\":1e-{digits}"))),
        ("texts", r#"{"text":"\u0000\u0001\n\r\t\u007f\u0085\u2028\u2029\ufeff\ufffe\uffff\ud83d\ude00\\\"/\/</script>"}"#.to_owned()),
        ("no text", r#"{"a\nadmin":"true","b":"\u2028c=1","b.c":2,"":{"":3}}"#.to_owned()),
        ("spaces", " { \"text\" : \"x\" , \"a\" : [ 1 , { } , [ ] , null , true ] }\r\n".to_owned()),
        ("leap second", named(r#""timestamp":"2016-12-31T23:59:60Z""#)),
        ("year 0", named(r#""timestamp":"0000-06-01T00:00:00Z""#)),
        ("year 10000", named(r#""timestamp":"9999-12-31T23:30:00-01:00""#)),
        ("year 1", named(r#""timestamp":"0001-01-01T00:00:00Z""#)),
        ("year 9999", named(r#""timestamp":"9999-12-31T23:59:59.999999999Z""#)),
        ("offset", named(r#""timestamp":"2024-01-11t10:15:30.25+23:59""#)),
        ("lower case", named(r#""timestamp":"2024-01-11t10:15:30z""#)),
        ("seconds", named(r#""timestamp":-62135596800"#)),
    ]
}

fn many(name: &str) -> String {
    let members: Vec<_> = (0..50).map(|n| format!("\"{name}{}\":{n},", n % 20)).collect();
    members.concat()
}

fn line(index: usize, json: &str) -> Vec<u8> {
    let object = ClientObject::parse(json, &IdSources::default().members).unwrap();
    let facts = Facts {
        id: EventId::parse(index.to_string()).unwrap(),
        admission_id: AdmissionId(uuid::Uuid::from_u128(index as u128)),
        tenant: TenantId::parse("acme").unwrap(),
        tier: Tier::parse("pro").unwrap(),
        source: Source::JsonUpload,
        received_at: Timestamp::from_unix_ms(1_795_253_400_000),
        event_time: object.event_time,
        trace: None,
    };
    let line = ArchiveLine {
        facts: Cow::Owned(facts),
        processed_at: Timestamp::from_unix_ms(1_795_253_402_000),
        origin: Cow::Owned(Origin {
            shard: "shardId-000000000000".into(),
            sequence_number: "1".into(),
            position: 0,
        }),
        text: Cow::Owned(object.text),
        fields: Cow::Owned(object.fields),
        original_text: None,
        claim_check: None,
    };
    line.to_bytes()
}

/// `UPDATE_LINES=1 cargo test -p shared --test readers` writes them again.
#[test]
fn the_lines_that_other_readers_read_are_what_is_written_today() {
    let sent = sent();
    let lines: Vec<u8> = sent.iter().enumerate().flat_map(|(index, (_, json))| line(index, json)).collect();
    if env::var_os("UPDATE_LINES").is_some() {
        fs::write(LINES, &lines).unwrap();
    }
    let (now, then) = (String::from_utf8(lines).unwrap(), fs::read_to_string(LINES).unwrap());
    assert_eq!(now.lines().count(), then.lines().count());
    for ((name, _), (now, then)) in sent.iter().zip(now.lines().zip(then.lines())) {
        assert_eq!(now, then, "{name}");
    }
}

/// `cargo test --release -p shared --test readers -- --ignored --nocapture`
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
    let line = String::from_utf8(line(0, &webhook)).unwrap();
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
