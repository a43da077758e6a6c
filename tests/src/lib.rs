//! Shared by the integration tests, the acceptance run and the chaos run: starts `tidegate local`, and reads what it
//! stored.

pub mod bridge;
pub mod chaos;
pub mod contract;
pub mod fixtures;
pub mod item_size;
pub mod neighbour;
pub mod samples;
pub mod site;
pub mod stored;
pub mod target;
pub mod terminal;
pub mod timed;
