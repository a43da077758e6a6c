//! What an operator does with a deployment, as a library: no command line, no terminal, no AWS SDK.
//!
//! | module | job |
//! |---|---|
//! | [`amount`] | long numbers, shortened for people |
//! | [`deployment`] | the port: what is read and written of a deployment |
//! | [`archive`] | time spans, keys and the manifest, for those that read the archive |
//! | [`failed_batch`] | quarantine lines and failed batches, read back |
//! | [`audit`] | proves that every event is stored once |
//! | [`cat`] | one tenant's archived events |
//! | [`redrive`] | puts what failed on the stream again |
//! | [`replay`] | archived events once more, as text or to another deployment |
//! | [`status`] | how a local run or a stack stands, as text |
//! | [`tail`] | archived events as they are stored |
//! | [`trace`] | where one event is |
//! | [`erase`] | removes a tenant's events, or one, from all that is stored |
//! | [`doctor`] | compares a deployed stack with what Tidegate relies on |
//! | [`permissions`] | what these commands need of a role on AWS |

pub mod amount;
pub mod archive;
pub mod audit;
pub mod cat;
pub mod deployment;
pub mod doctor;
pub mod erase;
pub mod failed_batch;
mod pace;
pub mod permissions;
mod publish;
pub mod redrive;
pub mod replay;
pub mod status;
pub mod tail;
pub mod trace;

/// Shows how far a command is. Called with the name of what is counted, how many are done, and of how many if that is
/// known.
pub type OnProgress<'a> = &'a dyn Fn(&str, u64, Option<u64>);
