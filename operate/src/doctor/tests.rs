//! A stack as deployed passes every rule. Each rule finds the one setting that is broken.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::config::{AuthMode, Config};
use shared::mapping::{Rules, STARTING_POSITION};
use shared::permission::{On, Permission};
use uuid::Uuid;

use super::examine;
use super::facts::*;
use super::report::DoctorReport;

const ACCOUNT: &str = "eu-west-1:000000000000";

fn arn(service: &str, name: &str) -> String {
    format!("arn:aws:{service}:{ACCOUNT}:{name}")
}

fn function(
    name: &str,
    memory_mb: u64,
    seconds: u64,
    variables: &[&str],
    permissions: &[Permission],
) -> DeployedFunction {
    let set = |variable: &&str| {
        let value = match *variable {
            "TIDEGATE_STREAM" => "events",
            "TIDEGATE_BUCKET" => "archive",
            "TIDEGATE_ITEMS_TABLE" => "items",
            "TIDEGATE_LEDGER_TABLE" => "ledger",
            "TIDEGATE_SPILL_QUEUE" => "https://sqs/spill",
            "TIDEGATE_DISPATCH_QUEUE" => "https://sqs/dispatch",
            "TIDEGATE_DISPATCH_DEAD_LETTERS" => "https://sqs/dispatch-dead",
            "TIDEGATE_RATE_TABLE" => "rate",
            "TIDEGATE_DISPATCH_SECRET_ARN" => "arn:aws:secretsmanager:secret",
            "TIDEGATE_CREDENTIALS_SECRET" => {
                "arn:aws:secretsmanager:eu-central-1:1:secret:Credentials-x1y2z3"
            }
            other => panic!("a new variable: {other}"),
        };
        ((*variable).to_owned(), value.to_owned())
    };
    let statement = |permission: &Permission| Statement {
        allows: true,
        actions: vec![permission.action.to_owned()],
        resources: vec![match permission.on {
            On::Stream => arn("kinesis", "stream/events"),
            On::Items => arn("dynamodb", "table/items"),
            On::Ledger => arn("dynamodb", "table/ledger"),
            On::SpillQueue => arn("sqs", "spill"),
            On::DispatchQueue => arn("sqs", "dispatch"),
            On::DispatchDeadLetters => arn("sqs", "dispatch-dead"),
            On::Rate => arn("dynamodb", "table/rate"),
            On::TargetSecret => "arn:aws:secretsmanager:secret".to_owned(),
            On::Credentials => "arn:aws:secretsmanager:eu-central-1:1:secret:Credentials-x1y2z3".to_owned(),
            On::Bucket => "arn:aws:s3:::archive".to_owned(),
            On::Objects(prefix) => format!("arn:aws:s3:::archive/{prefix}*"),
            On::Logs => arn("logs", &format!("log-group:/logs/{name}:*")),
            On::ItemsByTime => arn("dynamodb", "table/items/index/by_received_at"),
            On::Everything => "*".to_owned(),
        }],
        is_conditional: false,
    };
    DeployedFunction {
        name: name.to_owned(),
        arn: arn("lambda", &format!("function:{name}")),
        runtime: "provided.al2023".to_owned(),
        architecture: "x86_64".to_owned(),
        memory_mb,
        timeout: Duration::from_secs(seconds),
        variables: variables.iter().map(set).collect::<BTreeMap<_, _>>(),
        log_format: "JSON".to_owned(),
        log_level: Some("INFO".to_owned()),
        log_group: format!("/logs/{name}"),
        reserved_concurrency: None,
        is_in_vpc: false,
        role: Role {
            name: format!("{name}-role"),
            statements: permissions.iter().map(statement).collect(),
            attached: Vec::new(),
        },
    }
}

fn queue(name: &str, days: u64) -> DeployedQueue {
    DeployedQueue {
        arn: arn("sqs", name),
        url: format!("https://sqs/{name}"),
        visibility: Duration::from_mins(3),
        retention: Duration::from_hours(24 * days),
        message_bytes: 1_048_576,
        is_encrypted: true,
        redrive: None,
    }
}

