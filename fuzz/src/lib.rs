//! What must hold for any input, as properties: functions from bytes to nothing that panic where it does not hold.
//!
//! | target | input | what reads it |
//! |---|---|---|
//! | [`record`] | a stream record's data, or in a frame | `shared::format::record`, KPL aggregates among it |
//! | [`aggregate`] | a KPL aggregate, or its message | `shared::format::kpl` |
//! | [`http`] | a request as text, with what fails behind the door | `ingest-fn`'s router over ports in memory |
//! | [`configuration`] | TOML, then variables | `shared::config`, and what is built from it |
//!
//! `make test` checks them on [`seeds`] and on mutations of these, the same ones every time; `make fuzz` searches by
//! coverage for as long as it is given. `docs/fuzzing.md` says more.

#![expect(clippy::unwrap_used, reason = "a property that cannot unwrap has failed")]

pub mod aggregate;
pub mod configuration;
pub mod http;
mod members;
pub mod mutate;
pub mod record;
pub mod seeds;

/// One thing that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of the binary, and of the folder under `corpus/`.
    pub name: &'static str,
    /// Panics where `input` shows that a property does not hold.
    pub check: fn(input: &[u8]),
    /// What inputs are made of: mutation puts them in, since it would not guess them.
    pub words: &'static [&'static str],
}

/// All of them.
pub const TARGETS: [Target; 4] = [
    Target { name: "record", check: record::check, words: record::WORDS },
    Target { name: "aggregate", check: aggregate::check, words: aggregate::WORDS },
    Target { name: "http", check: http::check, words: http::WORDS },
    Target { name: "configuration", check: configuration::check, words: configuration::WORDS },
];
