//! How far a command is, as it runs.

/// Called with what is counted, how many are done, and of how many if that is known.
pub type OnProgress<'a> = &'a dyn Fn(&str, u64, Option<u64>);
