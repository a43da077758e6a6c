//! The AWS of one machine, for `tidegate local` and for the tests.

pub mod event_source_mapping;
pub mod runtime_api;
