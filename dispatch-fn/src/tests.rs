//! The dispatcher as a whole, over a queue, items, a counter and a target in memory, in virtual time.

mod flow;
mod load;
mod world;
