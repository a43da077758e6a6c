//! What is sent or done to do harm, or happens to the machine, with the tests that fail if it does harm. They are elsewhere, each where
//! what it proves is.

use super::elsewhere::Tested;

pub(super) const INTRODUCTION: &str = "
## Attacks, and a machine that fails

The tests are named here. Each was seen to fail without what it proves.

| what is done | what happens | tests |
|---|---|---|
";

pub(super) const ATTACKS: &[Tested] = &[
    Tested {
        what: "a compressed body of 61 bytes that is nested arrays of 10 MB; thousands of empty events",
        outcome: "what is stored has [a bound](limits.md#what-one-request-makes-us-store) for each byte and event, and a quota counts both",
        tests: &[
            ("shared/src/flatten.rs", "an_object_whose_paths_multiply_is_cut_and_its_fields_are_not"),
            ("fuzz/tests/amplification.rs", "the_largest_requests_are_within_the_bounds"),
            ("ingest-fn/tests/http/quotas.rs", "small_events_are_charged_for_what_each_is_stored_with"),
            (
                "ingest-fn/tests/http/quotas.rs",
                "of_many_small_events_in_many_requests_at_once_the_first_ones_use_up_the_quota",
            ),
        ],
    },
    Tested {
        what: "a thousand connections that send half of a head, a byte at a time, a large one, or nothing",
        outcome: "[limits](limits.md#connections) of time, size and number; others are served within a second",
        tests: &[
            (
                "ingest-fn/src/server/tests.rs",
                "a_head_that_does_not_end_is_closed_after_its_time_limit_also_if_it_trickles",
            ),
            ("ingest-fn/src/server/tests.rs", "an_idle_connection_is_closed_after_its_own_time_limit"),
            ("ingest-fn/src/server/tests.rs", "a_head_that_cannot_be_read_is_answered_with_a_problem"),
            (
                "ingest-fn/src/server/tests.rs",
                "where_all_connections_have_requests_the_next_is_answered_503_until_one_ends",
            ),
            ("ingest-fn/src/server/files.rs", "the_soft_limit_of_open_files_becomes_the_hard_one"),
            (
                "tests/pipeline/connections.rs",
                "a_thousand_heads_that_do_not_end_do_not_keep_others_from_being_served_within_a_second",
            ),
        ],
    },
    Tested {
        what: "another process of the machine calls the Runtime API of a function, or reads the data folder",
        outcome: "403, unless it knows the function's path; other users cannot read the folder",
        tests: &[
            ("local/src/runtime_api/tests.rs", "a_strangers_request_to_the_runtime_api_is_refused"),
            ("local/src/data/claim.rs", "all_that_is_stored_can_be_read_by_this_user_only"),
        ],
    },
    Tested {
        what: "the disk is full while a body is stored; the run is killed meanwhile",
        outcome: "503, and no part of it stays: small events have room",
        tests: &[
            ("local/src/embedded/folder.rs", "what_could_not_be_stored_leaves_no_part"),
            ("local/src/data/claim.rs", "a_start_removes_unfinished_objects_and_finishes_a_reset"),
            (
                "tests/pipeline/data_folder.rs",
                "a_body_that_does_not_fit_on_the_disk_leaves_nothing_and_small_events_pass",
            ),
        ],
    },
    Tested {
        what: "claim checks, large texts or items are deleted or changed",
        outcome: "the [audit](audit.md) names each",
        tests: &[(
            "operate/tests/damage/main.rs",
            "every_damage_to_every_stored_thing_is_found_or_has_a_reason",
        )],
    },
    Tested {
        what: "an item's row that cannot be read",
        outcome: "a finding with its key, and the audit goes on",
        tests: &[(
            "operate/tests/data_folder/audit.rs",
            "an_item_row_that_cannot_be_read_is_named_by_its_key",
        )],
    },
    Tested {
        what: "an audit of 300,000 events",
        outcome: "memory does not grow with them ([measured](performance.md)), and it says how far it is",
        tests: &[
            ("operate/src/audit/partitions.rs", "what_is_held_at_one_time_does_not_grow_with_the_facts"),
            ("operate/tests/data_folder/audit.rs", "an_audit_says_how_far_it_is_with_each_store"),
        ],
    },
    Tested {
        what: "a foreign producer's line with the `admission_id` of another event",
        outcome: "two events, told apart by tenant and id",
        tests: &[
            ("operate/src/audit/tests.rs", "an_event_that_copies_an_admission_is_judged_alone"),
            ("tests/pipeline/audit.rs", "lines_with_another_events_admission_are_events_of_their_own"),
        ],
    },
    Tested {
        what: "a million records of the local run expire",
        outcome: "they are deleted in chunks, and requests wait for one at most",
        tests: &[(
            "local/src/embedded/expiry.rs",
            "a_transaction_deletes_at_most_a_chunk_and_the_lock_is_free_between",
        )],
    },
    Tested {
        what: "the data folder is deleted, replaced or put together from two, or the clock jumps",
        outcome: "no `202`, and a message that says what to do ([more](operate.md#the-local-runs-data-folder))",
        tests: &[
            (
                "tests/pipeline/data_folder.rs",
                "nothing_is_accepted_after_the_database_or_the_whole_folder_was_deleted",
            ),
            (
                "tests/pipeline/data_folder.rs",
                "objects_without_their_database_are_refused_at_the_start_and_a_reset_helps",
            ),
            ("local/src/data/claim.rs", "a_start_with_a_clock_that_is_far_from_the_last_run_is_refused"),
            ("local/src/guard.rs", "a_clock_that_jumps_by_more_than_a_day_is_noticed_in_both_directions"),
        ],
    },
    Tested {
        what: "a configuration with a wrong, huge or slow pattern, or an unknown log level",
        outcome: "no function starts, and each names the key",
        tests: &[
            (
                "tests/pipeline/configuration.rs",
                "what_cannot_work_is_refused_by_every_function_with_the_same_message",
            ),
            ("shared/src/config/transform.rs", "a_few_bytes_cannot_compile_to_more_memory_than_the_limit"),
        ],
    },
    Tested {
        what: "`tidegate local | head -2`",
        outcome: "the run goes on without its reader",
        tests: &[
            ("tests/pipeline/data_folder.rs", "a_run_goes_on_when_the_reader_of_its_output_is_gone"),
            ("tests/pipeline/data_folder.rs", "no_command_panics_when_the_readers_of_its_output_are_gone"),
            ("cli/src/terminal.rs", "a_closed_pipe_is_no_error_and_a_full_disk_is_one"),
        ],
    },
    Tested {
        what: "2,000 bodies of 10 MB at once",
        outcome: "each is answered, and the memory is at most twice `limits.bodies_in_memory_bytes`",
        tests: &[
            ("ingest-fn/src/body.rs", "a_body_waits_for_memory_and_is_then_refused"),
            (
                "ingest-fn/src/server/tests.rs",
                "a_sender_whose_body_no_one_reads_sees_the_answer_after_it_has_written_all",
            ),
            (
                "tests/pipeline/connections.rs",
                "bodies_that_exceed_the_memory_together_are_answered_and_do_not_take_much_more",
            ),
        ],
    },
];
