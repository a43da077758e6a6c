//! The AWS adapters against AWS's APIs: ministack plays AWS, and a proxy before it plays what no emulator does, such as
//! a `PutRecords` call that is refused in part. kinesis-local plays a stream that reshards: in ministack, the records of
//! a shard that is split vanish. `make test-emulator` installs both and runs this.
//!
//! | module | holds |
//! |---|---|
//! | `emulator` | starts emulators, makes streams, tables and buckets |
//! | `proxy` | the faults |
//! | `stream` | the door's puts, by the publisher and its budget |
//! | `items` | conditional inserts of items |
//! | `objects` | conditional puts of objects |
//! | `deployment` | what an operator's command sees |
//! | `redrive` | what failed there, brought back to its stream |
//! | `replay` | a local run's archive, brought to a deployment on AWS |
//! | `mapping` | what the event source mapping reads, calls and keeps |
//! | `split` | shards that are split and merged under load, by the door's puts and the mapping's reads |

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

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
