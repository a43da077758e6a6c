//! `tidegate.toml`: read once at start-up, checked whole. An error names the key, the value and what is allowed.
//!
//! A variable `TIDEGATE__SECTION__KEY` overrides the key `section.key`; its value is written as in TOML, where text
//! needs no quotes.

mod check;
mod constant;
mod load;
mod locate;
pub mod placeholder;
mod recipe;
mod sections;
mod work;

pub use load::{ConfigError, ConfigSource, load, load_here, parse};
pub use locate::{VARIABLE, locate};
pub use recipe::{Recipe, UnknownRecipe};
pub use sections::{
    Archive, ArchiveContent, Auth, AuthMode, Config, Consumer, Dispatch, IdSources, Items, Limits, Otlp,
    Publish, Quota, Quotas, Reads, Redact, RedactKind, Server, Telemetry, Tenants, Tiers, Transform,
    TransformStep,
};
pub use work::{SimulatedWork, WorkTooLong};
