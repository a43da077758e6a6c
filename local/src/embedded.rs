//! The embedded adapters: every port on one machine, without a server. The stream, items, ledger, queues and
//! checkpoints are in one SQLite file, the objects in a folder that looks like the bucket. Read them at any time with
//! `sqlite3` and `zcat`.
//!
//! The data survive `kill -9` of this process. After a power cut, the last writes may be missing.

mod backlog;
mod checkpoints;
mod database;
mod dispatches;
mod error;
mod expiry;
mod folder;
mod ids;
mod items;
mod ledger;
mod log;
mod objects;
mod overview;
mod queue;
mod reader;
mod slots;
mod stream;
mod writes;

pub(crate) use backlog::{Backlog, ShardBacklog};
pub use checkpoints::EmbeddedCheckpoints;
pub use database::Database;
pub use error::DatabaseError;
pub(crate) use expiry::Expiry;
pub use folder::Folder;
pub(crate) use folder::{create_private_folders, ignore_missing};
pub(crate) use ids::rising;
pub use items::EmbeddedItems;
pub use ledger::EmbeddedLedger;
pub(crate) use log::WriteAheadLog;
pub use objects::EmbeddedObjects;
pub(crate) use overview::{ListedItem, Overview, StreamedRecord};
pub use queue::{Delivery, EmbeddedQueue, Left, LocalQueue, Received};
pub use reader::EmbeddedReader;
pub use slots::EmbeddedSlots;
pub use stream::{EmbeddedStream, StreamRows};
