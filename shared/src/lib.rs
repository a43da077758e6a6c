//! x
pub mod time;
