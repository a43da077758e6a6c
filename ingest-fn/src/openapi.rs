//! The API as an OpenAPI document, for this configuration. Its paths are the router's, its problems those of `rejection.rs`;
//! tests hold real answers against its schemas. It names no tenant and no secret, because anyone may read it.

mod answers;
mod schemas;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use shared::config::{AuthMode, Config, Tiers};
use shared::tier::Tier;

use self::answers::{problems, response_headers, success};
use self::schemas::{event_id, reference, text};
use crate::reads::{LIMIT_DEFAULT, MOST};
use crate::rejection::Call;
use crate::route::Route;

/// Writes the document. It is the same for all requests.
pub(crate) fn document(config: &Config, has_reads: bool) -> Bytes {
    let api = Api { config, has_reads };
    let paths: Map<_, _> =
        Route::ALL.iter().map(|route| (route.path().to_owned(), api.path(*route))).collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Accepts events of many tenants, and reads them back. A `202` means that the event is stored safely.",
            "license": { "name": "MIT or Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas::all(&config.ids.members),
            "requestBodies": { "NewEvents": api.bodies() },
            "responses": answers::responses(),
            "securitySchemes": api.security_schemes(),
        },
    });
    serde_json::to_vec(&document).expect("a document always serialises").into()
}

struct Api<'a> {
    config: &'a Config,
    has_reads: bool,
}

