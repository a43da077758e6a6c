//! The OpenAPI document against the router: its routes, its examples, and every answer that any test here gets.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Map, Value};
use shared::config::{AuthMode, Config};
use shared::format::facts::EventTime;
use shared::format::item::Item;
use shared::id::TenantId;
use shared::tier::Tier;

use crate::reader::{MemoryReader, event};
use crate::server::{ACME, Answer, Faults, JSON, Server, post};

/// Asserts that the document describes the answer.
pub(crate) fn check(document: &Value, method: &Method, path: &str, answer: &Answer) {
    // Nor are preflights calls of the API.
    if answer.json["code"] == "not_found" || (*method == Method::OPTIONS && answer.status.is_success()) {
        return;
    }
    let path = &format!("/{}", path.trim_matches('/').replace("v1//", "v1/"));
    let is_head = *method == Method::HEAD;
    let name = if is_head { "get".to_owned() } else { method.as_str().to_ascii_lowercase() };
    let paths = document["paths"].as_object().unwrap();
    // A path without parameters is preferred.
    let template = paths.keys().filter(|template| matches(template, path)).min_by_key(|t| t.contains('{'));
    let Some(operation) = template.and_then(|template| paths[template].get(&name)) else {
        assert!(answer.status == 405, "{method} {path} is not in the document: {answer:?}");
        return;
    };
    let response = operation["responses"].get(answer.status.as_str());
    let response = response.unwrap_or_else(|| panic!("{method} {path} may not answer {answer:?}"));
    let response = resolved(document, response);
    for (name, header) in response["headers"].as_object().unwrap() {
        assert!(
            header["required"] != true || answer.headers.contains_key(&name.to_lowercase()),
            "{name}: {answer:?}"
        );
    }
    let content = response["content"].get(&answer.headers["content-type"]);
    let schema = &content.unwrap_or_else(|| panic!("another media type: {answer:?}"))["schema"];
    if !is_head {
        let checked = conforms(document, schema, &answer.json);
        checked.unwrap_or_else(|error| panic!("{method} {path}: {error}: {answer:?}"));
    }
}

fn matches(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(expected, part)| expected.starts_with('{') || expected == part)
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value["$ref"]
        .as_str()
        .map_or(value, |reference| document.pointer(reference.trim_start_matches('#')).unwrap())
}

/// The keywords that our schemas of answers use. Stricter than JSON Schema: an object has no other members than a component names.
fn conforms(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let all = |part: &str| schema[part].as_array().map(Vec::as_slice).unwrap_or_default();
    let component = schema.get("$ref").map(|_| resolved(document, schema));
    if let Some(component) = component {
        conforms(document, component, value)?;
        let known = component["properties"].as_object();
        let members = value.as_object().into_iter().flatten();
        if let Some((name, _)) =
            members.into_iter().find(|(name, _)| known.is_some_and(|known| !known.contains_key(*name)))
        {
            return Err(format!("`{name}` is not in {schema}"));
        }
    }
    for part in all("allOf") {
        conforms(document, part, value)?;
    }
    let one_of = all("oneOf");
    if !one_of.is_empty() && one_of.iter().filter(|part| conforms(document, part, value).is_ok()).count() != 1
    {
        return Err(format!("{value} is not exactly one of {schema}"));
    }
    let is_of = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known here"),
    };
    let types =
        schema.get("type").map(|types| types.as_array().cloned().unwrap_or_else(|| vec![types.clone()]));
    if types.is_some_and(|types| !types.iter().any(|name| is_of(name.as_str().unwrap()))) {
        return Err(format!("{value} is not of {schema}"));
    }
    if schema.get("const").is_some_and(|only| only != value)
        || !all("enum").is_empty() && !all("enum").contains(value)
    {
        return Err(format!("{value} is not one of {schema}"));
    }
    if let Some(name) = all("required").iter().find(|name| value.get(name.as_str().unwrap()).is_none()) {
        return Err(format!("{name} is missing in {value}"));
    }
    for (name, property) in schema["properties"].as_object().unwrap_or(&Map::new()) {
        value.get(name).map_or(Ok(()), |member| conforms(document, property, member))?;
    }
    let elements = schema
        .get("items")
        .into_iter()
        .flat_map(|items| value.as_array().into_iter().flatten().map(move |element| (items, element)));
    elements.into_iter().try_for_each(|(items, element)| conforms(document, items, element))
}

async fn document(server: &Server) -> Value {
    let answer = server.send(Request::get("/openapi.json").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.headers["content-type"].as_str()), (200, "application/json"));
    answer.json
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).header("x-tenant-id", "acme").body(Body::empty()).unwrap()
}

#[tokio::test]
async fn the_document_has_every_method_of_every_path() {
    let server = Server::new();
    let document = document(&server).await;
    for (template, operations) in document["paths"].as_object().unwrap() {
        let path = template.replace("{id}", "1").replace("{tenant}", "acme");
        let answer = server.send(Request::patch(path).body(Body::empty()).unwrap()).await;
        let allowed: BTreeSet<_> =
            answer.headers["allow"].split(',').filter(|name| *name != "HEAD").collect();
        let named: Vec<_> = operations.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        assert_eq!(allowed.into_iter().collect::<Vec<_>>(), named, "{template}");
    }
}

