//! `docs/samples`: what a few requests become, from a real run of `tidegate local`.
//!
//! Times, random ids, process ids, ports and folders are replaced by fixed ones, so that a new run changes little. The
//! archive object is compressed again from its changed lines, and its manifest row is computed from that.

#![expect(clippy::unwrap_used, reason = "this is test code, though not in a test target")]

mod mask;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use local::adapters::Plain;
use local::event_source_mapping::ports::Invoker;
use local::runtime_api::{FunctionHost, FunctionSpec, LogSink};
use operate::deployment::{Deployment, ManifestPart};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Map, Value, json};
use shared::archive::each_line_of_first;
use shared::digest::sha256;
use shared::environment;
use shared::format::archive_line::Owner;
use shared::format::item::Attribute;
use shared::format::manifest_row::{ManifestRow, TenantIndex, TenantRange};
use shared::format::quarantine_line::QuarantineLine;
use shared::gzip;

use crate::site::{DEADLINE, LocalRun, Site, eventually};
use mask::{Mask, at};

/// Where the samples are.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/samples"))
}

struct Request {
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const TIER: (&str, &str) = ("X-Customer-Tier", "pro");

/// Five events of three tenants, sent at once: one object.
const REQUESTS: [Request; 4] = [
    Request {
        path: "/ingest",
        headers: &[TIER, JSON],
        body: r#"{"tenant_id":"acme","log_id":"123","text":"User 555-0199 accessed /reports","level":3}"#,
    },
    Request {
        path: "/ingest",
        headers: &[TIER, ("X-Tenant-ID", "beta_inc"), ("Content-Type", "text/plain")],
        body: "disk full on node-7, call 555-0199",
    },
    Request {
        path: "/v1/webhooks/gamma/events/new",
        headers: &[TIER, JSON],
        body: r#"{"event_timestamp":"2024-01-11T01:42:50.234200+00:00","name":"question","body":"what is the capital of India?"}"#,
    },
    Request {
        path: "/events",
        headers: &[TIER, JSON],
        body: r#"[{"tenant_id":"acme","id":"124","text":"mail to a@example.com sent"},{"tenant_id":"acme","id":"125","text":"done"}]"#,
    },
];
const EVENTS: usize = 5;

/// Sent when the others are stored: the id of the first event with another text, which goes to quarantine.
const REUSED: Request = Request {
    path: "/ingest",
    headers: &[TIER, JSON],
    body: r#"{"tenant_id":"acme","log_id":"123","text":"another text"}"#,
};

/// Runs `program`, which is `tidegate`, and writes the files.
pub async fn write(program: &Path) {
    let site = Site::at_deployed_pace(program);
    let pipeline = site.start();
    let mut answers = Vec::new();
    for request in &REQUESTS {
        answers.push(sent(&pipeline, request).await);
    }
    pipeline.metric_reaches("events_stored", EVENTS as u64).await;
    answers.push(sent(&pipeline, &REUSED).await);
    pipeline.metric_reaches("events_quarantined", 1).await;
    eventually("quarantine", || (!site.stored().quarantined().is_empty()).then_some(())).await;
    let url = pipeline.url.clone();
    let metrics = pipeline.client.get(format!("{url}/metrics")).timeout(DEADLINE).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let log = pipeline.stop_and_read_log();
    let document = metric_document(program).await;

    // In this order, so that ids are numbered as they appear in the requests.
    let mut mask = Mask::new(&site.data(), &url);
    save("requests.json", mask.text(&format!("{:#}\n", Value::Array(answers))));
    let object_bytes = archive(&site, &mut mask).await;
    save("items.ndjson", items(&site.data(), &mut mask));
    let quarantine = quarantine(&site, &mut mask);
    save("log.txt", mask.log(&log, object_bytes, &sha256(quarantine.as_bytes())));
    save("quarantine.ndjson", quarantine);
    save("metrics.txt", in_order(&metrics));
    save("metric-document.json", mask.text(&format!("{document:#}\n")));
}

fn save(name: &str, content: impl AsRef<[u8]>) {
    std::fs::write(folder().join(name), content).unwrap();
}

/// The metrics by name: `/metrics` has them in no order.
fn in_order(metrics: &str) -> String {
    let mut metrics: Vec<_> = metrics.split("\n\n").map(str::trim).filter(|one| !one.is_empty()).collect();
    metrics.sort_unstable();
    metrics.join("\n\n") + "\n"
}

/// The request with its answer.
async fn sent(pipeline: &LocalRun, request: &Request) -> Value {
    let Request { path, headers, body } = request;
    let mut post = pipeline.client.post(format!("{}{path}", pipeline.url)).timeout(DEADLINE);
    for (name, value) in *headers {
        post = post.header(*name, *value);
    }
    let answer = post.body(*body).send().await.unwrap();
    let status = answer.status().as_u16();
    assert_eq!(status, 202, "{path}");
    let answer: Value = answer.json().await.unwrap();
    let headers: Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    json!({"method": "POST", "path": path, "headers": headers, "body": body, "status": status, "answer": answer})
}

/// Writes the object, its lines and its manifest row. Returns the object's size.
async fn archive(site: &Site, mask: &mut Mask) -> usize {
    let (key, object) = site.stored().objects("events").pop_first().unwrap();
    let deployment = local::deployment::open(&site.data(), &Plain).await.unwrap();
    let mut rows = Vec::new();
    for shard in deployment.shards().await.unwrap() {
        rows.extend(deployment.manifest(&shard, ManifestPart::After(None)).await.unwrap());
    }
    let [row] = &rows[..] else {
        panic!("the events were not in one object, but in {}: run it again", rows.len())
    };
    assert_eq!(row.key, key);

    let level = shared::config::Config::default().archive.level();
    let (mut text, mut masked, mut ranges, mut rest) = (String::new(), Vec::new(), Vec::new(), &object[..]);
    while !rest.is_empty() {
        let (mut lines, mut tenant, mut count) = (String::new(), None, 0);
        let length = each_line_of_first(rest, |owner: Owner, line| {
            lines += &mask.text(std::str::from_utf8(line).unwrap());
            lines.push('\n');
            tenant = Some(owner.tenant);
            count += 1;
        });
        rest = &rest[length.unwrap()..];
        let member = gzip::compress(lines.as_bytes(), level);
        let (tenant, offset, length) = (tenant.unwrap(), masked.len(), member.len());
        ranges.push(TenantRange { tenant, offset, length, lines: count });
        masked.extend(member);
        text += &lines;
    }
    let row = ManifestRow {
        key: mask.text(&row.key),
        bytes: masked.len(),
        sha256: sha256(&masked),
        received_at: [at(); 2],
        tenants: TenantIndex::Ranges(ranges),
        ..row.clone()
    };
    let attributes =
        row.attributes().into_iter().map(|(name, attribute)| (name.to_owned(), value(attribute)));
    save("archive-lines.ndjson", text);
    save("archive-object.ndjson.gz", &masked);
    save("manifest-row.json", format!("{:#}\n", Value::Object(attributes.collect())));
    masked.len()
}

fn value(attribute: Attribute) -> Value {
    match attribute {
        Attribute::Text(text) => text.into(),
        Attribute::Number(number) => number.into(),
        Attribute::Flag(flag) => flag.into(),
    }
}

/// The rows of the items table, without the attributes that an item does not have.
fn items(data: &Path, mask: &mut Mask) -> String {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(data.join("tidegate.sqlite"), flags).unwrap();
    let mut select = database.prepare("SELECT * FROM items ORDER BY pk, sk").unwrap();
    let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
    let mut rows = select.query([]).unwrap();
    let mut items = String::new();
    while let Some(row) = rows.next().unwrap() {
        let mut item = Map::new();
        for (index, column) in columns.iter().enumerate() {
            let value = match row.get_ref(index).unwrap() {
                ValueRef::Null => continue,
                ValueRef::Integer(seconds) if column == "expires_at" => mask.expiry(seconds).into(),
                ValueRef::Integer(number) => number.into(),
                text if column == "admission" => mask.admission(text.as_str().unwrap()).into(),
                other => other.as_str().unwrap().into(),
            };
            item.insert(column.clone(), value);
        }
        items += &mask.text(&Value::Object(item).to_string());
        items.push('\n');
    }
    items
}

/// The quarantine lines. Their bytes are event lines, so they are masked as well.
fn quarantine(site: &Site, mask: &mut Mask) -> String {
    let lines = site.stored().quarantined().into_iter().map(|line| {
        let mut line: QuarantineLine = serde_json::from_value(line).unwrap();
        line.bytes = mask.text(std::str::from_utf8(&line.bytes).unwrap()).into_bytes();
        mask.text(&serde_json::to_string(&line).unwrap()) + "\n"
    });
    lines.collect()
}

/// What `ingest-fn` of the stage `dev` prints for CloudWatch after an invocation.
pub async fn metric_document(program: &Path) -> Value {
    let data = tempfile::tempdir().unwrap();
    let (documents, arguments) = (Arc::new(Mutex::new(Vec::new())), ["function", "ingest-fn", "--data"]);
    let taken = Arc::clone(&documents);
    let host = FunctionHost::start(FunctionSpec {
        name: "ingest-fn".to_owned(),
        program: program.into(),
        arguments: arguments.map(Into::into).into_iter().chain([data.path().into()]).collect(),
        environment: vec![(environment::STAGE.to_owned(), "dev".to_owned())],
        timeout: Duration::from_mins(1),
        memory_mb: 512,
        maximum_environments: 1,
        log_sink: LogSink::new(move |line| {
            taken.lock().unwrap().extend(line.text.starts_with(r#"{"_aws""#).then_some(line.text));
        }),
    });
    let http =
        json!({"method": "POST", "path": "/ingest", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.1"});
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/ingest",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "x-customer-tier": "pro"},
        "requestContext": {"accountId": "anonymous", "apiId": "id", "stage": "$default", "time": "21/Nov/2026:09:30:00 +0000", "timeEpoch": at().unix_ms(), "http": http},
        "body": REQUESTS[0].body,
        "isBase64Encoded": false,
    });
    let answer: Value =
        serde_json::from_slice(&host.invoke(event.to_string().into()).await.unwrap()).unwrap();
    assert_eq!(answer["statusCode"], 202);
    let document = eventually("a metric document", || documents.lock().unwrap().pop()).await;
    host.shutdown(Duration::from_secs(2)).await;
    serde_json::from_str(&document).unwrap()
}
