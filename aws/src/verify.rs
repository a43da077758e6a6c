//! `tidegate verify`: asks a deployed stack what only AWS can answer, and compares the answers with what is documented. One check a
//! file: what it sends and how it judges are pure, the calls are thin.
//!
//! | file | holds |
//! |---|---|
//! | `report.rs` | what a check found: expected, seen, verdict |
//! | `site.rs` | what is verified: the stack, requests to it, waiting |
//! | `deployed.rs`, `bodies.rs`, `cold_start.rs`, `freshness.rs`, `metrics.rs`, `alarm.rs`, `athena.rs` | checks on the stack |
//! | `probe.rs`, `probe.py` | a stack of its own, for questions about event source mappings |
//! | `mapping` | checks on the probe |
//! | `clean.rs` | deletes what runs have made |

mod alarm;
mod athena;
mod bodies;
mod clean;
mod cold_start;
mod deployed;
mod freshness;
mod mapping;
mod metrics;
mod probe;
mod report;
mod site;

use std::time::Duration;

use anyhow::ensure;
use aws_config::SdkConfig;
use shared::config::Config;
use shared::id::TenantId;

pub use clean::Left;
pub use report::{Check, Finding, Summary, Verdict};

use mapping::partial::{PARTIAL, partial};
use mapping::record_age::{RECORD_AGE, record_age};
use mapping::retries::{RETRIES, retries};
use probe::Probe;
use site::Site;

/// The tenant of a run's events, where no credential names another.
pub const TENANT: &str = "verify-tidegate";

/// In the order in which they begin. `alarm`, and those on the probe, run beside the others.
pub const CHECKS: &[Check] = &[
    deployed::STACK,
    bodies::ENCODINGS,
    bodies::SIZES,
    cold_start::COLD_START,
    freshness::FRESHNESS,
    alarm::ALARM,
    RETRIES,
    PARTIAL,
    RECORD_AGE,
    metrics::METRICS,
    athena::ATHENA,
];

/// The checks that send events, which dispatch would pass on to its target.
const SENDING: &[Check] =
    &[bodies::ENCODINGS, bodies::SIZES, freshness::FRESHNESS, metrics::METRICS, athena::ATHENA];

pub struct Options {
    /// That the stack runs with.
    pub config: Config,
    /// Where ingest is, if not at the stack's Function URL.
    pub url: Option<String>,
    /// Sent with each request. If there are none, headers name tenant and tier.
    pub headers: Vec<(String, String)>,
    /// That the credential of `headers` is of.
    pub tenant: TenantId,
    /// Replaces longer time limits of single checks.
    pub limit: Option<Duration>,
    /// The names of the checks. All, if there are none.
    pub only: Vec<String>,
    /// Where dispatch is on: events of this run may go to its target.
    pub may_dispatch: bool,
}

/// A run.
pub struct Verification {
    site: Site,
    only: Vec<String>,
}

impl Verification {
    pub async fn open(sdk: &SdkConfig, stack: &str, options: Options) -> anyhow::Result<Self> {
        let (only, may_dispatch) = (options.only.clone(), options.may_dispatch);
        let site = Site::open(sdk, stack, options).await?;
        let run = Self { site, only };
        ensure!(
            may_dispatch
                || run.site.stack.dispatch.is_none()
                || !SENDING.iter().any(|check| run.is_wanted(check)),
            "dispatch is on in `{stack}`, so events of this run would go to its target: allow it by \
             --dispatch, or choose checks that send none: --only stack,cold-start,alarm,retries,partial,record-age"
        );
        Ok(run)
    }

    /// Such as `verify-20261128t184711`.
    pub fn name(&self) -> &str {
        &self.site.run
    }