/// What `cdk/` deploys.
fn as_deployed() -> DeployedStack {
    use consumer_fn::environment as consumer;
    use ingest_fn::environment as ingest;

    let table = |name: &str, expires_by: Option<&str>| DeployedTable {
        arn: arn("dynamodb", &format!("table/{name}")),
        status: "ACTIVE".to_owned(),
        keys: vec!["pk".to_owned(), "sk".to_owned()],
        indexes: BTreeMap::new(),
        expires_by: expires_by.map(str::to_owned),
        is_restorable: true,
        is_encrypted: true,
    };
    let rule = |prefix: &str, days: Option<u32>| LifecycleRule {
        prefix: prefix.to_owned(),
        expires_after_days: days,
        aborts_uploads_after_days: prefix.is_empty().then_some(1),
    };
    let kept = ["events/", "texts/", "manifests/"].map(|prefix| rule(prefix, Some(90)));
    let looked_at = [
        rule("errors/", Some(180)),
        rule("aws/lambda/", Some(180)),
        rule("redriven/", Some(210)),
        rule("claims/", Some(229)),
    ];
    let others = looked_at.into_iter().chain([rule("", None)]);
    DeployedStack {
        stack: "Tidegate-dev".to_owned(),
        status: "UPDATE_COMPLETE".to_owned(),
        mapping: StreamMapping {
            id: Uuid::nil(),
            state: "Enabled".to_owned(),
            source: arn("kinesis", "stream/events"),
            function: arn("lambda", "function:consumer"),
            starting_position: STARTING_POSITION.to_owned(),
            parallelization_factor: 1,
            tumbling_window: Duration::ZERO,
            filters: 0,
            failure_destination: Some("arn:aws:s3:::archive".to_owned()),
            rules: Rules::default(),
        },
        spill_mappings: vec![QueueMapping {
            id: "spill-mapping".to_owned(),
            state: "Enabled".to_owned(),
            source: arn("sqs", "spill"),
            batch_size: 10,
            report_batch_item_failures: true,
        }],
        ingest: function("ingest", 512, 15, ingest::ENVIRONMENT, ingest::PERMISSIONS),
        consumer: function("consumer", 1_769, 60, &consumer::ENVIRONMENT, consumer::PERMISSIONS),
        drain: function("drain", 512, 30, ingest::DRAIN_ENVIRONMENT, ingest::DRAIN_PERMISSIONS),
        live: LiveIngest {
            live_code: "code".to_owned(),
            newest_code: "code".to_owned(),
            health: Ok(HealthAnswer { version: env!("CARGO_PKG_VERSION").to_owned(), config: fingerprint() }),
        },
        stream: DeployedStream {
            arn: arn("kinesis", "stream/events"),
            status: "ACTIVE".to_owned(),
            mode: "PROVISIONED".to_owned(),
            shards: 1,
            retention: Duration::from_hours(24),
            is_encrypted: true,
        },
        items: table("items", Some("expires_at")),
        ledger: table("ledger", None),
        bucket: DeployedBucket {
            name: "archive".to_owned(),
            is_private: true,
            is_encrypted: true,
            is_tls_only: true,
            lifecycle: kept.into_iter().chain(others).collect(),
        },
        spill: DeployedQueue {
            redrive: Some(RedrivePolicy { target: arn("sqs", "dead"), receives: 500 }),
            ..queue("spill", 4)
        },
        dead_letters: queue("dead", 14),
        dispatch: None,
        alarms: vec![(
            "late".to_owned(),
            Some(Alarm { state: "OK".to_owned(), description: "Runbook: x".to_owned(), has_actions: true }),
        )],
        alarm_topic: Topic {
            arn: arn("sns", "alarms"),
            publishers: vec!["cloudwatch.amazonaws.com".to_owned()],
        },
    }
}

/// The same, for a stage that reads events back.
fn reading() -> DeployedStack {
    use ingest_fn::environment as ingest;

    let mut stack = as_deployed();
    let index = Index {
        status: "ACTIVE".to_owned(),
        keys: vec!["received_partition".to_owned(), "received_at".to_owned()],
        projection: "KEYS_ONLY".to_owned(),
    };
    stack.items.indexes.insert("by_received_at".to_owned(), index);
    let variables = [ingest::ENVIRONMENT, ingest::READS_ENVIRONMENT].concat();
    let permissions = [ingest::PERMISSIONS, ingest::READS_PERMISSIONS].concat();
    stack.ingest = function("ingest", 512, 15, &variables, &permissions);
    for function in [&mut stack.ingest, &mut stack.drain, &mut stack.consumer] {
        function.variables.insert("TIDEGATE__READS__ENABLED".to_owned(), "true".to_owned());
    }
    stack
}

