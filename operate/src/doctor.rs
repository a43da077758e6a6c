//! Compares a deployed stack with what Tidegate relies on: facts in, findings out, no I/O. What should be comes from the
//! running code (the mapping's rules, the functions' variables and permissions, the drain's constants) and from
//! `tidegate.toml`. The crate `aws` reads the facts.
//!
//! | file | looks at |
//! |---|---|
//! | `feeding` | both event source mappings |
//! | `functions` | the functions, their variables, the live version |
//! | `permissions` | the functions' roles |
//! | `storage` | stream, tables, bucket |
//! | `dispatch` | dispatch, where it is on |
//! | `queues` | the spill queue and its dead letters |
//! | `alarms` | the alarms |
//! | `account` | before a deployment: the account's quotas |

pub mod account;
mod alarms;
mod dispatch;
pub mod facts;
mod feeding;
mod functions;
mod permissions;
mod queues;
pub mod report;
mod storage;
#[cfg(test)]
mod tests;

use shared::config::{Config, Reads};

use facts::DeployedStack;
use report::DoctorReport;

/// `config` is the `tidegate.toml` of this machine. `fingerprint` is its fingerprint with the overrides of the deployed
/// ingest function.
pub fn examine(deployment: &DeployedStack, config: &Config, fingerprint: &str) -> DoctorReport {
    let mut report = DoctorReport::new(&deployment.stack);
    let mut stack = report.about("stack");
    stack.holds(
        "status",
        &deployment.status,
        deployment.status.ends_with("_COMPLETE") && !deployment.status.contains("ROLLBACK"),
        "CREATE_COMPLETE or UPDATE_COMPLETE",
        "read the stack's events, then deploy again",
    );
    feeding::check(deployment, config, &mut report);
    let reads = reads_are_on(deployment, config);
    functions::check(deployment, config, fingerprint, reads, &mut report);
    permissions::check(deployment, config, reads, &mut report);
    storage::check(deployment, config, reads, &mut report);
    queues::check(deployment, &mut report);
    dispatch::check(deployment, config, &mut report);
    alarms::check(deployment, &mut report);
    report
}

/// Whether events can be read back, as the deployed ingest function sees it.
fn reads_are_on(deployment: &DeployedStack, config: &Config) -> bool {
    let overridden = deployment.ingest.variables.get(Reads::VARIABLE).and_then(|value| value.parse().ok());
    overridden.or(config.reads.enabled).unwrap_or(false)
}
