//! The pipeline as its users meet it: real HTTP, real child processes, the embedded adapters.
//!
//! | module | holds |
//! |---|---|
//! | `happy_path` | an event of each kind, from the door to item and object |
//! | `rejections` | what the door refuses, over real HTTP |
//! | `flood` | many requests at once, tenants kept apart |
//! | `large` | bodies up to the limit, claim checks, objects that roll |
//! | `crash_matrix` | every step, every fault; then at random |
//! | `faults` | throttles, partial refusals, poison, a consumer that is killed |
//! | `spill` | a stream that is away, the spill queue, its dead-letter queue |
//! | `redrive` | what failed, brought back |
//! | `dropped` | what the mapping could not keep, brought back from the stream |
//! | `replay` | what is archived, once more |
//! | `split` | a shard that is split in the middle of a load |
//! | `audit` | `tidegate audit` and `cat`, on runs whose truth is known |
//! | `restart` | draining, `kill -9`, a backlog, a reset |
//! | `function_url` | `ingest-fn` behind the Runtime API, by Function URL events |
//! | `fixtures` | every payload in `fixtures/`, and what it must give |
//! | `foreign` | what other producers put on the stream |

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod audit;
mod crash_matrix;
mod dropped;
mod faults;
mod fixtures;
mod flood;
mod foreign;
mod function_url;
mod happy_path;
mod large;
mod redrive;
mod rejections;
mod replay;
mod restart;
mod s3_writes;
mod spill;
mod split;

use tests::site::Site;

/// The program under test: `tidegate`, with faults where a test asks for them.
fn program() -> &'static str {
    env!("CARGO_BIN_EXE_tidegate-with-faults")
}

/// An empty data folder for it.
fn site() -> Site {
    Site::new(program())
}
