//! The dispatcher: sends stored events to a GraphQL target, one call for each event, at most as fast as the target allows.
//!
//! | file | does |
//! |---|---|
//! | `batch` | reads the invocation's payload |
//! | [`standing`] | decides by the event's item whether it is sent |
//! | `call` | lays out the call: document, variables, idempotency key |
//! | [`slots`] | the rate: when the next call may be made, for all functions together |
//! | [`target`] | makes the call |
//! | `outcome` | decides what an answer means |
//! | `handler` | connects them |
//!
//! It talks to the outside through five ports: [`DispatchItems`], [`Inbox`], [`SlotCounter`], [`Target`] and
//! [`ObjectStore`](shared::objects::ObjectStore).
//!
//! An invocation may end at any point. Its messages are received again, and a call that was made before is made again
//! with the same idempotency key.

mod batch;
mod call;
pub mod environment;
mod handler;
pub mod inbox;
pub mod items;
pub mod lambda;
mod outcome;
pub mod secret;
pub mod slots;
pub mod standing;
pub mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use batch::QueuedMessage;
pub use handler::{Dispatcher, Ports};
pub use inbox::Inbox;
pub use items::DispatchItems;
pub use slots::SlotCounter;
pub use target::Target;

/// The function's time-out as deployed.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// The queue's visibility time-out as deployed: six times the function's, as AWS recommends
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>).
pub const VISIBILITY: Duration = Duration::from_mins(6);

/// The queue's `maxReceiveCount` as deployed, the most that SQS allows: waiting for the rate counts as a receive. The
/// dispatcher itself makes dead letters, by the attempts on the item.
pub const RECEIVES: u32 = 1_000;

/// How many invocations run at the same time: as few as Lambda allows for a queue. The rate limits how fast events are sent,
/// and what these do not hold waits in the queue.
pub const CONCURRENCY: u32 = 2;

/// A batch has the messages that the rate allows in so many seconds, so most of them get a slot within an invocation.
pub const BATCH_SECONDS: u32 = 10;

/// The most messages in a batch.
pub fn batch_messages(rate_per_second: f64) -> u32 {
    let most = 10;
    let at_rate = rate_per_second * f64::from(BATCH_SECONDS);
    (1..most).find(|messages| f64::from(*messages) >= at_rate).unwrap_or(most)
}
