//! Traffic as senders make it: how it was answered, and whether all of it was stored.
//!
//! | module | job |
//! |---|---|
//! | [`traffic`] | what is sent, by the seed |
//! | [`send`] | sends it at a steady rate, or as fast as it is answered |
//! | `answer` | whether an answer is the right one, and what it says about storage |
//! | [`measure`] | latencies, and how often each answer came |
//! | [`report`] | the result as text |
//! | [`plot`] | rate and latency over time, as SVG |
//! | [`verify`] | whether exactly what was accepted is stored, once, with its content |
//! | [`demo`] | traffic with faults, and what becomes of them |

mod answer;
pub mod demo;
pub mod measure;
pub mod plot;
pub mod report;
pub mod send;
pub mod traffic;
pub mod verify;

pub use answer::Outcomes;