#[tokio::test]
async fn every_example_of_a_body_is_accepted() {
    let server = Server::new();
    let document = document(&server).await;
    let contents = document["components"]["requestBodies"]["NewEvents"]["content"].as_object().unwrap();
    let mut sent = 0;
    for (media_type, content) in contents {
        let several = content["examples"]
            .as_object()
            .into_iter()
            .flat_map(Map::values)
            .map(|example| &example["value"]);
        for example in content.get("example").into_iter().chain(several) {
            let body = match (media_type.as_str(), example) {
                ("text/plain", text) => text.as_str().unwrap().to_owned(),
                ("application/x-ndjson", Value::Array(lines)) => {
                    lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
                }
                _ => example.to_string(),
            };
            let answer = server.send(post(&[("content-type", media_type), ACME], body)).await;
            assert_eq!(answer.status, 202, "{example}");
            sent += 1;
        }
    }
    assert_eq!(sent, 6);
}

#[tokio::test]
async fn every_member_that_the_document_names_is_in_some_answer() {
    let reader = MemoryReader::default();
    let mut stored = event("acme", "1", 5, "acme");
    stored.dispatch_status = Some("delivered".to_owned());
    stored.item.facts.event_time = serde_json::from_str::<EventTime>(r#""2024-01-11T01:42:50Z""#).ok();
    stored.item.facts.trace = Some("00-a-b-01".to_owned());
    stored.item.expires_at = Some(9_000_000_000);
    stored.item.content = Item::example().content;
    reader.add(stored);
    let server = Server::reading(reader, |config| config.limits.body_bytes = 1_000);

    let mut seen = BTreeMap::<&str, BTreeSet<String>>::new();
    let mut see = |schema, value: &Value| {
        seen.entry(schema).or_default().extend(value.as_object().unwrap().keys().cloned());
    };
    see("Accepted", &server.send(post(&[JSON, ACME], "{}")).await.json);
    let outcomes = server.send(post(&[JSON, ACME], "[{},1]")).await.json;
    see("Outcomes", &outcomes);
    outcomes["events"].as_array().unwrap().iter().for_each(|outcome| see("Outcome", outcome));
    see("Problem", &server.send(post(&[JSON, ACME], "[1]")).await.json);
    see("Problem", &server.send(post(&[JSON, ACME], vec![b' '; 1_001])).await.json);
    see("Event", &server.send(get("/events/1")).await.json);
    see("Page", &server.send(get("/events")).await.json);
    let failing = Server::failing(Faults { storage_gone_after: Some(0), ..Faults::default() });
    see("Health", &failing.health().await.json);
    let spilling = Server::failing(Faults { throttled: Some("acme"), ..Faults::default() });
    spilling.send(post(&[JSON, ACME], "{}")).await;
    see("HealthReason", &spilling.health().await.json["reasons"][0]);

    let document = document(&server).await;
    let mut schemas = document["components"]["schemas"].clone();
    schemas.as_object_mut().unwrap().retain(|name, _| !["NewEvent", "CloudEvent"].contains(&name.as_str()));
    for (name, schema) in schemas.as_object().unwrap() {
        let named = schema["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(seen.get(name.as_str()), Some(&named), "{name}");
    }
}

#[tokio::test]
async fn the_document_is_that_of_the_configuration() {
    let house = || TenantId::parse("house").unwrap();
    let change = |config: &mut Config| {
        config.tiers.allowed = vec![Tier::parse("gold").unwrap()];
        config.tiers.default = Some(Tier::parse("gold").unwrap());
        config.tenants.default = Some(house());
        config.tenants.spread.insert(house(), 4);
        config.limits.body_bytes = 4_321;
        config.limits.batch_events = 7;
        config.auth.origin_header = Some("X-Hidden".to_owned());
    };
    let document = document(&Server::with(Faults::default(), change)).await;
    let events = &document["paths"]["/events"];
    let parameter = |method: &str, name: &str| {
        let parameters = events[method]["parameters"].as_array().unwrap();
        parameters.iter().find(|parameter| parameter["name"] == name).unwrap().clone()
    };
    let tier = parameter("post", "X-Customer-Tier");
    assert_eq!((&tier["schema"]["enum"][0], &tier["required"]), (&"gold".into(), &false.into()));
    assert_eq!(parameter("get", "X-Tenant-ID")["required"], false);
    let bodies = &document["components"]["requestBodies"]["NewEvents"];
    assert!(bodies["description"].as_str().unwrap().starts_with("At most 4321 bytes"));
    assert_eq!(bodies["content"]["application/x-ndjson"]["schema"]["maxItems"], 7);
    // This server has no reader.
    let statuses: BTreeSet<_> = events["get"]["responses"].as_object().unwrap().keys().collect();
    assert!(statuses.into_iter().eq(["403", "500"]));
    let text = document.to_string();
    assert!(
        !text.contains("house") && !text.contains("X-Hidden"),
        "it names a tenant or the gateway's header"
    );
}

#[tokio::test]
async fn anyone_may_read_the_document_which_says_what_credential_is_needed() {
    for (mode, schemes) in [
        (AuthMode::None, &[][..]),
        (AuthMode::ApiKey, &["apiKey", "bearer"]),
        (
            AuthMode::Signature,
            &[
                "gitHubSignature",
                "shopifySignature",
                "stripeSignature",
                "webhookId",
                "webhookSignature",
                "webhookTimestamp",
            ],
        ),
    ] {
        let server = Server::with_credentials(r#"{"tenants":[]}"#, |config| config.auth.mode = mode).await;
        let document = document(&server).await;
        let named: BTreeSet<_> =
            document["components"]["securitySchemes"].as_object().unwrap().keys().collect();
        assert_eq!(named.into_iter().collect::<Vec<_>>(), schemes);
        let send = &document["paths"]["/ingest"]["post"];
        let used =
            send["security"].as_array().unwrap().iter().flat_map(|way| way.as_object().unwrap().keys());
        assert_eq!(used.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(), schemes);
        assert_eq!(send["responses"].get("401").is_some(), mode != AuthMode::None);
        assert_eq!(document["paths"]["/openapi.json"]["get"]["security"], serde_json::json!([]));
    }
}