impl Api<'_> {
    fn path(&self, route: Route) -> Value {
        match route {
            Route::Ingest => json!({ "post": self.send("ingest", &[]) }),
            Route::Events => json!({
                "get": self.read(Call::List, "listEvents", "Lists a tenant's events, newest first", "Page", &list_parameters()),
                "post": self.send("sendEvents", &[]),
            }),
            Route::Event => {
                let id = json!({ "name": "id", "in": "path", "required": true, "schema": event_id(), "example": "a-1" });
                json!({ "get": self.read(Call::One, "getEvent", "Reads one event", "Event", &[id]) })
            }
            Route::Webhook => {
                let tenant = json!({ "name": "tenant", "in": "path", "required": true, "schema": tenant(), "example": "acme" });
                json!({ "post": self.send("sendWebhook", &[tenant]) })
            }
            Route::Logs => json!({ "post": self.logs() }),
            Route::Health => {
                let health = reference("schemas/Health");
                let mut get =
                    open("health", "Answers how the server, or the whole pipeline, stands", &health);
                get["responses"]["503"] = success("It is failing: it must be repaired or restarted", &health);
                json!({ "get": get })
            }
            Route::OpenApi => {
                json!({ "get": open("openapi", "This document", &json!({ "type": "object", "required": ["openapi"] })) })
            }
        }
    }

    /// A call with events. `path` has the parameter of a path that names the tenant.
    fn send(&self, id: &str, path: &[Value]) -> Value {
        let mode = self.config.auth.mode;
        let mut parameters = path.to_vec();
        if path.is_empty() {
            // Without a credential the body may name the tenant, too.
            parameters.extend(self.tenant_header(mode == AuthMode::Signature));
        }
        parameters.extend(self.tier_header());
        if mode != AuthMode::Signature {
            let about = "The event's id, or the beginning of the ids of several events. The first that is not empty counts, before the event's own. It has no comma.";
            parameters.extend(self.config.ids.headers.iter().map(|name| header(name, about, false, &text())));
        }
        parameters.push(header("traceparent", "Is stored with the event.", false, &text()));

        let mut responses = self.problems(Call::Send);
        let accepted = json!({ "oneOf": [reference("schemas/Accepted"), reference("schemas/Outcomes")] });
        responses.insert("202".to_owned(), success("All events are accepted", &accepted));
        let partial = success("Only some events are accepted", &reference("schemas/Outcomes"));
        responses.insert("207".to_owned(), partial);
        let mut operation = self.operation(id, "Accepts one event or several", &parameters, &responses);
        operation["requestBody"] = reference("requestBodies/NewEvents");
        operation
    }

    /// OpenTelemetry's own call. Its messages are described elsewhere (<https://opentelemetry.io/docs/specs/otlp/>).
    fn logs(&self) -> Value {
        let messages =
            json!({ "application/x-protobuf": {}, "application/json": { "schema": { "type": "object" } } });
        let answer = |about: &str| {
            let mut answer = success(about, &Value::Null);
            answer["content"] = messages.clone();
            answer
        };
        let mut responses = self.problems(Call::Send);
        // A batch is never answered by 422, and exporters do not send again after 408.
        responses.retain(|status, _| status != "422" && status != "408");
        for (status, response) in &mut responses {
            let headers = response_headers(status);
            *response = answer("A `google.rpc.Status`; its message begins with the code of the problem");
            response["headers"].as_object_mut().expect("it is an object").extend(headers);
        }
        let accepted = answer(
            "An `ExportLogsServiceResponse`: all records are accepted, or `partial_success` says which are not",
        );
        responses.insert("200".to_owned(), accepted);
        let tenant = self.tenant_header(self.config.auth.mode == AuthMode::Signature);
        let parameters: Vec<_> = tenant.into_iter().chain(self.tier_header()).collect();
        let about = "Accepts log records of OpenTelemetry (OTLP/HTTP)";
        let mut operation = self.operation("exportLogs", about, &parameters, &responses);
        operation["requestBody"] = json!({
            "description": format!("An `ExportLogsServiceRequest` with at most {} records", self.config.limits.batch_events),
            "content": messages,
        });
        operation
    }

    fn tier_header(&self) -> Option<Value> {
        let Tiers { allowed, default } = &self.config.tiers;
        let names: Vec<_> = allowed.iter().map(Tier::as_str).collect();
        let tier = json!({ "type": "string", "enum": names });
        let about = "The tier that the event is stored with.";
        let mut parameter = header("X-Customer-Tier", about, default.is_none(), &tier);
        parameter["example"] = json!(names[0]);
        (self.config.auth.mode == AuthMode::None).then_some(parameter)
    }

    fn bodies(&self) -> Value {
        let limits = &self.config.limits;
        let one = json!({ "tenant_id": "acme", "id": "a-1", "text": "User 555-0199 accessed /reports" });
        let several = json!([one, { "tenant_id": "acme", "id": "a-2", "text": "two", "level": "info" }]);
        let cloud_event = json!({ "specversion": "1.0", "type": "com.example.order.paid", "source": "/orders", "id": "a-1", "data": one });
        let event = reference("schemas/NewEvent");
        let events =
            json!({ "type": "array", "items": event, "minItems": 1, "maxItems": limits.batch_events });
        let json = json!({ "oneOf": [event, events] });
        let cloud_events = json!({ "type": "array", "items": reference("schemas/CloudEvent"), "minItems": 1, "maxItems": limits.batch_events });
        json!({
            "required": true,
            "description": format!(
                "At most {} bytes after decompression. `Content-Encoding` may be `gzip`, `deflate` or `zstd`; through a Function URL not with `application/json` and `text/plain`, in which AWS replaces bytes that are not UTF-8. NDJSON has one object on each line; it may also come as `application/jsonl`, `application/json-seq` or `application/json`. `charset` may name another encoding than UTF-8. A CloudEvent in binary mode has its attributes in the headers `ce-specversion`, `ce-type`, `ce-source`, `ce-id` and others; then the body is its data, of any media type.",
                limits.body_bytes
            ),
            "content": {
                "application/json": { "schema": json, "examples": { "one": { "value": one }, "several": { "value": several } } },
                "application/cloudevents+json": { "schema": reference("schemas/CloudEvent"), "example": cloud_event },
                "application/cloudevents-batch+json": { "schema": cloud_events, "example": [cloud_event] },
                "application/x-ndjson": { "schema": events, "example": several },
                "text/plain": { "schema": { "type": "string", "minLength": 1, "maxLength": limits.body_bytes }, "example": "disk full on node-7" },
            },
        })
    }

    /// A call that reads events of the tenant.
    fn read(&self, call: Call, id: &str, summary: &str, schema: &str, parameters: &[Value]) -> Value {
        let mut responses = self.problems(call);
        if self.has_reads {
            responses.insert(
                "200".to_owned(),
                success("What is stored", &reference(&format!("schemas/{schema}"))),
            );
        } else {
            responses.retain(|status, _| status == "403" || status == "500");
        }
        let parameters: Vec<_> = parameters.iter().cloned().chain(self.tenant_header(true)).collect();
        let summary = if self.has_reads { summary } else { "Off: events cannot be read back here" };
        self.operation(id, summary, &parameters, &responses)
    }

    /// The header that names the tenant. A key names it already.
    fn tenant_header(&self, is_needed: bool) -> Option<Value> {
        let is_required = is_needed && self.config.tenants.default.is_none();
        let about = "The tenant, if nothing else names it.";
        let schema = if is_required { tenant() } else { schemas::optional_tenant() };
        let mut parameter = header("X-Tenant-ID", about, is_required, &schema);
        parameter["example"] = json!("acme");
        (self.config.auth.mode != AuthMode::ApiKey).then_some(parameter)
    }

    fn operation(
        &self,
        id: &str,
        summary: &str,
        parameters: &[Value],
        responses: &Map<String, Value>,
    ) -> Value {
        json!({
            "operationId": id,
            "summary": summary,
            "parameters": parameters,
            "responses": responses,
            "security": self.security(),
        })
    }

    /// The problems that may answer a call, by status.
    fn problems(&self, call: Call) -> Map<String, Value> {
        let mut responses = problems(call);
        if self.config.auth.mode == AuthMode::None {
            responses.remove("401");
        }
        responses
    }

    /// What a request must prove. Each element is one way; all that an element names is needed.
    fn security(&self) -> Value {
        match self.config.auth.mode {
            AuthMode::None => json!([]),
            AuthMode::ApiKey => json!([{ "bearer": [] }, { "apiKey": [] }]),
            AuthMode::Signature => {
                json!([
                    { "webhookId": [], "webhookTimestamp": [], "webhookSignature": [] },
                    { "gitHubSignature": [] },
                    { "shopifySignature": [] },
                    { "stripeSignature": [] },
                ])
            }
        }
    }

    fn security_schemes(&self) -> Value {
        let key = |name: &str, about: &str| json!({ "type": "apiKey", "in": "header", "name": name, "description": about });
        match self.config.auth.mode {
            AuthMode::None => json!({}),
            AuthMode::ApiKey => json!({
                "bearer": { "type": "http", "scheme": "bearer", "description": "The tenant's key" },
                "apiKey": key("X-Api-Key", "The tenant's key"),
            }),
            AuthMode::Signature => json!({
                "webhookId": key("webhook-id", "The id of the message"),
                "webhookTimestamp": key("webhook-timestamp", "The time of the message, in seconds since 1970"),
                "webhookSignature": key("webhook-signature", "`v1,` and the base64 of HMAC-SHA256 over id, time and body (Standard Webhooks)"),
                "gitHubSignature": key("X-Hub-Signature-256", "`sha256=` and HMAC-SHA256 over the body, in hexadecimal digits"),
                "shopifySignature": key("X-Shopify-Hmac-Sha256", "The base64 of HMAC-SHA256 over the body"),
                "stripeSignature": key("Stripe-Signature", "`t=`, the time, and `v1=`, HMAC-SHA256 over time and body"),
            }),
        }
    }
}

/// A call that needs no credential, whatever the configuration says.
fn open(id: &str, summary: &str, schema: &Value) -> Value {
    let mut responses = problems(Call::Open);
    responses.insert("200".to_owned(), success(summary, schema));
    json!({ "operationId": id, "summary": summary, "responses": responses, "security": [] })
}

fn list_parameters() -> [Value; 4] {
    let query = |name: &str, about: &str, schema: Value| json!({ "name": name, "in": "query", "description": about, "schema": schema });
    let time = || json!({ "type": "string", "format": "date-time" });
    [
        query(
            "limit",
            "The most events of the page.",
            json!({ "type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT_DEFAULT }),
        ),
        query("cursor", "The `next_cursor` of the page before.", text()),
        query("from", "Events received at this time or later.", time()),
        query("to", "Events received before this time.", time()),
    ]
}

fn header(name: &str, about: &str, is_required: bool, schema: &Value) -> Value {
    json!({ "name": name, "in": "header", "description": about, "required": is_required, "schema": schema })
}

fn tenant() -> Value {
    json!({ "type": "string", "pattern": schemas::TENANT })
}
