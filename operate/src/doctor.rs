//! `tidegate doctor`: a deployed stack against the contract. Facts in, findings out: [`examine`] is pure, and what should be
//! is read from the code that runs (`Rules`, the functions' environments and permissions, the redriver's constants) and
//! from `tidegate.toml`. Reading the facts is `reader`'s, behind the feature `aws`.
//!
//! | file | looks at |
//! |---|---|
//! | `feeding` | both event source mappings |
//! | `functions` | the functions, their variables, the version that serves |
//! | `permissions` | the functions' roles |
//! | `storage` | stream, tables, bucket |
//! | `queues` | the spill queue and its dead letters |
//! | `alarms` | the alarms |

mod alarms;
pub mod facts;
mod feeding;
mod functions;
mod permissions;
mod queues;
pub mod report;
mod storage;
#[cfg(test)]
mod tests;

use shared::config::Config;

use facts::Deployment;
use report::Report;

/// Compares a deployment with the contract. `config` is what `tidegate.toml` says here; `fingerprint` is what it comes to
/// with the overrides of the deployed ingest function.
pub fn examine(deployment: &Deployment, config: &Config, fingerprint: &str) -> Report {
    let mut report = Report::new(&deployment.stack);
    let mut stack = report.about("stack");
    stack.holds(
        "status",
        &deployment.status,
        deployment.status.ends_with("_COMPLETE") && !deployment.status.contains("ROLLBACK"),
        "CREATE_COMPLETE or UPDATE_COMPLETE",
        "look at the stack's events, and deploy again",
    );
    feeding::check(deployment, &mut report);
    functions::check(deployment, config, fingerprint, &mut report);
    permissions::check(deployment, &mut report);
    storage::check(deployment, config, &mut report);
    queues::check(deployment, &mut report);
    alarms::check(deployment, &mut report);
    report
}
