//! The router from outside: requests in, answers and what reached the two ports out. In memory and in virtual time;
//! what goes over sockets and through processes belongs to the workspace's own integration tests, but for how the binaries start.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod batches;
mod bodies;
mod cloudevents;
mod cors;
mod credentials;
mod garbage;
mod identity;
mod lambda;
mod large_events;
mod openapi;
mod otlp;
mod problems;
mod quotas;
mod reader;
mod reads;
mod repeated;
mod routes;
mod server;
#[cfg(feature = "aws")]
mod start;
mod unavailable;