/// Of the default configuration.
fn fingerprint() -> String {
    shared::config::load(None, []).unwrap().fingerprint()
}

fn report_on(deployment: &DeployedStack) -> DoctorReport {
    examine(deployment, &shared::config::load(None, []).unwrap(), &fingerprint())
}

/// `change` causes exactly the findings `expected`, each as `part: setting`.
fn finds(change: impl FnOnce(&mut DeployedStack), expected: &[&str]) {
    finds_of(as_deployed(), change, expected);
}

fn finds_of(mut deployment: DeployedStack, change: impl FnOnce(&mut DeployedStack), expected: &[&str]) {
    change(&mut deployment);
    let report = report_on(&deployment);
    let found: Vec<_> =
        report.findings().iter().map(|finding| format!("{}: {}", finding.about, finding.setting)).collect();
    assert_eq!(found, expected, "{report}");
    for finding in report.findings() {
        assert!(!finding.change.is_empty(), "{finding:?} says nothing to do");
    }
}

fn text(value: &str) -> String {
    value.to_owned()
}

#[test]
fn a_stack_as_deployed_has_no_finding() {
    finds(|_| {}, &[]);
    insta::assert_snapshot!(report_on(&as_deployed()), @"Tidegate-dev: 165 settings checked, no finding.");
}

#[test]
fn an_unfinished_or_rolled_back_stack_is_found() {
    finds(|stack| stack.status = text("UPDATE_ROLLBACK_COMPLETE"), &["stack: status"]);
    finds(|stack| stack.status = text("CREATE_IN_PROGRESS"), &["stack: status"]);
}

#[test]
fn each_setting_of_the_mapping_is_compared() {
    fn check(change: impl FnOnce(&mut StreamMapping), setting: &str) {
        finds(|stack| change(&mut stack.mapping), &[&format!("consumer's mapping: {setting}")]);
    }
    check(|mapping| mapping.state = text("Disabled"), "State");
    check(|mapping| mapping.source = text("arn:aws:kinesis:other"), "EventSourceArn");
    check(|mapping| mapping.function = text("arn:aws:lambda:other"), "FunctionArn");
    check(|mapping| mapping.starting_position = text("LATEST"), "StartingPosition");
    check(|mapping| mapping.parallelization_factor = 2, "ParallelizationFactor");
    check(|mapping| mapping.rules.batch_size = 100, "BatchSize");
    check(|mapping| mapping.rules.batching_window = Duration::ZERO, "MaximumBatchingWindowInSeconds");
    check(|mapping| mapping.rules.bisect_on_error = false, "BisectBatchOnFunctionError");
    check(|mapping| mapping.rules.report_batch_item_failures = false, "ReportBatchItemFailures");
    check(|mapping| mapping.rules.maximum_retry_attempts = None, "MaximumRetryAttempts");
    check(|mapping| mapping.rules.maximum_record_age = None, "MaximumRecordAgeInSeconds");
    let age = |hours| {
        move |mapping: &mut StreamMapping| {
            mapping.rules.maximum_record_age = Some(Duration::from_hours(hours));
        }
    };
    check(age(0), "MaximumRecordAgeInSeconds");
    check(age(24), "MaximumRecordAgeInSeconds");
    check(|mapping| mapping.failure_destination = None, "DestinationConfig");
    check(|mapping| mapping.failure_destination = Some(text("arn:aws:s3:::elsewhere")), "DestinationConfig");
    check(|mapping| mapping.filters = 1, "FilterCriteria");
}

#[test]
fn the_window_of_the_mapping_is_that_of_the_configuration() {
    let mut config = Config::default();
    config.archive.window_seconds = 60;
    let report = examine(&as_deployed(), &config, &fingerprint()).to_string();
    assert!(report.contains("MaximumBatchingWindowInSeconds is 3, should be 60"), "{report}");
}

