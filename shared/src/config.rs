//! `tidegate.toml`: read once at start-up, checked whole. An error names the key, the value and what is allowed.
//!
//! A variable `TIDEGATE__SECTION__KEY` overrides the key `section.key`; its value is written as in TOML, where text
//! needs no quotes.

mod check;
mod constant;
mod effective;
mod load;
mod locate;
mod nearest;
mod pattern_cost;
pub mod placeholder;
mod recipe;
mod sections;
mod shape;
mod transform;
mod work;

pub use check::UNREAD_HEADERS;
pub use effective::{Effective, keys};
pub(crate) use load::PREFIX;
pub use load::{ConfigError, ConfigSource, load, parse};
pub use locate::locate;
pub(crate) use nearest::nearest;
pub use recipe::{Recipe, UnknownRecipe};
pub use sections::{
    Archive, ArchiveContent, Auth, AuthMode, Config, Consumer, Dispatch, IdSources, ItemContent, Items,
    Limits, Otlp, Publish, Quota, Quotas, Reads, Redact, RedactKind, Server, Telemetry, Tenants, Tiers,
    Transform, TransformStep,
};
pub use work::{SimulatedWork, WorkTooLong};