    /// Makes all wanted checks. `print` gets the findings of each as soon as it ends.
    pub async fn run(&self, print: &dyn Fn(Finding)) {
        let site = &self.site;
        let in_turn = async {
            self.check(&deployed::STACK, deployed::stack(site), print).await;
            // Before other requests make its sandboxes warm.
            self.check(&cold_start::COLD_START, cold_start::cold_start(site), print).await;
            self.check(&bodies::ENCODINGS, bodies::encodings(site), print).await;
            self.check(&bodies::SIZES, bodies::sizes(site), print).await;
            self.check(&freshness::FRESHNESS, Box::pin(freshness::freshness(site)), print).await;
            // They look at what the others have sent.
            self.check(&athena::ATHENA, athena::athena(site), print).await;
            self.check(&metrics::METRICS, Box::pin(metrics::metrics(site)), print).await;
        };
        let alarm = self.check(&alarm::ALARM, alarm::alarm(site), print);
        tokio::join!(in_turn, alarm, self.probe(print));
    }

    /// Deletes what runs have made. `say` is called with what was deleted and what stays.
    pub async fn clean(&self, left: Left, say: &dyn Fn(String)) -> anyhow::Result<()> {
        clean::clean(&self.site, left, say).await
    }

    /// What stays, and since when: the ids of accepted events, as `tidegate cat` prints their archive lines.
    pub fn stays(&self) -> Option<String> {
        let accepted = self.site.accepted().len();
        let Site { tenant, begun, stack, .. } = &self.site;
        (accepted > 0).then(|| {
            format!(
                "{accepted} archive lines of the tenant {tenant} stay until the archive expires: \
                 tidegate cat --stack {} --tenant {tenant} --from {begun}",
                stack.name
            )
        })
    }

    async fn probe(&self, print: &dyn Fn(Finding)) {
        let checks = [&RETRIES, &PARTIAL, &RECORD_AGE];
        if !checks.iter().any(|check| self.is_wanted(check)) {
            return;
        }
        match Probe::create(&self.site, mapping::ALL).await {
            Ok(probe) => {
                let (site, probe) = (&self.site, &probe);
                tokio::join!(
                    self.check(&RETRIES, retries(site, probe), print),
                    self.check(&PARTIAL, partial(site, probe), print),
                    self.check(&RECORD_AGE, record_age(site, probe), print),
                );
            }
            Err(error) => {
                for check in checks.into_iter().filter(|check| self.is_wanted(check)) {
                    print(unable(check, &error));
                }
            }
        }
    }

    async fn check(
        &self,
        check: &Check,
        run: impl Future<Output = anyhow::Result<Vec<Finding>>>,
        print: &dyn Fn(Finding),
    ) {
        if self.is_wanted(check) {
            match run.await {
                Ok(findings) => findings.into_iter().for_each(print),
                Err(error) => print(unable(check, &error)),
            }
        }
    }

    fn is_wanted(&self, check: &Check) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == check.name)
    }
}

