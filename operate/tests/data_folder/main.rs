//! What reads an archive, on a data folder.

mod archive;
mod cat;