#[test]
fn the_maximum_record_age_must_be_below_the_retention() {
    finds(|stack| stack.mapping.rules.maximum_record_age = Some(Duration::from_hours(12)), &[]);
    finds(
        |stack| stack.stream.retention = Duration::from_hours(6),
        &["consumer's mapping: MaximumRecordAgeInSeconds", "stream: RetentionPeriodHours"],
    );
}

#[test]
fn the_mapping_of_the_drain_is_compared() {
    finds(|stack| stack.spill_mappings.clear(), &["drain's mapping: mappings of the spill queue"]);
    finds(
        |stack| stack.spill_mappings[0].source = text("arn:other"),
        &["drain's mapping: mappings of the spill queue"],
    );
    finds(|stack| stack.spill_mappings[0].state = text("Disabled"), &["drain's mapping: State"]);
    finds(|stack| stack.spill_mappings[0].batch_size = 11, &["drain's mapping: BatchSize"]);
    finds(
        |stack| stack.spill_mappings[0].report_batch_item_failures = false,
        &["drain's mapping: ReportBatchItemFailures"],
    );
}

#[test]
fn the_consumer_needs_the_time_out_of_the_configuration() {
    let mut config = shared::config::load(None, []).unwrap();
    let found = |config: &shared::config::Config| examine(&as_deployed(), config, &fingerprint()).to_string();
    config.consumer.timeout_seconds = 30;
    assert!(!found(&config).contains("Timeout"), "more than it needs is good");
    config.consumer.timeout_seconds = 900;
    assert!(found(&config).contains("consumer: Timeout is 60, should be at least 900"), "{}", found(&config));
}

#[test]
fn each_setting_of_a_function_is_compared() {
    fn check(change: impl FnOnce(&mut DeployedFunction), setting: &str) {
        finds(|stack| change(&mut stack.consumer), &[&format!("consumer: {setting}")]);
    }
    check(|function| function.runtime = text("provided.al2"), "Runtime");
    check(|function| function.memory_mb = 1_024, "MemorySize");
    check(|function| function.timeout = Duration::from_secs(59), "Timeout");
    check(|function| function.log_format = text("Text"), "LogFormat");
    check(|function| function.log_level = Some(text("WARN")), "ApplicationLogLevel");
    check(|function| function.reserved_concurrency = Some(0), "ReservedConcurrentExecutions");
    check(|function| function.architecture = text("arm64"), "Architectures");
    finds(|stack| stack.ingest.memory_mb = 256, &["ingest: MemorySize"]);
    finds(|stack| stack.ingest.timeout = Duration::from_secs(14), &["ingest: Timeout"]);
    finds(|stack| stack.drain.timeout = Duration::from_secs(29), &["drain: Timeout"]);
}

#[test]
fn every_variable_that_a_function_reads_must_name_the_stacks_own_resource() {
    for variable in consumer_fn::environment::ENVIRONMENT {
        let expected = format!("consumer: {variable}");
        finds(|stack| drop(stack.consumer.variables.remove(variable)), &[&expected]);
        finds(|stack| drop(stack.consumer.variables.insert(text(variable), text("another"))), &[&expected]);
    }
    for variable in ingest_fn::environment::ENVIRONMENT {
        let expected = format!("ingest: {variable}");
        finds(|stack| drop(stack.ingest.variables.remove(*variable)), &[&expected]);
    }
}

#[test]
fn with_credentials_ingest_needs_the_variable_and_the_permission_of_the_secret() {
    let mut config = Config::default();
    config.auth.mode = AuthMode::ApiKey;
    let findings = |deployment: &DeployedStack| {
        let report = examine(deployment, &config, &fingerprint());
        report.findings().iter().map(|finding| format!("{}: {}", finding.about, finding.setting)).collect()
    };
    let missing: Vec<String> = findings(&as_deployed());
    assert_eq!(
        missing,
        ["ingest: TIDEGATE_CREDENTIALS_SECRET", "role of ingest: secretsmanager:GetSecretValue on "]
    );
    let mut deployment = as_deployed();
    let (variables, permissions) =
        (ingest_fn::environment::variables(&config), ingest_fn::environment::permissions(&config));
    deployment.ingest = function("ingest", 512, 15, &variables, &permissions);
    assert_eq!(findings(&deployment), Vec::<String>::new());
    // Without credentials the permission is one too many.
    assert_eq!(report_on(&deployment).findings().len(), 1);
}

