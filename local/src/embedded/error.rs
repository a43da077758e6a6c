//! Why the SQLite file could not be used.

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Another version of Tidegate has written the file.
    #[error(
        "`{path}` has schema {found}, this version of Tidegate writes {expected}: start with --reset, or with another --data"
    )]
    Schema { path: String, found: i64, expected: i64 },
    #[error("the file cannot be created: {0}")]
    Create(#[from] std::io::Error),
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The work panicked or was aborted.
    #[error("the work on the database did not finish")]
    Unfinished,
}
