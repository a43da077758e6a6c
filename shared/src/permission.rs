//! The permissions that a function's role needs. Each function lists them next to the variables that it reads. The deployment
//! is made from these lists, and `tidegate doctor` compares a deployed role with them.

/// One action on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Such as `kinesis:PutRecords`.
    pub action: &'static str,
    pub on: On,
}

impl Permission {
    pub const fn new(action: &'static str, on: On) -> Self {
        Self { action, on }
    }
}

/// A resource of the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Stream,
    Items,
    /// The index of items by time.
    ItemsByTime,
    Ledger,
    /// The bucket itself.
    Bucket,
    /// The bucket's objects below a prefix.
    Objects(&'static str),
    SpillQueue,
    DispatchQueue,
    /// The dead-letter queue of the dispatch queue.
    DispatchDeadLetters,
    /// The table of the slot counter.
    Rate,
    /// The secret for the target of dispatch.
    TargetSecret,
    /// The secret with the document of credentials.
    Credentials,
    /// The function's log group.
    Logs,
    /// For actions that IAM cannot limit to a resource.
    Everything,
}
