//! The page of the local run: who gets it, and what it answers. `tests/page` opens it in a browser.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tests::site::{DEADLINE, LocalRun, answer, eventually};

const STATE: &str = "/_/api/state";
const FILES: [&str; 7] = ["", "page.css", "page.js", "pipeline.js", "charts.js", "data.js", "dom.js"];

fn get(pipeline: &LocalRun, path: &str) -> RequestBuilder {
    pipeline.client.get(format!("{}{path}", pipeline.url)).timeout(DEADLINE)
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

async fn read(pipeline: &LocalRun, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    answer(get(pipeline, &format!("/_/api/{path}?{query}"))).await
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_is_not_stored() {
    let pipeline = crate::site().start();
    for file in FILES {
        let response = get(&pipeline, &format!("/_/{file}")).send().await.unwrap();
        assert_eq!(response.status(), 200, "{file}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        let others = [
            header("cache-control"),
            header("x-content-type-options"),
            header("cross-origin-resource-policy"),
        ];
        assert_eq!(others, ["no-store", "nosniff", "same-origin"], "{file}");
        let text = response.text().await.unwrap();
        for elsewhere in ["https://", "innerHTML", "eval("] {
            assert!(!text.contains(elsewhere), "{file} has {elsewhere}");
        }
    }
    let redirected = get(&pipeline, "/_").send().await.unwrap();
    assert_eq!((redirected.status().as_u16(), redirected.url().path()), (200, "/_/"));
    // It reads only.
    assert_eq!(status(pipeline.post(STATE)).await, 405);
}

#[tokio::test]
async fn a_name_that_points_to_this_machine_gets_nothing() {
    let pipeline = crate::site().start();
    let port = pipeline.url.rsplit_once(':').unwrap().1;
    for path in ["/_/", "/_/page.js", STATE, "/_/api/items"] {
        for host in
            ["evil.example".to_owned(), format!("evil.example:{port}"), format!("127.0.0.1.nip.io:{port}")]
        {
            assert_eq!(status(get(&pipeline, path).header("Host", &host)).await, 403, "{path} {host}");
        }
        for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            assert_eq!(status(get(&pipeline, path).header("Host", &host)).await, 200, "{path} {host}");
        }
    }
}

#[tokio::test]
async fn the_page_of_another_site_gets_nothing() {
    let pipeline = crate::site().start();
    for path in ["/_/", STATE, "/_/api/quarantine"] {
        for origin in ["https://evil.example", "http://localhost:3000", "null"] {
            assert_eq!(status(get(&pipeline, path).header("Origin", origin)).await, 403, "{path} {origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert_eq!(
                status(get(&pipeline, path).header("Sec-Fetch-Site", site)).await,
                403,
                "{path} {site}"
            );
        }
        let own =
            get(&pipeline, path).header("Origin", &pipeline.url).header("Sec-Fetch-Site", "same-origin");
        assert_eq!(status(own).await, 200, "{path}");
    }
}

#[tokio::test]
async fn where_other_machines_can_connect_there_is_no_page() {
    let site = crate::site();
    let mut command = site.to_run(&["local", "--listen", "0.0.0.0:0"]);
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port = lines.find_map(|line| Some(line.strip_prefix("  requests  http://0.0.0.0:")?.to_owned()));
    let port = port.unwrap();
    let url = format!("http://127.0.0.1:{}", port.trim_end_matches("/ingest"));
    let client = reqwest::Client::new();
    let get = |path: &str| status(client.get(format!("{url}{path}")).timeout(DEADLINE));
    assert_eq!((get("/health").await, get("/_/").await, get(STATE).await), (200, 404, 404));
    run.kill().unwrap();
    run.wait().unwrap();
}

#[tokio::test]
async fn stored_data_is_not_shown_where_requests_need_a_credential_or_events_cannot_be_read_back() {
    let off = crate::site().configuration("[reads]\nenabled = false\n");
    let pipeline = off.start();
    assert_eq!(read(&pipeline, "state", &[]).await.1["settings"]["shows_data"], false);
    for path in ["objects", "lines", "items", "event", "quarantine"] {
        let (code, body) = read(&pipeline, path, &[]).await;
        assert_eq!(
            (code, body["error"].as_str().unwrap().contains("`reads.enabled`")),
            (400, true),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_page_has_the_numbers_of_metrics() {
    let site = crate::site().shards(2);
    let pipeline = site.start();
    for n in 0..5 {
        pipeline.send(&json!({"tenant_id": "acme", "id": n.to_string(), "text": "x"})).await;
    }
    pipeline.metric_reaches("events_stored", 5).await;
    let until = std::time::Instant::now() + DEADLINE;
    let state = loop {
        let state = read(&pipeline, "state", &[]).await.1;
        if state["history"]["series"]["tidegate_events_stored_total"].as_array().and_then(|all| all.last())
            == Some(&json!(5.0))
        {
            break state;
        }
        assert!(std::time::Instant::now() < until, "{state}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let metrics = get(&pipeline, "/metrics").send().await.unwrap().text().await.unwrap();
    let shown = state["history"]["series"].as_object().unwrap();
    for name in shown.keys() {
        assert!(metrics.contains(&format!("\n{name} ")), "{name} is not in /metrics");
    }
    for name in ["tidegate_events_accepted_total", "tidegate_records_waiting", "tidegate_spill_depth"] {
        assert!(shown.contains_key(name), "{name}");
    }
    let shards: Vec<_> = state["shards"].as_array().unwrap().iter().map(|shard| &shard["id"]).collect();
    assert_eq!(shards, ["shardId-000000000000", "shardId-000000000001"]);
    // What it has is not sent again.
    let last = state["history"]["at"].as_array().unwrap().last().unwrap().to_string();
    let newer = read(&pipeline, "state", &[("after", &last)]).await.1;
    assert!(
        newer["history"]["at"].as_array().unwrap().len() <= 1 + usize::from(newer["now"] != state["now"])
    );
    assert_eq!(read(&pipeline, "state", &[("after", "x")]).await.0, 400);
}

#[test]
fn every_metric_that_the_page_or_the_grafana_dashboard_names_is_one_of_metrics() {
    let names: Vec<_> = local::prometheus::names().collect();
    let is_metric = |name: &str| {
        let name = format!("tidegate_{}", name.trim_end_matches("_count"));
        names.contains(&name)
    };
    let read =
        |file: &str| std::fs::read_to_string(format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    // In these files, only names of metrics and of settings have underlines.
    let literal = regex::Regex::new(r#""([a-z]+(?:_[a-z]+)+)""#).unwrap();
    for (file, least) in [("charts.js", 25), ("pipeline.js", 25)] {
        let text = read(&format!("local/src/page/web/{file}"));
        let found: Vec<_> = literal.captures_iter(&text).map(|found| found[1].to_owned()).collect();
        assert!(found.len() >= least, "{file}: {found:?}");
        let unknown: Vec<_> =
            found.iter().filter(|name| *name != "freshness_ms" && !is_metric(name)).collect();
        assert_eq!(unknown, Vec::<&String>::new(), "{file}");
    }
    let dashboard: Value = serde_json::from_str(&read("docs/grafana.json")).unwrap();
    let of_query = regex::Regex::new("tidegate_([a-z_]+)").unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap());
    for query in queries {
        let name = &of_query.captures(query).unwrap_or_else(|| panic!("{query}"))[1];
        assert!(is_metric(name), "{query}");
    }
}

#[tokio::test]
async fn lists_are_bounded_and_newest_first_and_lead_to_one_events_way() {
    let site = crate::site();
    let pipeline = site.start();
    let batch: Vec<_> = (0..130)
        .map(
            |n| json!({"tenant_id": format!("t{}", n % 60), "id": format!("e/{n}"), "text": "é".repeat(300)}),
        )
        .collect();
    assert_eq!(answer(pipeline.post("/ingest").json(&batch)).await.0, 202);
    pipeline.metric_reaches("events_stored", 130).await;
    let (_, items) = read(&pipeline, "items", &[]).await;
    let listed = items["items"].as_array().unwrap();
    assert_eq!((listed.len(), items["tenants"].as_array().unwrap().len()), (50, 60));
    assert_eq!(listed[0]["text"], "é".repeat(200));

    let (_, objects) = read(&pipeline, "objects", &[]).await;
    let key = objects["objects"][0]["key"].as_str().unwrap();
    let (_, lines) = read(&pipeline, "lines", &[("key", key)]).await;
    let count = lines["count"].as_u64().unwrap();
    assert_eq!(lines["lines"].as_array().unwrap().len(), usize::try_from(count).unwrap().min(100));
    let last = (count - 1).to_string();
    let (_, end) = read(&pipeline, "lines", &[("key", key), ("from", &last)]).await;
    assert_eq!((end["lines"].as_array().unwrap().len(), &end["more"]), (1, &json!(false)));
    for (key, code) in [("errors/x", 400), ("../tidegate.sqlite", 400), ("events/../../tidegate.sqlite", 200)]
    {
        let (found, body) = read(&pipeline, "lines", &[("key", key)]).await;
        assert_eq!((found, body["lines"].is_null()), (code, true), "{key}: {body}");
    }

    let (tenant, id) = (listed[0]["tenant"].as_str().unwrap(), listed[0]["id"].as_str().unwrap());
    let (_, way) = read(&pipeline, "event", &[("tenant", tenant), ("id", id)]).await;
    let line: Value = serde_json::from_str(way["line"].as_str().unwrap()).unwrap();
    assert_eq!((&line["tenant"], &line["id"]), (&json!(tenant), &json!(id)));
    assert_eq!(
        (&way["item"]["original_text"], &way["origin"]["position"]),
        (&line["text"], &line["position"])
    );
    assert!(way["record"]["arrival"].is_string() && way["object"]["written"].is_string(), "{way}");
    assert_eq!(
        read(&pipeline, "event", &[("tenant", "t0"), ("id", "other")]).await.1,
        json!({"found": false})
    );
    assert_eq!(read(&pipeline, "event", &[("tenant", "no/slash"), ("id", "x")]).await.0, 400);
    assert_eq!(read(&pipeline, "event", &[]).await.0, 400);
}

#[tokio::test]
async fn quarantine_is_shown_with_reason_and_bytes() {
    let site = crate::site();
    let pipeline = site.start();
    assert_eq!(read(&pipeline, "quarantine", &[]).await.1["lines"], json!([]));
    site.stored().put_foreign("anyone", b"\x00poison");
    site.stored().put_foreign("anyone", &[b'x'; 5_000]);
    eventually("in quarantine", || (site.stored().quarantined().len() == 2).then_some(())).await;
    let (_, found) = read(&pipeline, "quarantine", &[]).await;
    let lines = found["lines"].as_array().unwrap();
    let poison = lines.iter().find(|line| line["size"] == 7).unwrap();
    assert_eq!((&poison["reason"], &poison["bytes"]), (&json!("unrecognised"), &json!("AHBvaXNvbg==")));
    let large = lines.iter().find(|line| line["size"] == 5_000).unwrap();
    assert_eq!(large["bytes"].as_str().unwrap().len(), 2_732, "2,048 bytes as base64");
}
