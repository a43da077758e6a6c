//! What reads the stores, on a data folder.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod archive;
mod audit;
mod cat;