#[test]
fn different_overrides_are_found() {
    let change = |stack: &mut DeployedStack| {
        stack.consumer.variables.insert(text("TIDEGATE__TRANSFORM__STEPS"), text("[]"));
    };
    finds(change, &["consumer: overrides of tidegate.toml"]);
}

#[test]
fn a_version_or_a_configuration_that_is_not_this_one_is_found() {
    let health =
        |version: &str, config: &str| Ok(HealthAnswer { version: text(version), config: text(config) });
    finds(|stack| stack.live.live_code = text("older"), &["live ingest: code of the alias `live`"]);
    finds(|stack| stack.live.health = Err(text("502")), &["live ingest: GET /health"]);
    finds(|stack| stack.live.health = health("0.0.9", &fingerprint()), &["live ingest: version"]);
    finds(
        |stack| stack.live.health = health(env!("CARGO_PKG_VERSION"), "ab"),
        &["live ingest: configuration"],
    );
}

#[test]
fn a_permission_that_is_missing_is_found_for_each_one() {
    for (at, permission) in consumer_fn::environment::PERMISSIONS.iter().enumerate() {
        if permission.on == On::Everything {
            // X-Ray's. A function that is not traced has none of them.
            finds(|stack| drop(stack.consumer.role.statements.remove(at)), &[]);
            continue;
        }
        let mut deployment = as_deployed();
        let taken = deployment.consumer.role.statements.remove(at);
        let report = report_on(&deployment);
        let [finding] = report.findings() else { panic!("{report}") };
        assert_eq!(finding.about, "role of consumer");
        assert_eq!(finding.setting, format!("{} on {}", taken.actions[0], taken.resources[0]));
        assert_eq!((finding.is.as_str(), finding.should.as_str()), ("not allowed", "allowed"));
    }
}

fn allow(action: &str, resource: &str) -> Statement {
    Statement {
        allows: true,
        actions: vec![text(action)],
        resources: vec![text(resource)],
        is_conditional: false,
    }
}

#[test]
fn a_permission_that_is_not_needed_is_found() {
    let check = |action: &str, resource: &str| {
        finds(
            |stack| stack.ingest.role.statements.push(allow(action, resource)),
            &[&format!("role of ingest: {action} on {resource}")],
        );
    };
    check("s3:DeleteObject", "arn:aws:s3:::archive/*");
    // Wider than needed.
    check("s3:PutObject", "arn:aws:s3:::archive/*");
    check("kinesis:*", "arn:aws:kinesis:eu-west-1:000000000000:stream/events");
    finds(
        |stack| stack.ingest.role.attached.push(text("arn:aws:iam::aws:policy/AdministratorAccess")),
        &["role of ingest: attached policies"],
    );
}

#[test]
fn a_vpc_and_a_key_of_the_operator_need_more_permissions() {
    let interface = "ec2:CreateNetworkInterface";
    let add = |stack: &mut DeployedStack, is_in_vpc| {
        stack.ingest.is_in_vpc = is_in_vpc;
        stack.ingest.role.statements.push(allow(interface, "*"));
    };
    finds(|stack| add(stack, true), &[]);
    finds(|stack| add(stack, false), &[&format!("role of ingest: {interface} on *")]);
    let key = arn("kms", "key/1234abcd-12ab-34cd-56ef-1234567890ab");
    finds(|stack| stack.ingest.role.statements.push(allow("kms:Decrypt", &key)), &[]);
    for (action, resource) in [("kms:Decrypt", "*"), ("kms:ScheduleKeyDeletion", &key)] {
        finds(
            |stack| stack.ingest.role.statements.push(allow(action, resource)),
            &[&format!("role of ingest: {action} on {resource}")],
        );
    }
}

#[test]
fn denied_or_conditional_permissions_count_as_not_allowed() {
    let put = "role of drain: kinesis:PutRecords on arn:aws:kinesis:eu-west-1:000000000000:stream/events";
    finds(|stack| stack.drain.role.statements[0].is_conditional = true, &[put]);
    let deny = Statement {
        allows: false,
        actions: vec![text("KINESIS:Put*")],
        resources: vec![text("*")],
        is_conditional: false,
    };
    finds(|stack| stack.drain.role.statements.push(deny), &[put]);
}

