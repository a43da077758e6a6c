//! What may answer a call: a success, or one of the problems of `rejection.rs`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::schemas::{reference, text};
use crate::rejection::{Call, ProblemKind};

/// References to the problems that may answer a call, by status.
pub(super) fn problems(call: Call) -> Map<String, Value> {
    let kinds = ProblemKind::ALL.iter().filter(|kind| kind.calls.contains(&call));
    let statuses = kinds.map(|kind| kind.status.as_u16());
    let answer = |status| reference(&format!("responses/{}", problem_name(call, status)));
    statuses.map(|status| (status.to_string(), answer(status))).collect()
}

fn problem_name(call: Call, status: u16) -> String {
    format!("{call:?}{status}")
}

/// All answers with a problem, by call and status.
pub(super) fn responses() -> Map<String, Value> {
    let mut codes = BTreeMap::<_, Vec<_>>::new();
    for kind in ProblemKind::ALL {
        for &call in kind.calls {
            let name = problem_name(call, kind.status.as_u16());
            codes.entry((name, kind.status.as_u16())).or_default().push(kind.code);
        }
    }
    codes.into_iter().map(|((name, status), codes)| (name, problem(status, &codes))).collect()
}

fn problem(status: u16, codes: &[&str]) -> Value {
    let this = json!({ "properties": { "status": { "const": status }, "code": { "enum": codes } } });
    let schema = json!({ "allOf": [reference("schemas/Problem"), this] });
    let mut answer = json!({
        "description": codes.join(", "),
        "headers": { "X-Request-Id": request_id() },
        "content": { "application/problem+json": { "schema": schema } },
    });
    answer["headers"].as_object_mut().expect("it is an object").extend(response_headers(&status.to_string()));
    answer
}

/// The header that answers of a status have besides.
pub(super) fn response_headers(status: &str) -> Option<(String, Value)> {
    let required =
        |name: &str, schema: &Value| (name.to_owned(), json!({ "required": true, "schema": schema }));
    match status {
        "401" => Some(required("WWW-Authenticate", &text())),
        "429" | "503" => Some(required("Retry-After", &json!({ "type": "integer", "minimum": 1 }))),
        _ => None,
    }
}

pub(super) fn success(about: &str, schema: &Value) -> Value {
    json!({
        "description": about,
        "headers": { "X-Request-Id": request_id() },
        "content": { "application/json": { "schema": schema } },
    })
}

fn request_id() -> Value {
    json!({ "required": true, "description": "The same id is in the log.", "schema": text() })
}

#[cfg(test)]
mod tests {
    use shared::config::{AuthMode, Config};

    use super::*;
    use crate::openapi::document;

    fn written(mode: AuthMode, has_reads: bool) -> Value {
        let mut config = Config::default();
        config.auth.mode = mode;
        serde_json::from_slice(&document(&config, has_reads)).unwrap()
    }

    #[test]
    fn every_problem_is_in_the_answers_of_the_calls_that_it_may_answer() {
        let with_reads = written(AuthMode::ApiKey, true);
        let without_reads = written(AuthMode::ApiKey, false);
        for kind in ProblemKind::ALL {
            let document = if kind.code == "reads_disabled" { &without_reads } else { &with_reads };
            for call in kind.calls {
                let operations: &[_] = match call {
                    Call::Send => &[
                        ("/ingest", "post"),
                        ("/events", "post"),
                        ("/v1/webhooks/{tenant}/events/new", "post"),
                    ],
                    Call::List => &[("/events", "get")],
                    Call::One => &[("/events/{id}", "get")],
                    Call::Open => &[("/health", "get"), ("/openapi.json", "get")],
                };
                for (path, method) in operations {
                    let answer = &document["paths"][path][method]["responses"][kind.status.as_str()];
                    let name = answer["$ref"].as_str().unwrap_or_else(|| panic!("{path}: {kind:?}"));
                    let answer = document.pointer(name.trim_start_matches('#')).unwrap();
                    let schema = &answer["content"]["application/problem+json"]["schema"];
                    let codes = schema["allOf"][1]["properties"]["code"]["enum"].as_array().unwrap();
                    assert!(codes.contains(&kind.code.into()), "{path}: {kind:?}");
                }
            }
        }
    }
}
