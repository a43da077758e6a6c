//! The functions' roles: each allows what its function states that it needs ([`shared::permission`]), and nothing else.

use shared::config::Config;
use shared::format::item::BY_RECEIVED_AT;
use shared::permission::{BY_KEY, IN_VPC, On, Permission};

use super::facts::{DeployedDispatch, DeployedFunction, DeployedStack, Statement};
use super::report::DoctorReport;

pub(super) fn check(deployment: &DeployedStack, config: &Config, reads: bool, report: &mut DoctorReport) {
    let DeployedStack { ingest, consumer, drain, dispatch, .. } = deployment;
    let to_read = if reads { ingest_fn::environment::READS_PERMISSIONS } else { &[] };
    let to_accept = ingest_fn::environment::permissions(config);
    role(deployment, ingest, &[&to_accept[..], to_read].concat(), report);
    role(deployment, drain, ingest_fn::environment::DRAIN_PERMISSIONS, report);
    let mut of_consumer = consumer_fn::environment::PERMISSIONS.to_vec();
    if let Some(DeployedDispatch { function, .. }) = dispatch {
        of_consumer.extend(consumer_fn::environment::DISPATCH_PERMISSIONS);
        let mut of_dispatcher = dispatch_fn::environment::PERMISSIONS.to_vec();
        if function.variables.contains_key(shared::environment::DISPATCH_SECRET_ARN) {
            of_dispatcher.extend(dispatch_fn::environment::SECRET_PERMISSIONS);
        }
        role(deployment, function, &of_dispatcher, report);
    }
    role(deployment, consumer, &of_consumer, report);
}

fn role(
    deployment: &DeployedStack,
    function: &DeployedFunction,
    needed: &[Permission],
    report: &mut DoctorReport,
) {
    let role = &function.role;
    let again = "deploy the stack again";
    let needed = needed.iter().map(|needed| (needed.action, arn(deployment, function, needed.on)));
    let needed: Vec<_> = needed.collect();
    let mut about = report.about(format!("role of {}", function.name));
    // What needs no resource is for X-Ray: a role has it only where its function is traced.
    for (action, resource) in needed.iter().filter(|(_, resource)| resource != "*") {
        about.holds(
            &format!("{action} on {resource}"),
            "not allowed",
            is_allowed(&role.statements, action, resource),
            "allowed",
            again,
        );
    }
    for (action, resource) in allowed(&role.statements) {
        let is_needed = needed.iter().any(|(needed_action, needed_resource)| {
            needed_action.eq_ignore_ascii_case(action) && matches(needed_resource, resource)
        }) || is_for_settings(function, action, resource);
        about.holds(
            &format!("{action} on {resource}"),
            "allowed",
            is_needed,
            "not allowed: the function does not need it",
            format!("remove it from the policies of the role {}", role.name),
        );
    }
    about.holds(
        "attached policies",
        role.attached.join(", "),
        role.attached.is_empty(),
        "none: they are not examined",
        format!("aws iam detach-role-policy --role-name {} --policy-arn …", role.name),
    );
}

/// Whether the stage's VPC needs it, or a KMS key of the operator's, of which a stack may use several.
fn is_for_settings(function: &DeployedFunction, action: &str, resource: &str) -> bool {
    let is_one_of = |actions: &[&str]| actions.iter().any(|known| known.eq_ignore_ascii_case(action));
    let is_key = resource.contains(":key/") && !resource.contains('*');
    (function.is_in_vpc && is_one_of(&IN_VPC)) || (is_key && is_one_of(&BY_KEY))
}

/// The ARN of a resource. `*` at its end matches anything.
fn arn(deployment: &DeployedStack, function: &DeployedFunction, on: On) -> String {
    // arn:aws:lambda:REGION:ACCOUNT:function:NAME
    let mut parts = function.arn.split(':');
    let partition = parts.nth(1).unwrap_or_default();
    let (region, account) = (parts.nth(1).unwrap_or_default(), parts.next().unwrap_or_default());
    let bucket = &deployment.bucket.name;
    let dispatch = |arn: fn(&DeployedDispatch) -> &String| {
        deployment.dispatch.as_ref().map_or_else(String::new, |dispatch| arn(dispatch).clone())
    };
    match on {
        On::Stream => deployment.stream.arn.clone(),
        On::Items => deployment.items.arn.clone(),
        On::ItemsByTime => format!("{}/index/{BY_RECEIVED_AT}", deployment.items.arn),
        On::Ledger => deployment.ledger.arn.clone(),
        On::SpillQueue => deployment.spill.arn.clone(),
        On::DispatchQueue => dispatch(|dispatch| &dispatch.queue.arn),
        On::DispatchDeadLetters => dispatch(|dispatch| &dispatch.dead_letters.arn),
        On::Rate => dispatch(|dispatch| &dispatch.rate.arn),
        // A secret of the operator's: any that the variable names.
        On::TargetSecret => {
            function.variables.get(shared::environment::DISPATCH_SECRET_ARN).cloned().unwrap_or_default()
        }
        // Secrets Manager adds six characters to a secret's name. Its variable has the whole ARN.
        On::Credentials => {
            let [name] = ingest_fn::environment::CREDENTIALS_ENVIRONMENT else {
                unreachable!("one variable")
            };
            function.variables.get(*name).cloned().unwrap_or_default()
        }
        On::Bucket => format!("arn:{partition}:s3:::{bucket}"),
        On::Objects(prefix) => format!("arn:{partition}:s3:::{bucket}/{prefix}*"),
        On::Logs => format!("arn:{partition}:logs:{region}:{account}:log-group:{}:*", function.log_group),
        On::Everything => "*".to_owned(),
    }
}

fn is_allowed(statements: &[Statement], action: &str, resource: &str) -> bool {
    let says = |statement: &&Statement| {
        statement.actions.iter().any(|pattern| matches(&pattern.to_lowercase(), &action.to_lowercase()))
            && statement.resources.iter().any(|pattern| matches(pattern, resource))
    };
    let (allow, deny): (Vec<_>, Vec<_>) = statements.iter().partition(|statement| statement.allows);
    // A condition may or may not be met. So a conditional statement does not count if it allows, and counts if it denies.
    allow.iter().any(|statement| !statement.is_conditional && says(statement)) && !deny.iter().any(says)
}

fn allowed(statements: &[Statement]) -> impl Iterator<Item = (&str, &str)> {
    statements.iter().filter(|statement| statement.allows).flat_map(|statement| {
        statement.actions.iter().flat_map(|action| {
            statement.resources.iter().map(|resource| (action.as_str(), resource.as_str()))
        })
    })
}

/// IAM's wildcards: `*` is any text, `?` one character.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html>
fn matches(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return text.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    let mut characters = text.chars();
    match first {
        '*' => matches(rest, text) || characters.next().is_some() && matches(pattern, characters.as_str()),
        _ => {
            characters.next().is_some_and(|one| first == '?' || first == one)
                && matches(rest, characters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_iams() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        };
        check("a", "a", true);
        check("a", "ab", false);
        check("*", "", true);
        check("a*", "a", true);
        check("a*c*e", "abcde", true);
        check("a*c*e", "abcdef", false);
        check("a?c", "abc", true);
        check("a?c", "ac", false);
        check("bucket/events/*", "bucket/events/*", true);
        check("bucket/*", "bucket/events/*", true);
        check("bucket/events/dt=*", "bucket/events/*", false);
    }
}
