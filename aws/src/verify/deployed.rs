//! That there is a whole stack to verify.

use super::report::{Check, Finding};
use super::site::Site;
use crate::mapping::deployed_mapping;

pub(super) const STACK: Check = Check {
    name: "stack",
    answers: "whether the stack is deployed and its mapping is on",
    does: "only reads; seconds",
};

pub(super) async fn stack(site: &Site) -> anyhow::Result<Vec<Finding>> {
    let status = &site.stack.status;
    let mapping = deployed_mapping(&site.sdk, site.stack.mapping).await?.state;
    Ok(vec![
        STACK.finding("status of the stack", "…_COMPLETE", status, is_whole(status)),
        STACK.equals("the event source mapping", "Enabled", mapping.as_str()),
    ])
}

fn is_whole(status: &str) -> bool {
    status.ends_with("_COMPLETE") && !status.contains("ROLLBACK") && !status.contains("DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_that_was_rolled_back_is_not_whole() {
        assert!(is_whole("CREATE_COMPLETE") && is_whole("UPDATE_COMPLETE"));
        for status in ["CREATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE", "CREATE_FAILED", "DELETE_COMPLETE"] {
            assert!(!is_whole(status), "{status}");
        }
    }
}
