//! What a function's role must allow, stated by each function beside the variables that it reads. The deployment is tested
//! against these lists, and `tidegate doctor` compares a deployed role with them.

/// One action on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Such as `kinesis:PutRecords`.
    pub action: &'static str,
    /// Where.
    pub on: On,
}

impl Permission {
    /// `action` on `on`.
    pub const fn new(action: &'static str, on: On) -> Self {
        Self { action, on }
    }
}

/// A resource of the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The stream.
    Stream,
    /// The items table.
    Items,
    /// The ledger table.
    Ledger,
    /// The bucket itself.
    Bucket,
    /// The bucket's objects below a prefix.
    Objects(&'static str),
    /// The spill queue.
    SpillQueue,
    /// The function's log group.
    Logs,
    /// What knows no resources.
    Everything,
}
