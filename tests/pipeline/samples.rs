//! `docs/samples`, read by the readers of each format. If a format changes, `make samples` writes them again.

use std::collections::{BTreeMap, BTreeSet};

use operate::archive::key_start;
use serde_json::{Value, json};
use shared::archive::each_line;
use shared::digest::sha256;
use shared::format::archive_line::ArchiveLine;
use shared::format::event_line::Event;
use shared::format::item::{Attribute, short};
use shared::format::key;
use shared::format::manifest_row::{ManifestRow, TenantIndex};
use shared::format::quarantine_line::QuarantineLine;
use shared::health::Gauge;
use shared::metric::{DIMENSION, Metric, NAMESPACE};

use crate::program;

fn text(name: &str) -> String {
    String::from_utf8(bytes(name)).unwrap()
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(tests::samples::folder().join(name)).unwrap()
}

fn document(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap()
}

fn attribute(object: &Value, name: &str) -> Option<Attribute> {
    match object.get(name)? {
        Value::String(text) => Some(Attribute::Text(text.clone())),
        Value::Number(number) => Some(Attribute::Number(number.as_i64().unwrap())),
        other => panic!("{other}"),
    }
}

#[test]
fn the_object_its_lines_and_its_manifest_row_are_the_same_events() {
    let (object, row) = (bytes("archive-object.ndjson.gz"), document("manifest-row.json"));
    let row = ManifestRow::read(|name| attribute(&row, name)).unwrap();
    assert_eq!((row.bytes, row.sha256), (object.len(), sha256(&object)));
    assert_eq!(key_start(&row.key).unwrap().1, row.first);

    let TenantIndex::Ranges(ranges) = row.tenants else { panic!("it has few tenants") };
    let mut read = String::new();
    for range in ranges {
        let mut count = 0;
        let member = &object[range.offset..range.offset + range.length];
        let members = each_line(member, |line: ArchiveLine<'_>, _| {
            assert_eq!(line.facts.tenant, range.tenant);
            // Written again, it is the same line.
            read += std::str::from_utf8(&line.to_bytes()).unwrap();
            count += 1;
        });
        assert_eq!((members.unwrap(), count), (1, range.lines));
    }
    assert_eq!(read, text("archive-lines.ndjson"));
    assert_eq!(read.lines().count(), row.lines);
}

#[test]
fn the_items_are_those_of_the_archive_lines() {
    let lines = text("archive-lines.ndjson");
    let mut archived: BTreeMap<_, ArchiveLine<'_>> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|line: ArchiveLine<'_>| ((line.facts.tenant.clone(), line.facts.id.clone()), line))
        .collect();
    for item in text("items.ndjson").lines() {
        let item: Value = serde_json::from_str(item).unwrap();
        let part = |name: &str| item[name].as_str().unwrap();
        let name = key::item_name(part("pk"), part("sk")).unwrap();
        let line = archived.remove(&name).unwrap();
        assert_eq!(part("modified_data"), line.text);
        assert_eq!(part("admission"), short::admission(line.facts.admission_id));
        assert_eq!(part("origin"), short::origin(&line.origin));
        let fields = item.get("fields").map_or("{}", |fields| fields.as_str().unwrap());
        assert_eq!(
            serde_json::from_str::<Value>(fields).unwrap(),
            serde_json::to_value(&line.fields).unwrap()
        );
        assert!(item["expires_at"].is_i64() && part("hash").len() == 32, "{item}");
    }
    assert!(archived.is_empty(), "{archived:?}");
}

#[test]
fn the_requests_are_those_events_and_the_last_one_went_to_quarantine() {
    let requests = document("requests.json");
    let requests = requests.as_array().unwrap();
    let items = text("items.ndjson");
    for request in requests {
        assert_eq!(request["status"], 202);
        let answer = &request["answer"];
        let batch = answer["events"].as_array().into_iter().flatten();
        for accepted in batch.chain([answer]).filter_map(|event| event["event_id"].as_str()) {
            assert!(items.contains(&format!("processed_logs/{accepted}\"")), "{accepted}");
        }
    }
    let line: QuarantineLine = serde_json::from_str(&text("quarantine.ndjson")).unwrap();
    let event: Event = serde_json::from_slice(&line.bytes).unwrap();
    let sent: Value = serde_json::from_str(requests.last().unwrap()["body"].as_str().unwrap()).unwrap();
    assert_eq!((line.reason.as_str(), sent["text"].as_str()), ("id_reused", Some(event.text.as_str())));
}

#[test]
fn the_log_names_the_object_and_the_quarantine() {
    let (log, row) = (text("log.txt"), document("manifest-row.json"));
    let written = log.lines().find(|line| line.contains("archive object written")).unwrap();
    let [key, size] = ["object_key", "object_bytes"].map(|name| &row[name]);
    assert!(
        written.contains(&format!("object.key={} object.bytes={size}", key.as_str().unwrap())),
        "{written}"
    );
    let digest = &sha256(&bytes("quarantine.ndjson"))[..16];
    assert!(log.contains(&format!("-{digest}.ndjson quarantine.lines=1")), "{log}");
}

#[test]
fn every_metric_in_the_samples_exists() {
    let known: BTreeSet<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    let metrics = document("metric-document.json");
    let declared = &metrics["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(declared["Namespace"], NAMESPACE);
    for metric in declared["Metrics"].as_array().unwrap() {
        let name = metric["Name"].as_str().unwrap();
        assert!(known.contains(name) && !metrics[name].is_null(), "{name}");
    }

    // The description of each is that of its metric.
    let local = text("metrics.txt");
    let names: BTreeSet<_> =
        local.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.contains("tidegate_events_stored_total") && names.len() > 5, "{names:?}");
    let gauges = Gauge::ALL.iter().map(|gauge| gauge.name());
    let gauges: BTreeSet<_> = gauges.flat_map(|name| [name.to_owned(), format!("{name}_total")]).collect();
    for name in names {
        let name = name.trim_start_matches("tidegate_");
        let pascal: String = name.split('_').map(capitalised).collect();
        let is_known = known.iter().any(|known| {
            [*known, &format!("{known}Total"), &format!("{known}Milliseconds")].contains(&pascal.as_str())
        });
        assert!(is_known || gauges.contains(name), "{name}");
    }

    let dashboard = document("dashboard.json");
    let mut graphs = 0;
    for widget in dashboard["widgets"].as_array().unwrap() {
        for metric in widget["properties"]["metrics"].as_array().into_iter().flatten() {
            if metric[0] == NAMESPACE {
                assert!(known.contains(metric[1].as_str().unwrap()), "{metric}");
                graphs += 1;
            }
        }
    }
    assert!(graphs > 10, "{graphs}");
}

#[tokio::test]
async fn a_functions_metrics_are_of_its_stage() {
    let (sample, printed) =
        (document("metric-document.json"), tests::samples::metric_document(program().as_ref()).await);
    for document in [sample, printed] {
        assert_eq!(
            document["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
            json!([[DIMENSION]]),
            "{document}"
        );
        assert_eq!(document[DIMENSION], "dev");
    }
}

fn capitalised(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_uppercase() + rest
}
