//! What AWS does, by its documentation or as others recorded it, with the tests of what follows from it here.

use super::elsewhere::Tested;

pub(super) const INTRODUCTION: &str = "
## AWS, as it is documented and was recorded

The tests are named here.

| what AWS does | what follows | tests |
|---|---|---|
";

pub(super) const RULES: &[Tested] = &[
    Tested {
        what: "a Function URL takes a body for text by its media type, also if it is compressed, and replaces the bytes that are not UTF-8",
        outcome: "the problem `body_mangled` says under which media type it arrives whole; a body that a proxy inflated is read, although \
                  the header still says that it is compressed",
        tests: &[
            (
                "ingest-fn/src/body/decode.rs",
                "compressed_bytes_that_were_taken_for_text_have_their_own_problem",
            ),
            ("ingest-fn/src/body/decode.rs", "a_text_after_a_header_that_a_proxy_left_is_read"),
            ("tests/pipeline/cases.rs", "every_case_has_its_outcome_by_every_way_in"),
        ],
    },
    Tested {
        what: "the name of a dashboard is taken in all regions of an account",
        outcome: "it has the region in it, so that a second region can be deployed",
        tests: &[(
            "cdk/test/stage.test.ts",
            "a stage has its own names, and is deployed to its account and region",
        )],
    },
    Tested {
        what: "the first call of a new sandbox opens a connection; one that its role may not make is an `AccessDenied` in CloudTrail",
        outcome: "the start opens the connection with a request that has no credentials and runs no action",
        tests: &[
            (
                "shared/src/sdk.rs",
                "the_first_call_uses_the_connection_that_the_start_opened_whatever_was_answered",
            ),
            ("shared/src/sdk.rs", "a_preflight_carries_no_credentials"),
            ("ingest-fn/src/spill/sqs.rs", "opening_runs_no_action"),
            (
                "ingest-fn/tests/http/start.rs",
                "a_start_opens_a_connection_to_each_service_and_waits_for_no_success",
            ),
        ],
    },
    Tested {
        what: "a shard gives 2 MB/s and 5 calls/s to all its readers together, and after a call that returned 10 MB nothing for 5 seconds",
        outcome: "commands take half of it: the size of a call follows the size of the records, and the time to the next one the bytes that \
                  it returned. They wait as long as the shard gives nothing, and say so",
        tests: &[
            (
                "aws/src/deployment/tests/shard.rs",
                "a_shard_is_read_beside_its_mapping_without_a_refusal_of_either",
            ),
            (
                "aws/src/deployment/tests/shard.rs",
                "records_that_become_large_at_once_hold_up_the_mapping_for_seconds",
            ),
            (
                "aws/src/deployment/tests/shard.rs",
                "a_shard_that_others_use_up_is_waited_for_and_that_is_said",
            ),
        ],
    },
    Tested {
        what: "a Function URL without IAM takes requests of anyone",
        outcome: "`prod` needs credentials or IAM, or is refused unless `-c public=true` says that it is meant",
        tests: &[(
            "cdk/test/credentials.test.ts",
            "prod without credentials is refused unless it is meant to be public, or uses IAM",
        )],
    },
    Tested {
        what: "metrics with the same name and dimensions are one metric, also if two stages of an account write it",
        outcome: "a function's metrics have its stage as a dimension, and the dashboard shows those of its own",
        tests: &[
            ("tests/pipeline/samples.rs", "a_functions_metrics_are_of_its_stage"),
            ("cdk/test/contract.test.ts", "the dashboard shows every metric of the functions"),
        ],
    },
    Tested {
        what: "a mapping that is disabled, or may not read, invokes nothing: the stream's records then have no age, no error and no \
               freshness; one that is throttled waits",
        outcome: "alarms compare what arrives with what is invoked, and count throttles; every alarm also tells when it clears",
        tests: &[
            (
                "cdk/test/monitoring.test.ts",
                "the stream is unread while records arrive and the mapping invokes the consumer with none",
            ),
            ("cdk/test/monitoring.test.ts", "a consumer that gets no concurrency fires its own alarm"),
            (
                "cdk/test/monitoring.test.ts",
                "every alarm notifies the topic when it fires and when it clears, and missing data is good",
            ),
        ],
    },
    Tested {
        what: "where X-Ray is on, a caller's header decides whether a request is traced",
        outcome: "it is off unless the stage or its recipe asks for it",
        tests: &[(
            "cdk/test/functions.test.ts",
            "nothing is traced, unless the stage or its recipe asks for it",
        )],
    },
    Tested {
        what: "a write is billed by each KB begun of the whole item, with the names of its attributes",
        outcome: "[the costs](cost.md) are reckoned with the size of a real item: three write units for an event of 1 KB",
        tests: &[
            ("tests/src/item_size.rs", "an_event_of_1_kb_takes_the_write_units_that_the_documents_promise"),
            ("tests/src/contract.rs", "the_contract_that_the_cdk_reads_is_current"),
            ("cdk/test/cost.test.ts", "docs/cost.md is current"),
        ],
    },
    Tested {
        what: "the `payload` of a failed batch is documented as text, and was recorded as an object",
        outcome: "both are read",
        tests: &[
            ("shared/src/format/failed_batch.rs", "a_payload_is_read_as_text_and_as_the_object_itself"),
            (
                "operate/src/failed_batch.rs",
                "a_failed_batch_is_read_from_its_payload_and_one_without_is_refused",
            ),
            (
                "operate/src/redrive/source.rs",
                "a_failed_batch_has_the_same_events_whether_its_payload_is_a_text_or_an_object",
            ),
            ("tests/pipeline/redrive.rs", "a_killed_redrive_stores_everything_once_when_it_is_repeated"),
            (
                "operate/src/erase/saved.rs",
                "what_is_left_of_a_failed_batch_is_written_as_it_was_a_text_or_an_object",
            ),
        ],
    },
    Tested {
        what: "what is saved of a record that became too old has no `responseContext`, even after 8 invocations, and \
               `approximateInvokeCount` is 1 if it never was delivered",
        outcome: "the mapping of the local run writes the same",
        tests: &[
            (
                "local/src/event_source_mapping/discard.rs",
                "records_that_became_too_old_have_no_response_and_count_as_invoked_once_if_they_never_were",
            ),
            (
                "local/src/event_source_mapping/shard/tests.rs",
                "a_batch_that_cannot_be_invoked_is_discarded_by_age_only",
            ),
        ],
    },
    Tested {
        what: "of a batch of three the last record is reported each time: the others are delivered once, it five times at 3 retries, \
               and `approximateInvokeCount` is 4",
        outcome: "the mapping of the local run does the same: the part after the split counts from zero",
        tests: &[(
            "local/src/event_source_mapping/shard/tests.rs",
            "the_rest_after_a_partial_response_has_all_its_retries",
        )],
    },
    Tested {
        what: "a first deployment that fails is rolled back, but what has `RETAIN` stays, and its name is taken",
        outcome: "tables, bucket and, in `prod`, stream and queues stay after an update or a deletion only (`RetainExceptOnCreate`)",
        tests: &[("cdk/test/data.test.ts", "a first deployment that fails leaves nothing")],
    },
    Tested {
        what: "a role that may write objects may replace them",
        outcome: "the bucket's policy refuses writes under `events/` without `If-None-Match` or `If-Match`",
        tests: &[(
            "cdk/test/data.test.ts",
            "the bucket refuses writes that would replace an archive object unseen",
        )],
    },
    Tested {
        what: "CloudFormation compares templates, so deploying again leaves what was changed by hand",
        outcome: "`doctor` names `cdk deploy --revert-drift`",
        tests: &[("operate/src/doctor/tests.rs", "silent_alarms_are_one_finding_that_reads_as_a_sentence")],
    },
    Tested {
        what: "a template without the functions' code deploys, too, and then every request fails",
        outcome: "a rule in the template lets CloudFormation refuse it",
        tests: &[("cdk/test/functions.test.ts", "CloudFormation refuses to deploy placeholders")],
    },
];
