//! Properties that must hold for any input. A property is a function of bytes that panics if it does not hold.
//!
//! | target | input | code under test |
//! |---|---|---|
//! | [`record`] | the data of a stream record | `shared::format::record`, including KPL aggregates |
//! | [`aggregate`] | a KPL aggregate, or its message | `shared::format::kpl` |
//! | [`http`] | a request as text, with the ports that fail | `ingest-fn`'s router with ports in memory |
//! | [`otlp`] | log records of OpenTelemetry, in either encoding, with the ports that fail | the same, at `/v1/logs` |
//! | [`configuration`] | TOML, and environment variables | `shared::config`, and the consumer built from it |
//!
//! [`amplification`] is no such function: it searches by itself for inputs that make us store too much.
//!
//! `make test` checks them with [`seeds`] and mutations of these, which are the same every time. `make fuzz` searches
//! by coverage for a given time. See `docs/fuzzing.md`.

#![expect(clippy::unwrap_used, reason = "a property that cannot unwrap has failed")]

pub mod aggregate;
pub mod amplification;
pub mod configuration;
pub mod http;
mod members;
pub mod mutate;
pub mod otlp;
pub mod record;
pub mod seeds;

#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also the name of the binary, and of the folder in `corpus/`.
    pub name: &'static str,
    /// Panics if a property does not hold for `input`.
    pub check: fn(input: &[u8]),
    /// Pieces of inputs that mutation inserts, because it would not find them by chance.
    pub words: &'static [&'static str],
}

pub const TARGETS: [Target; 5] = [
    Target { name: "record", check: record::check, words: record::WORDS },
    Target { name: "aggregate", check: aggregate::check, words: aggregate::WORDS },
    Target { name: "http", check: http::check, words: http::WORDS },
    Target { name: "otlp", check: otlp::check, words: otlp::WORDS },
    Target { name: "configuration", check: configuration::check, words: configuration::WORDS },
];