#[test]
fn the_stream_is_compared() {
    finds(|stack| stack.stream.status = text("UPDATING"), &["stream: StreamStatus"]);
    finds(|stack| stack.stream.is_encrypted = false, &["stream: encryption"]);
    let spread = [(text("TIDEGATE__TENANTS__SPREAD__ACME"), text("4"))];
    let config = shared::config::load(None, spread).unwrap();
    let report = examine(&as_deployed(), &config, &fingerprint());
    let [finding] = report.findings() else { panic!("{report}") };
    assert_eq!((finding.about.as_str(), finding.setting.as_str()), ("stream", "shards"));
}

#[test]
fn the_tables_are_compared() {
    finds(|stack| stack.items.expires_by = None, &["items table: time to live"]);
    finds(|stack| stack.items.expires_by = Some(text("ttl")), &["items table: time to live"]);
    finds(|stack| stack.ledger.expires_by = Some(text("expires_at")), &["ledger table: time to live"]);
    finds(|stack| stack.items.is_restorable = false, &["items table: point-in-time recovery"]);
    finds(|stack| stack.ledger.is_restorable = false, &["ledger table: point-in-time recovery"]);
    finds(|stack| stack.ledger.is_encrypted = false, &["ledger table: encryption by KMS"]);
    finds(|stack| stack.items.keys = vec![text("sk"), text("pk")], &["items table: KeySchema"]);
    finds(|stack| stack.items.status = text("ARCHIVED"), &["items table: TableStatus"]);
}

#[test]
fn a_stage_that_reads_events_back_needs_the_index_with_its_keys_and_projection() {
    fn check(change: impl FnOnce(&mut Index), expected: &[&str]) {
        finds_of(reading(), |stack| change(stack.items.indexes.get_mut("by_received_at").unwrap()), expected);
    }
    check(|_| {}, &[]);
    let unspread = vec![text("pk"), text("received_at")];
    check(|index| index.keys = unspread, &["index by_received_at: KeySchema"]);
    check(|index| index.projection = text("ALL"), &["index by_received_at: Projection"]);
    check(|index| index.status = text("CREATING"), &["index by_received_at: IndexStatus"]);
    finds_of(reading(), |stack| stack.items.indexes.clear(), &["index by_received_at: IndexStatus"]);
}

#[test]
fn a_stage_that_reads_events_back_needs_variables_and_permissions_and_another_has_none_of_it() {
    for variable in ingest_fn::environment::READS_ENVIRONMENT {
        let expected = format!("ingest: {variable}");
        finds_of(reading(), |stack| drop(stack.ingest.variables.remove(*variable)), &[&expected]);
    }
    let query = |stack: &mut DeployedStack| {
        stack.ingest.role.statements.retain(|statement| !statement.resources[0].ends_with("by_received_at"));
    };
    let by_time =
        format!("role of ingest: dynamodb:Query on {}", arn("dynamodb", "table/items/index/by_received_at"));
    finds_of(reading(), query, &[&by_time]);

    let mut off = reading();
    for function in [&mut off.ingest, &mut off.drain, &mut off.consumer] {
        function.variables.remove("TIDEGATE__READS__ENABLED");
    }
    let report = report_on(&off);
    let found: Vec<_> = report.findings().iter().map(|finding| finding.about.as_str()).collect();
    let needless = ingest_fn::environment::READS_PERMISSIONS.len();
    assert_eq!(found, [vec!["role of ingest"; needless], vec!["index by_received_at"]].concat(), "{report}");
}

#[test]
fn items_must_outlive_every_redelivery() {
    finds(|stack| stack.stream.retention = Duration::from_hours(24 * 13), &["items table: days to live"]);
}