fn unable(check: &Check, error: &anyhow::Error) -> Finding {
    check.not_checked("the whole check", "it can be made", format_args!("{error:#}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use shared::replay::{StaticReplayClient, replay};

    use super::*;

    /// The calls of [`Site::open`].
    pub(super) const OPENED: usize = 5;

    const STACK: &str = "<DescribeStacksResult><Stacks><member><StackName>Tidegate-dev</StackName><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>OUTPUTS</Outputs></member></Stacks></DescribeStacksResult>";
    const RESOURCES: &str = "<ListStackResourcesResult><StackResourceSummaries><member><ResourceType>AWS::SQS::Queue</ResourceType><PhysicalResourceId>https://sqs/1/dead</PhysicalResourceId></member><member><ResourceType>AWS::Glue::Database</ResourceType><PhysicalResourceId>tidegate_dev</PhysicalResourceId></member></StackResourceSummaries></ListStackResourcesResult>";
    const FUNCTION: &str =
        r#"{"FunctionName":"ingest","Environment":{"Variables":{"TIDEGATE_STAGE":"dev"}}}"#;
    const ADDRESS: &str =
        r#"{"FunctionUrl":"https://x/","FunctionArn":"arn","AuthType":"NONE","CreationTime":"now"}"#;
    const STREAM: &str = r#"{"StreamDescriptionSummary":{"StreamName":"events","StreamARN":"arn","StreamStatus":"ACTIVE","RetentionPeriodHours":24,"StreamCreationTimestamp":1,"EnhancedMonitoring":[],"OpenShardCount":1}}"#;
    const OUTPUTS: &[(&str, &str)] = &[
        ("Url", "https://x/"),
        ("WorkGroup", "group"),
        ("Stream", "events"),
        ("Bucket", "archive"),
        ("ItemsTable", "items"),
        ("LedgerTable", "ledger"),
        ("SpillQueue", "https://sqs/1/spill"),
        ("SpillDeadLetters", "arn:aws:sqs:eu-west-1:1:dead"),
        ("IngestFunction", "ingest"),
        ("ConsumerFunction", "consumer"),
        ("DrainFunction", "drain"),
        ("Mapping", "311b9e2f-04cd-44d8-a523-ab8cbf427e87"),
        ("AlarmTopic", "arn:aws:sns:eu-west-1:1:alarms"),
    ];
    const OF_DISPATCH: &[(&str, &str)] = &[
        ("DispatchQueue", "https://sqs/1/dispatch"),
        ("DispatchDeadLetters", "https://sqs/1/dispatch-dead"),
        ("DispatchFunction", "dispatcher"),
        ("RateTable", "rate"),
    ];

    fn stack(outputs: &[(&str, &str)]) -> &'static str {
        let output = |(key, value): &(&str, &str)| {
            format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>")
        };
        let outputs: String = outputs.iter().map(output).collect();
        STACK.replace("OUTPUTS", &outputs).leak()
    }

    fn options(only: &[&str], may_dispatch: bool) -> Options {
        Options {
            config: Config::default(),
            url: Some("http://127.0.0.1:1".to_owned()),
            headers: Vec::new(),
            tenant: TenantId::parse(TENANT).unwrap(),
            limit: None,
            only: only.iter().map(|name| (*name).to_owned()).collect(),
            may_dispatch,
        }
    }

    /// The first answers of a stack with metrics of the stage `dev`, and how many they are.
    pub(crate) fn opened_stack() -> [&'static str; OPENED_STACK] {
        [stack(OUTPUTS), RESOURCES, FUNCTION]
    }
    pub(crate) const OPENED_STACK: usize = 3;

    /// An opened site of which AWS gives these answers, one after the other.
    pub(super) async fn site(answers: &[&'static str]) -> (Site, StaticReplayClient) {
        let opening = [stack(OUTPUTS), RESOURCES, FUNCTION, ADDRESS, STREAM];
        let all: Vec<_> = opening.iter().chain(answers).map(|answer| (200, *answer)).collect();
        let (sdk, requests) = replay(&all);
        (Site::open(&sdk, "Tidegate-dev", options(&[], false)).await.unwrap(), requests)
    }

    #[tokio::test]
    async fn where_dispatch_is_on_a_run_that_sends_events_must_be_meant() {
        let check = async |only: &[&str], may_dispatch| {
            let opening = [stack(&[OUTPUTS, OF_DISPATCH].concat()), RESOURCES, FUNCTION, ADDRESS, STREAM];
            let (sdk, _) = replay(&opening.map(|answer| (200, answer)));
            let opened = Verification::open(&sdk, "Tidegate-dev", options(only, may_dispatch)).await;
            opened.map(drop).map_err(|error| error.to_string())
        };
        for only in [&[][..], &["alarm", "athena"]] {
            let refused = check(only, false).await.unwrap_err();
            assert!(refused.contains("would go to its target: allow it by --dispatch"), "{refused}");
            assert_eq!(check(only, true).await, Ok(()));
        }
        assert_eq!(check(&["alarm", "retries"], false).await, Ok(()));
    }

    #[test]
    fn no_two_checks_have_one_name() {
        let names: std::collections::BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        assert!(SENDING.iter().all(|check| CHECKS.contains(check)));
    }
}
