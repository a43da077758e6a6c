//! The AWS adapters with emulators of AWS. ministack emulates all services; a proxy in front of it adds faults that no
//! emulator has, such as a `PutRecords` call that is refused in part. kinesis-local emulates a stream that reshards,
//! because ministack loses the records of a split shard. `make test-emulator` installs both and runs these tests.
//!
//! | module | has |
//! |---|---|
//! | `emulator` | starts emulators, creates streams, tables and buckets |
//! | `proxy` | the faults |
//! | `stream` | puts of ingest, within the budget |
//! | `items` | conditional inserts of items |
//! | `objects` | conditional puts of objects |
//! | `deployment` | the reads of the operator's commands |
//! | `redrive` | failed events that are redriven |
//! | `replay` | the archive of a local run, sent to a deployment on AWS |
//! | `mapping` | the stream reader and the invoker of the event source mapping |
//! | `split` | shards that are split and merged under load |

#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod deployment;
mod emulator;
mod items;
mod mapping;
mod objects;
mod proxy;
mod redrive;
mod replay;
mod split;
mod stream;
