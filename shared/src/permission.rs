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

/// What a function in a VPC needs of EC2, for its network interfaces. EC2 limits none of it to resources.
pub const IN_VPC: [&str; 6] = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
];

/// What a function needs on a KMS key of the operator's that encrypts what it reads and writes.
pub const BY_KEY: [&str; 2] = ["kms:Decrypt", "kms:GenerateDataKey"];

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