#[test]
fn the_bucket_is_compared() {
    finds(|stack| stack.bucket.is_private = false, &["bucket: public access block"]);
    finds(|stack| stack.bucket.is_encrypted = false, &["bucket: encryption"]);
    finds(|stack| stack.bucket.is_tls_only = false, &["bucket: TLS only"]);
    finds(
        |stack| stack.bucket.lifecycle[1].expires_after_days = Some(30),
        &["bucket: lifecycle: expiry of the archive"],
    );
    finds(
        |stack| {
            let claims = stack.bucket.lifecycle.iter_mut().find(|rule| rule.prefix == "claims/").unwrap();
            claims.expires_after_days = Some(228);
        },
        &["bucket: lifecycle: expiry of claims/ after the others"],
    );
    finds(
        |stack| stack.bucket.lifecycle.clear(),
        &[
            "bucket: lifecycle: expiry of errors/",
            "bucket: lifecycle: expiry of aws/lambda/",
            "bucket: lifecycle: expiry of redriven/",
            "bucket: lifecycle: expiry of claims/",
            "bucket: lifecycle: unfinished uploads are removed",
        ],
    );
}

#[test]
fn the_queues_are_compared() {
    finds(|stack| stack.spill.visibility = Duration::from_secs(179), &["spill queue: VisibilityTimeout"]);
    finds(|stack| stack.drain.timeout = Duration::from_mins(1), &["spill queue: VisibilityTimeout"]);
    finds(|stack| stack.spill.redrive = None, &["spill queue: RedrivePolicy"]);
    let sooner = |stack: &mut DeployedStack| stack.spill.redrive.as_mut().unwrap().receives = 3;
    finds(sooner, &["spill queue: RedrivePolicy"]);
    finds(|stack| stack.spill.message_bytes = 262_144, &["spill queue: MaximumMessageSize"]);
    finds(|stack| stack.dead_letters.is_encrypted = false, &["dead letters: encryption"]);
    finds(|stack| stack.spill.retention = Duration::from_hours(24), &["spill queue: MessageRetentionPeriod"]);
}

#[test]
fn an_alarm_that_is_missing_silent_or_firing_is_found() {
    fn alarm(stack: &mut DeployedStack) -> &mut Alarm {
        stack.alarms[0].1.as_mut().unwrap()
    }
    finds(|stack| stack.alarms[0].1 = None, &["alarm late: state"]);
    finds(|stack| alarm(stack).state = text("ALARM"), &["alarm late: state"]);
    finds(|stack| alarm(stack).has_actions = false, &["alarms: notification"]);
    finds(|stack| stack.alarms.clear(), &["alarms: alarms of the stack"]);
}

