//! The columns of stored lines: what a reader in SQL must be told about them.

/// One member of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    /// Of SQL: `string` or `int`.
    pub sql_type: &'static str,
    /// Empty where the name says it all.
    pub comment: &'static str,
}

impl Column {
    pub const fn text(name: &'static str) -> Self {
        Self::described(name, "")
    }

    pub const fn described(name: &'static str, comment: &'static str) -> Self {
        Self { name, sql_type: "string", comment }
    }

    pub const fn int(name: &'static str) -> Self {
        Self { name, sql_type: "int", comment: "" }
    }
}
