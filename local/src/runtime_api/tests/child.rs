//! The test binary as the child process of a test.

use std::convert::Infallible;
use std::time::Duration;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::{Value, json};

use super::{pid, spec};
use crate::runtime_api::{FunctionHost, exit_with_parent};

/// The variable with the role of a child. It is not set in the test process.
pub(super) const ROLE: &str = "RUNTIME_API_TEST_ROLE";

/// With these arguments, the test binary runs only [`main`].
pub(super) const ARGUMENTS: [&str; 4] =
    ["--exact", "runtime_api::tests::child::main", "--ignored", "--nocapture"];

#[test]
#[ignore = "is the child process of the other tests"]
fn main() {
    let Ok(role) = std::env::var(ROLE) else { return };
    exit_with_parent();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match role.as_str() {
            "fail_to_initialize" => std::process::exit(3),
            "host" => match host().await {},
            _ => lambda_runtime::run(service_fn(handle)).await.unwrap(),
        }
    });
}

/// Starts a host with a function of its own and waits to be killed.
async fn host() -> Infallible {
    let function = FunctionHost::start(spec());
    println!("function process {}", pid(&function).await);
    std::future::pending().await
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let (event, context) = event.into_parts();
    if let Some(records) = event["Records"].as_array() {
        if records.iter().any(|record| record["kinesis"]["sequenceNumber"] == "13") {
            std::process::abort();
        }
        return Ok(Value::Null);
    }
    match event["do"].as_str().unwrap_or_default() {
        "pid" => Ok(json!(std::process::id())),
        "runtime_api" => Ok(json!(std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap())),
        "context" => Ok(json!({
            "arn": context.invoked_function_arn,
            "deadline": context.deadline,
            "memory": context.env_config.memory,
            "trace": context.xray_trace_id,
        })),
        "repeat" => Ok("x".repeat(usize::try_from(event["times"].as_u64().unwrap()).unwrap()).into()),
        "print" => {
            println!("a line");
            eprintln!("a line of errors");
            Ok(Value::Null)
        }
        "fail" => Err(Diagnostic { error_type: "NoLuck".to_owned(), error_message: "as asked".to_owned() }),
        "panic" => panic!("as asked"),
        "exit" => std::process::exit(7),
        "hang" => {
            println!("hanging");
            tokio::time::sleep(Duration::from_hours(1)).await;
            Ok(Value::Null)
        }
        _ => Ok(event),
    }
}
