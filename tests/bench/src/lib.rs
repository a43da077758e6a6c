//! Whole functions on seeded inputs, with stores in memory: what is measured is our own processor time, without a network.

#![expect(clippy::unwrap_used, reason = "these are benchmarks: what does not succeed ends them")]

pub mod consumer;
pub mod cpu;
pub mod ingest;
pub mod inputs;
pub mod limit;