#[test]
fn silent_alarms_are_one_finding_that_reads_as_a_sentence() {
    let mut deployment = as_deployed();
    let silent = Alarm { state: text("OK"), description: String::new(), has_actions: false };
    deployment.alarms = ["late", "full"].map(|name| (text(name), Some(silent.clone()))).into();
    insta::assert_snapshot!(report_on(&deployment), @r"
    alarms: notification is off for late, full, should be on for every alarm
        aws cloudwatch enable-alarm-actions --alarm-names late full; or deploy the stack again
    What was changed by hand is no change of the template: `cdk deploy --revert-drift` sets it back.
    Tidegate-dev: 166 settings checked, 1 finding.
    ");
}

#[test]
fn a_value_that_is_absent_is_not_set() {
    let mut deployment = as_deployed();
    deployment.items.status.clear();
    insta::assert_snapshot!(report_on(&deployment), @r"
    items table: TableStatus is not set, should be ACTIVE
        wait, or ask AWS
    Tidegate-dev: 165 settings checked, 1 finding.
    ");
}

#[test]
fn a_topic_that_refuses_the_alarms_is_found() {
    let who = "alarms: publishers allowed by their topic";
    finds(|stack| stack.alarm_topic.publishers.clear(), &[who]);
    finds(|stack| stack.alarm_topic.publishers = vec![text("events.amazonaws.com")], &[who]);
    // SNS's default policy.
    finds(|stack| stack.alarm_topic.publishers = vec![text("*")], &[]);
}

#[test]
fn a_finding_says_what_it_is_what_it_should_be_and_what_to_change() {
    let mut deployment = as_deployed();
    deployment.mapping.rules.bisect_on_error = false;
    let report = report_on(&deployment);
    insta::assert_snapshot!(report, @r"
    consumer's mapping: BisectBatchOnFunctionError is off, should be on
        aws lambda update-event-source-mapping --uuid 00000000-0000-0000-0000-000000000000 --bisect-batch-on-function-error
    Tidegate-dev: 165 settings checked, 1 finding.
    ");
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
    {
      "stack": "Tidegate-dev",
      "checked": 165,
      "findings": [
        {
          "about": "consumer's mapping",
          "setting": "BisectBatchOnFunctionError",
          "is": "off",
          "should": "on",
          "change": "aws lambda update-event-source-mapping --uuid 00000000-0000-0000-0000-000000000000 --bisect-batch-on-function-error"
        }
      ]
    }
    "#);
}

/// A stack with dispatch, as `cdk/` deploys it, and the configuration for it.
fn with_dispatch() -> (DeployedStack, shared::config::Config) {
    use dispatch_fn::environment as dispatcher;

    let mut stack = as_deployed();
    let permissions = [consumer_fn::environment::PERMISSIONS, consumer_fn::environment::DISPATCH_PERMISSIONS];
    let mut variables = consumer_fn::environment::ENVIRONMENT.to_vec();
    variables.push(shared::environment::DISPATCH_QUEUE);
    stack.consumer = function("consumer", 1_769, 60, &variables, &permissions.concat());
    let mut variables = dispatcher::ENVIRONMENT.to_vec();
    variables.push(shared::environment::DISPATCH_SECRET_ARN);
    let permissions = [dispatcher::PERMISSIONS, dispatcher::SECRET_PERMISSIONS].concat();
    let redrive = RedrivePolicy { target: arn("sqs", "dispatch-dead"), receives: 1_000 };
    stack.dispatch = Some(DeployedDispatch {
        function: function("dispatcher", 256, 60, &variables, &permissions),
        mappings: vec![QueueMapping {
            id: "dispatch-mapping".to_owned(),
            state: "Enabled".to_owned(),
            source: arn("sqs", "dispatch"),
            batch_size: 10,
            report_batch_item_failures: true,
        }],
        queue: DeployedQueue {
            visibility: Duration::from_mins(6),
            redrive: Some(redrive),
            ..queue("dispatch", 14)
        },
        dead_letters: queue("dispatch-dead", 14),
        rate: DeployedTable { arn: arn("dynamodb", "table/rate"), ..stack.ledger.clone() },
    });
    let mut config = shared::config::Config::default();
    (config.dispatch.enabled, config.dispatch.url) = (true, "https://target/".to_owned());
    (stack, config)
}

#[test]
fn dispatch_is_compared_where_it_is_on() {
    let check = |change: fn(&mut DeployedDispatch), expected: &[&str]| {
        let (mut stack, config) = with_dispatch();
        change(stack.dispatch.as_mut().unwrap());
        let found = examine(&stack, &config, &fingerprint()).to_string();
        for expected in expected {
            assert!(found.contains(expected), "{expected}: {found}");
        }
        assert_eq!(found.contains("dispatch"), !expected.is_empty(), "{found}");
    };
    check(|_| {}, &[]);
    check(
        |dispatch| dispatch.queue.visibility = Duration::from_mins(3),
        &["dispatch queue", "VisibilityTimeout"],
    );
    check(|dispatch| dispatch.queue.redrive = None, &["dispatch queue", "RedrivePolicy"]);
    check(|dispatch| dispatch.queue.retention = Duration::from_hours(96), &["MessageRetentionPeriod"]);
    check(|dispatch| dispatch.mappings.clear(), &["mappings of the dispatch queue"]);
    check(|dispatch| dispatch.mappings[0].state = text("Disabled"), &["dispatcher's mapping", "State"]);
    check(|dispatch| dispatch.function.timeout = Duration::from_secs(3), &["dispatcher", "Timeout"]);
    check(|dispatch| dispatch.function.role.statements.clear(), &["dispatcher", "sqs:SendMessage"]);
    check(
        |dispatch| drop(dispatch.function.variables.remove("TIDEGATE_RATE_TABLE")),
        &["TIDEGATE_RATE_TABLE"],
    );
}

#[test]
fn dispatch_that_is_deployed_and_off_or_on_and_not_deployed_is_found() {
    let (stack, config) = with_dispatch();
    let off = examine(&stack, &shared::config::Config::default(), &fingerprint()).to_string();
    assert!(off.contains("dispatch"), "{off}");
    let missing = examine(&as_deployed(), &config, &fingerprint()).to_string();
    assert!(missing.contains("dispatch"), "{missing}");
}
