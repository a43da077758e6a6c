//! Events that are read back over HTTP: by their own tenant, and every attempt of another one to read or overwrite them.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};
use shared::limits;
use shared::noise::noise;
use tests::site::{DEADLINE, LocalRun, answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn get(pipeline: &LocalRun, tenant: &str, path: &str) -> (u16, Value) {
    let request = pipeline.client.get(format!("{}{path}", pipeline.url)).timeout(DEADLINE);
    answer(request.header("X-Tenant-ID", tenant)).await
}

/// Reads until `found` takes an answer.
async fn read<T>(
    pipeline: &LocalRun,
    tenant: &str,
    path: &str,
    found: impl Fn(u16, Value) -> Option<T>,
) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        let (status, body) = get(pipeline, tenant, path).await;
        if let Some(found) = found(status, body) {
            return found;
        }
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {path}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn stored(pipeline: &LocalRun, tenant: &str, path: &str) -> Value {
    read(pipeline, tenant, path, |status, body| (status == 200).then_some(body)).await
}

fn ids(page: &Value) -> Vec<&str> {
    let events = page["events"].as_array().unwrap();
    events.iter().map(|event| event["event_id"].as_str().unwrap()).collect()
}

/// Waits until a list has this many events.
async fn listed(pipeline: &LocalRun, tenant: &str, events: usize) -> Value {
    read(pipeline, tenant, "/events?limit=1000", |_, page| (ids(&page).len() == events).then_some(page)).await
}

#[tokio::test]
async fn an_accepted_event_is_read_back_by_its_id_and_in_the_list_of_its_tenant() {
    let site = crate::site();
    let pipeline = site.start();
    let sent = json!({"tenant_id": "acme", "log_id": "a/b #1 ü%", "timestamp": "2024-01-11T01:42:50.234200+00:00", "text": "User 555-0199", "n": 1});
    assert_eq!(pipeline.send(&sent).await.0, 202);
    let event = stored(&pipeline, "acme", "/events/a%2Fb%20%231%20%C3%BC%25").await;
    assert_eq!(event["event_id"], "a/b #1 ü%");
    assert_eq!((&event["tenant_id"], &event["tier"]), (&json!("acme"), &json!("pro")));
    assert_eq!(
        (&event["text"], &event["original_text"]),
        (&json!("User [REDACTED]"), &json!("User 555-0199"))
    );
    assert_eq!((&event["fields"], &event["truncated"]), (&json!({"n": 1}), &json!(false)));
    assert_eq!(event["event_time"], "2024-01-11T01:42:50.234200Z");
    let (status, page) = get(&pipeline, "acme", "/events").await;
    assert_eq!((status, &page["events"], &page["next_cursor"]), (200, &json!([event]), &Value::Null));
    assert_eq!(get(&pipeline, "beta", "/events").await, (200, json!({"events": [], "next_cursor": null})));
}

#[tokio::test]
async fn ten_mebibytes_are_read_back_whole() {
    let site = crate::site();
    let pipeline = site.start();
    // One that no archive object takes, and one that does.
    for (id, text) in [("noise", noise(limits::BODY_BYTES, 1)), ("log", "0123456789abcdef".repeat(655_360))] {
        assert_eq!(text.len(), limits::BODY_BYTES);
        let request = pipeline.post("/ingest").header("Content-Type", "text/plain");
        let request = request.header("X-Tenant-ID", "acme").header("Idempotency-Key", id).body(text.clone());
        assert_eq!(answer(request).await.0, 202);
        let is_whole =
            |status, event: Value| (status == 200 && event["truncated"] == json!(false)).then_some(event);
        let event = read(&pipeline, "acme", &format!("/events/{id}"), is_whole).await;
        assert!(event["text"].as_str() == Some(&text), "{id}");
        assert_eq!(event["original_text"].as_str().unwrap().len(), 150_000);
        assert_eq!(event["original_text_bytes"], limits::BODY_BYTES);
    }
    let page = listed(&pipeline, "acme", 2).await;
    assert_eq!(page["events"][0]["truncated"], true, "a list has the parts that items hold");
    assert_eq!(page["events"][0]["text_bytes"], limits::BODY_BYTES);
}

#[tokio::test]
async fn pages_have_each_event_once_newest_first_while_new_ones_arrive() {
    let site = crate::site().shards(2).configuration("[tenants.spread]\nacme = 3\n");
    let pipeline = site.start();
    let batch = |name: &str, count: usize| -> Vec<Value> {
        (0..count).map(|n| json!({"id": format!("{name}-{n}"), "text": "x"})).collect()
    };
    // The events of a batch have the same time.
    for name in ["a", "b", "c"] {
        let request = pipeline.post("/events").header("X-Tenant-ID", "acme").json(&batch(name, 20));
        assert_eq!(answer(request).await.0, 202);
    }
    listed(&pipeline, "acme", 60).await;
    let (mut seen, mut times, mut path) = (Vec::new(), Vec::new(), "/events?limit=7".to_owned());
    loop {
        let (status, page) = get(&pipeline, "acme", &path).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let events = page["events"].as_array().unwrap();
        times.extend(events.iter().map(|event| event["received_at"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/events?limit=7&cursor={cursor}");
        let late = format!("late-{}", seen.len());
        let request = pipeline.post("/events").header("X-Tenant-ID", "acme").json(&batch(&late, 3));
        assert_eq!(answer(request).await.0, 202);
    }
    assert!(times.is_sorted_by(|a, b| a >= b));
    let all: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!((all.len(), seen.len()), (60, 60), "none twice, none that came later");
    assert!(all.iter().all(|id| !id.starts_with("late")));
}

#[tokio::test]
async fn where_reads_are_off_nothing_is_read_and_nothing_is_written_for_it() {
    let site = crate::site().configuration("[reads]\nenabled = false\n");
    let pipeline = site.start();
    assert_eq!(pipeline.send(&json!({"tenant_id": "acme", "id": "1", "text": "x"})).await.0, 202);
    tests::site::eventually("the item", || (site.stored().items().len() == 1).then_some(())).await;
    for path in ["/events", "/events/1"] {
        let (status, problem) = get(&pipeline, "acme", path).await;
        assert_eq!((status, &problem["code"]), (403, &json!("reads_disabled")));
        assert!(problem["detail"].as_str().unwrap().contains("`reads.enabled`"), "{problem}");
    }
    assert_eq!(site.stored().received_partitions(), Vec::<String>::new());
}

/// Sends a request as it is written, without a library that tidies paths or joins headers.
async fn raw(pipeline: &LocalRun, head: &str, body: &str) -> (u16, String) {
    let address = pipeline.url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{head}\r\nHost: x\r\nConnection: close\r\nX-Customer-Tier: pro\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

const SECRET: &str = "only acme may see this";

/// An attempt as the tenant beta: what is tried, by what, the request's line and headers, its body.
struct Attempt(&'static str, &'static str, String, String);

fn reads(cursor_of_acme: &str) -> Vec<Attempt> {
    let as_beta = |path: &str| format!("GET {path} HTTP/1.1\r\nX-Tenant-ID: beta");
    let by = |by, path: &str| Attempt("read", by, as_beta(path), String::new());
    let headers = |headers: &str| {
        Attempt("read", "header", format!("GET /events/secret HTTP/1.1\r\n{headers}"), String::new())
    };
    let forged = |cursor: Value| {
        let cursor = base64_simd::URL_SAFE_NO_PAD.encode_to_string(cursor.to_string());
        by("cursor, forged", &format!("/events?cursor={cursor}"))
    };
    let late = 4_000_000_000_000_i64;
    vec![
        headers("X-Tenant-ID: beta\r\nX-Tenant-ID: acme"),
        headers("X-Tenant-ID: beta, acme"),
        headers("X-Tenant-ID: beta/../acme"),
        headers("X-Tenant-ID: beta%2F..%2Facme"),
        headers("X-Tenant-ID: beta#acme"),
        headers(
            "X-Tenant-ID: beta\r\nX-Forwarded-Tenant: acme\r\nX-Original-URL: /v1/webhooks/acme/events/new",
        ),
        by("path", "/events/../events/secret"),
        by("path", "/events/%2e%2e/acme/secret"),
        by("path", "/v1/webhooks/acme/events/secret"),
        by("path", "/v1/webhooks/acme/events/new"),
        by("path", "/acme/events/secret"),
        by("query", "/events?tenant_id=acme"),
        by("query", "/events?X-Tenant-ID=acme"),
        by("query", "/events/secret?tenant_id=acme"),
        by("query", "/events?limit=1000&from=1970-01-01T00:00:00Z&to=9999-12-31T00:00:00Z"),
        Attempt("read", "body", as_beta("/events/secret"), json!({"tenant_id": "acme"}).to_string()),
        by("id, the same", "/events/secret"),
        by("id with /", "/events/acme/secret"),
        by("id with %2f", "/events/acme%2fsecret"),
        by("id with %252f", "/events/acme%252fsecret"),
        by("id with ..", "/events/..%2facme%2fsecret"),
        by("id with ..", "/events/..%2f..%2ftenants%2facme%2fprocessed_logs%2fsecret"),
        by("id with #", "/events/acme%23secret"),
        by("id with another's prefix", "/events/tenants%2facme"),
        by("id with another's prefix", "/events/processed_logs%2fsecret"),
        by("id with a quote", "/events/secret'%20OR%20pk='tenants%2Facme"),
        by("id with a wildcard", "/events/%25"),
        by("cursor of acme", &format!("/events?cursor={cursor_of_acme}")),
        forged(json!([1, "acme", late, 0, "secret"])),
        forged(json!([1, "beta", late, 0, "secret"])),
        forged(json!([1, "beta", late, 7, "../../acme/secret"])),
        forged(json!(["tenants/acme", "processed_logs/secret"])),
    ]
}

fn writes() -> Vec<Attempt> {
    let post = |by, path: &str, headers: &str, body: Value| {
        Attempt("overwrite", by, format!("POST {path} HTTP/1.1\r\n{headers}"), body.to_string())
    };
    let beta = "X-Tenant-ID: beta";
    let own = |by, id: &str| post(by, "/ingest", beta, json!({"id": id, "text": "overwritten"}));
    let over = json!({"id": "secret", "text": "overwritten"});
    let of_acme = json!({"tenant_id": "acme", "id": "secret", "text": "overwritten"});
    vec![
        post("header", "/ingest", "X-Tenant-ID: beta\r\nX-Tenant-ID: acme", over.clone()),
        post("header", "/ingest", "X-Tenant-ID: beta/../acme", over.clone()),
        post(
            "header",
            "/ingest",
            "X-Tenant-ID: beta\r\nIdempotency-Key: ../acme/secret",
            json!({"text": "overwritten"}),
        ),
        post("path", "/v1/webhooks/acme/events/new", beta, over.clone()),
        post("path", "/v1/webhooks/beta%2F..%2Facme/events/new", beta, over.clone()),
        post("path", "/v1/webhooks/beta/../acme/events/new", beta, over),
        post("body", "/ingest", beta, of_acme.clone()),
        post("body, in a batch", "/ingest", beta, json!([{"id": "own", "text": "x"}, of_acme])),
        post(
            "body",
            "/ingest",
            beta,
            json!({"tenant_id": "beta\u{0}acme", "id": "secret", "text": "overwritten"}),
        ),
        own("id, the same", "secret"),
        own("id with /", "acme/secret"),
        own("id with ..", "../../tenants/acme/processed_logs/secret"),
        own("id with %2f", "..%2facme%2fsecret"),
        own("id with #", "acme#secret"),
        own("id with another's prefix", "tenants/acme"),
    ]
}

#[tokio::test]
async fn no_tenant_reads_or_overwrites_another_tenants_event() {
    let site = crate::site();
    let pipeline = site.start();
    for (tenant, id, text) in [("acme", "secret", SECRET), ("acme", "second", SECRET), ("beta", "own", "x")] {
        assert_eq!(pipeline.send(&json!({"tenant_id": tenant, "id": id, "text": text})).await.0, 202);
    }
    let before = listed(&pipeline, "acme", 2).await;
    listed(&pipeline, "beta", 1).await;
    let first = stored(&pipeline, "acme", "/events?limit=1").await;
    let (mut rows, mut accepted) = (Vec::new(), 0);
    for Attempt(what, by, head, body) in
        reads(first["next_cursor"].as_str().unwrap()).into_iter().chain(writes())
    {
        let (status, answer) = raw(&pipeline, &head, &body).await;
        assert!((200..500).contains(&status), "{head}: {answer}");
        let is_read = answer.contains(SECRET) || answer.contains("\"tenant_id\":\"acme\"");
        accepted += usize::from(what == "overwrite" && (status == 202 || status == 207));
        rows.push((what, by, status, is_read));
    }
    // What beta was allowed to send is its own: it is stored when the last of it is in the list. Its own id, sent again in
    // the batch, is the event that it has already.
    let own = listed(&pipeline, "beta", accepted).await;
    assert!(own["events"].as_array().unwrap().iter().all(|event| event["tenant_id"] == "beta"));
    let after = listed(&pipeline, "acme", 2).await;
    let is_overwritten = before != after;
    println!("{:<10}{:<26}{:<7}succeeded", "attempt", "by", "answer");
    for (what, by, status, is_read) in &rows {
        // An overwritten event is not attributed to one of the attempts.
        let is_suspect = *is_read || (is_overwritten && *what == "overwrite");
        println!("{what:<10}{by:<26}{status:<7}{}", if is_suspect { "YES" } else { "no" });
    }
    let succeeded = rows.iter().filter(|row| row.3).count() + usize::from(is_overwritten);
    println!("{} attempts, {succeeded} succeeded", rows.len());
    assert_eq!((succeeded, after), (0, before));
    let archived = site.stored().archived();
    assert_eq!(archived[&("acme".to_owned(), "secret".to_owned())], 1);
    assert_eq!(archived.keys().filter(|(tenant, _)| tenant == "acme").count(), 2);
}
