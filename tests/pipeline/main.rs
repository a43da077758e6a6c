//! The whole pipeline: real HTTP, real child processes, the embedded adapters.
//!
//! | module | tests |
//! |---|---|
//! | `accept` | the acceptance of each recipe's document, briefly |
//! | `dishonest` | the acceptances against servers that do not do what they answer |
//! | `happy_path` | an event of each kind, from the request to item and archive line |
//! | `ids` | what names an event, what is the same again, reused ids |
//! | `cases` | what real senders send that is not as it should be, by every way in |
//! | `rejections` | requests that ingest refuses |
//! | `credentials` | keys and signatures, and what no one can do with another's |
//! | `otlp` | log records of OpenTelemetry that are sent again |
//! | `data_folder` | a data folder that is gone, replaced, full, or not of one piece |
//! | `health` | every state in which `/health` is not ok |
//! | `page` | who gets the page of the local run, and what it shows |
//! | `flood` | many requests at once, of several tenants |
//! | `configuration` | configurations that cannot work, refused by every function |
//! | `connections` | connections of strangers, and the memory of many bodies at once |
//! | `logging` | `docs/logging.md` against the lines in the code |
//! | `load` | `tidegate load`, which checks what it sent |
//! | `large` | bodies up to the limit, claim checks, full archive objects |
//! | `crash_matrix` | every step with every fault; then faults at random |
//! | `faults` | throttling, partial refusals, poison records, a killed consumer |
//! | `simulated_work` | texts that are too long for it, a consumer that is killed while it works |
//! | `spill` | an unavailable stream, the spill queue, its dead-letter queue |
//! | `recovery` | what `docs/recovery.md` does after a loss or a mistake |
//! | `redrive` | failed events that are redriven |
//! | `dropped` | records that the failure destination lost, redriven from the stream |
//! | `releases` | what the release before left, and turns of both |
//! | `replay` | archived events that are printed or sent again |
//! | `samples` | `docs/samples`, read by the readers of each format |
//! | `tail` | archived events that are printed as they are stored |
//! | `terminal` | what people see: the lines of a local run, `status`, `top`, `tap` |
//! | `tracing` | spans of OpenTelemetry, as a collector gets them |
//! | `split` | a shard that is split under load |
//! | `audit` | `tidegate audit` and `tidegate cat`, on runs with a known result |
//! | `restart` | draining, `kill -9`, a backlog, a reset |
//! | `function_url` | `ingest-fn` with Function URL events |
//! | `reads` | events that are read back, by their own tenant and by others |
//! | `content` | what items leave out, for each reader |
//! | `fixtures` | every payload in `fixtures/` |
//! | `dispatch` | stored events that are sent to a GraphQL target |
//! | `foreign` | records of foreign producers |

#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod accept;
mod audit;
mod cases;
mod configuration;
mod connections;
mod content;
mod crash_matrix;
mod credentials;
mod data_folder;
mod dishonest;
mod dispatch;
mod dropped;
mod faults;
mod fixtures;
mod flood;
mod foreign;
mod function_url;
mod happy_path;
mod health;
mod ids;
mod large;
mod load;
mod logging;
mod otlp;
mod page;
mod reads;
mod recovery;
mod redrive;
mod rejections;
mod releases;
mod replay;
mod restart;
mod s3_writes;
mod samples;
mod simulated_work;
mod spill;
mod split;
mod tail;
mod terminal;
mod trace;
mod tracing;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use local::runtime_api::{FunctionHost, FunctionSpec, LogSink};
use tests::site::Site;

/// The program under test: `tidegate`, with the faults of a test.
fn program() -> &'static str {
    env!("CARGO_BIN_EXE_tidegate-with-faults")
}

/// A new data folder for it.
fn site() -> Site {
    Site::new(program())
}

/// A function as a child process, on the data folder `data`.
fn function(name: &str, data: &Path) -> FunctionHost {
    configured(name, data, [])
}

/// The same, with the options that name a configuration.
fn configured(name: &str, data: &Path, options: impl IntoIterator<Item = OsString>) -> FunctionHost {
    let arguments = ["function", name, "--data"].map(Into::into).into_iter().chain([data.into()]);
    FunctionHost::start(FunctionSpec {
        name: name.to_owned(),
        program: program().into(),
        arguments: arguments.chain(options).collect(),
        environment: Vec::new(),
        timeout: Duration::from_mins(1),
        memory_mb: 512,
        maximum_environments: 1,
        log_sink: LogSink::new(|_| {}),
    })
}
