//! The stream side of Tidegate.

pub mod items;
pub mod objects;
mod origin;

pub use origin::Origin;
