//! What the integration tests and the acceptance run share: starting `tidegate local`, and reading what it stored.

pub mod books;
pub mod chaos;
pub mod fixtures;
pub mod site;
