//! The embedded adapters: every port on one machine, without a server. Stream, items, ledger, queues and checkpoints lie in
//! one SQLite file, objects in a folder that looks like the bucket. Open both while it runs: `sqlite3` and `zcat` are the
//! console.
//!
//! They survive `kill -9` of this process, since what is committed is in the kernel's hands; after a power cut the
//! last moments may be missing.

mod checkpoints;
mod database;
mod folder;
mod items;
mod ledger;
mod objects;
mod queue;
mod stream;
mod writes;

pub use checkpoints::EmbeddedCheckpoints;
pub use database::{Database, DatabaseError};
pub use folder::Folder;
pub use items::EmbeddedItems;
pub use ledger::{EmbeddedLedger, ManifestError};
pub use objects::EmbeddedObjects;
pub use queue::{Delivery, EmbeddedQueue, Left, Received};
pub use stream::{EmbeddedStream, SplitError, StreamRows};
