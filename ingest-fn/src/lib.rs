//! The HTTP side of Tidegate: admit, normalise, publish.
//!
//! A request goes through these stages, a file each; every one takes what the one before it made:
//!
//! | stage | file | from → to |
//! |---|---|---|
//! | admit | `admit.rs`, `media.rs` | line and headers → `Admitted` |
//! | read | `body.rs` | body → bytes, inflated, held in bounded memory |
//! | check | `claim_check.rs` | `Event` → line, and large parts to [`ObjectStore`](shared::objects::ObjectStore) |
//! | cut | `cut.rs` | bytes → `RequestEvents<Event>` |
//! | check | `claim_check.rs` | `Event` → line; lines too large for a record to [`ObjectStore`] |
//! | publish | [`publish`] | lines → [`EventStream`] |
//! | spill | [`spill`] | lines that the stream did not take → [`SpillQueue`] |
//! | answer | `answer.rs`, [`rejection`] | outcomes → HTTP |
//!
//! [`router()`] puts them together. A 202 is sent only when the stream, or else the spill queue, has the event. What is in
//! that queue is brought to the stream by a function of its own, [`redrive`].

mod admit;
mod answer;
mod body;
mod claim_check;
#[cfg(feature = "aws")]
pub mod clients;
mod cut;
pub mod environment;
pub mod lambda;
mod media;
mod offload;
pub mod publish;
pub mod redrive;
pub mod rejection;
mod request_id;
mod router;
pub mod server;
pub mod spill;

pub use publish::{
    EventStream, OutgoingLine, Publisher, Put, Refusal, StreamFailure, StreamRecord, Unpublished,
};
pub use rejection::Rejection;
pub use router::{IngestState, router};
pub use spill::{SpillFailure, SpillMessage, SpillQueue};
