use super::*;

fn from(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    parse(Path::new("tidegate.toml"), text, pairs)
}

fn error(text: &str, environment: &[(&str, &str)]) -> String {
    from(text, environment).unwrap_err().to_string()
}

#[test]
fn nothing_given_is_the_default() {
    let config = load(None, []).unwrap();
    assert_eq!(config.tiers.listed(), "free, pro, enterprise");
    assert_eq!(config.publish.budget_ms, 250);
}

#[test]
fn the_sample_configuration_is_the_default_written_out() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tidegate.toml");
    assert_eq!(load(Some(&sample), []).unwrap().fingerprint(), load(None, []).unwrap().fingerprint());
}

#[test]
fn an_unknown_key_is_named_with_what_is_allowed() {
    insta::assert_snapshot!(error("[tiers]\nalowed = []", &[]), @"configuration: `tiers.alowed`: unknown field `alowed`, expected `allowed` or `default`; did you mean `allowed`?");
    insta::assert_snapshot!(error("[tears]", &[]), @"configuration: `tears`: unknown field `tears`, expected one of `tiers`, `tenants`, `ids`, `auth`, `quotas`, `cors`, `otlp`, `limits`, `server`, `publish`, `transform`, `consumer`, `archive`, `items`, `reads`, `dispatch`, `telemetry`; did you mean `tiers`?");
}

#[test]
fn a_bad_value_is_named_with_what_is_allowed() {
    insta::assert_snapshot!(error("[limits]\nbody_bytes = 10485761", &[]), @"configuration: `limits.body_bytes` is `10485761`, allowed: 1 to 10485760");
    insta::assert_snapshot!(error("[server]\nconnections = 0", &[]), @"configuration: `server.connections` is `0`, allowed: 1 to 1000000");
    insta::assert_snapshot!(error("[server]\nhead_timeout_ms = 10", &[]), @"configuration: `server.head_timeout_ms` is `10`, allowed: 100 to 900000");
    insta::assert_snapshot!(error("[tiers]\ndefault = \"gold\"", &[]), @"configuration: `tiers.default` is `gold`, allowed: one of tiers.allowed: free, pro, enterprise");
    insta::assert_snapshot!(error("[tenants.spread]\nacme = 1", &[]), @"configuration: `tenants.spread.acme` is `1`, allowed: 2 to 1000");
    insta::assert_snapshot!(error("[transform]\nsteps = [\"shout\"]", &[]), @"configuration: `transform.steps[0]`: unknown variant `shout`, expected one of `redact`, `uppercase`, `enrich`");
    insta::assert_snapshot!(error("[transform]\nsimulate_work = nan", &[]), @"configuration: `transform.simulate_work` is `NaN`, allowed: 0 to 30, with `consumer.timeout_seconds` at 60");
    insta::assert_snapshot!(error("[transform]\nsimulate_work = -1", &[]), @"configuration: `transform.simulate_work` is `-1`, allowed: 0 to 30, with `consumer.timeout_seconds` at 60");
    insta::assert_snapshot!(error("[transform]\nsimulate_work = 31\n[consumer]\ntimeout_seconds = 60", &[]), @"configuration: `transform.simulate_work` is `31`, allowed: 0 to 30, with `consumer.timeout_seconds` at 60");
    insta::assert_snapshot!(error("[consumer]\ntimeout_seconds = 901", &[]), @"configuration: `consumer.timeout_seconds` is `901`, allowed: 30 to 900");
    insta::assert_snapshot!(error("[telemetry]\nlog_level = \"loud=very\"", &[]), @"configuration: `telemetry.log_level` is `loud=very`, allowed: a level (off, error, warn, info, debug, trace), or a filter such as info,ingest_fn=debug");
    insta::assert_snapshot!(error("[dispatch]\nenabled = true", &[]), @"configuration: `dispatch.url` is ``, allowed: a URL such as `https://target.example.com/graphql`");
    insta::assert_snapshot!(error("[dispatch]\nurl = \"ftp://x/graphql\"", &[]), @"configuration: `dispatch.url` is `ftp://x/graphql`, allowed: a URL such as `https://target.example.com/graphql`");
    insta::assert_snapshot!(error("[dispatch.variables]\nevent = { body = [\"{txt}\"] }", &[]), @"configuration: `dispatch.variables.event` is `{txt}`, allowed: {event}, {key}, {id}, {tenant}, {tier}, {text}, {time}, {received_at}, {fields} or {fields.NAME}");
    insta::assert_snapshot!(error("[ids]\nheaders = [\"x y\"]", &[]), @"configuration: `ids.headers` is `x y`, allowed: names of headers, but not Authorization, X-Api-Key, Cookie, webhook-signature, accept, host, user-agent, x-forwarded-for, x-forwarded-port, x-forwarded-proto");
    insta::assert_snapshot!(error("[ids]\nheaders = [\"authorization\"]", &[]), @"configuration: `ids.headers` is `authorization`, allowed: names of headers, but not Authorization, X-Api-Key, Cookie, webhook-signature, accept, host, user-agent, x-forwarded-for, x-forwarded-port, x-forwarded-proto");
    insta::assert_snapshot!(error("[ids]\nheaders = [\"X-A\", \"x-a\"]", &[]), @"configuration: `ids.headers` is `x-a`, allowed: each header once");
    insta::assert_snapshot!(error("[ids]\nmembers = [\"id\", \"text\"]", &[]), @"configuration: `ids.members` is `text`, allowed: names of members that are not tenant, text or time (docs/http-api.md#members-of-an-object)");
    insta::assert_snapshot!(error("[ids]\nheaders = [\"User-Agent\"]", &[]), @"configuration: `ids.headers` is `User-Agent`, allowed: names of headers, but not Authorization, X-Api-Key, Cookie, webhook-signature, accept, host, user-agent, x-forwarded-for, x-forwarded-port, x-forwarded-proto");
    insta::assert_snapshot!(error("[dispatch.headers]\nHost = \"a\"", &[]), @"configuration: `dispatch.headers` is `Host`, allowed: names of headers, but not Host, Content-Type, Content-Length, Accept, Idempotency-Key, Connection");
    insta::assert_snapshot!(error("[dispatch]\nrate_per_second = 0", &[]), @"configuration: `dispatch.rate_per_second` is `0`, allowed: 0.001 to 500");
    insta::assert_snapshot!(error("[publish]\nbudget_ms = \"soon\"", &[]), @r#"configuration: `publish.budget_ms`: invalid type: string "soon", expected a whole number from 0"#);
}

/// What would be found later or elsewhere: at the first event, by one function and not the others, or by nothing at all.
#[test]
fn what_only_one_function_would_notice_is_refused_by_all() {
    insta::assert_snapshot!(error("[transform.redact]\npatterns = [\"(\"]", &[]), @"configuration: `transform.redact.patterns[0]` is `(`, allowed: a regular expression (unclosed group)");
    insta::assert_snapshot!(error("[telemetry]\nlog_level = \"loud\"", &[]), @"configuration: `telemetry.log_level` is `loud`, allowed: a level (off, error, warn, info, debug, trace), or a filter such as info,ingest_fn=debug");
    let patterns = format!("[transform]\nsteps = []\n[transform.redact]\npatterns = {:?}", vec!["a"; 51]);
    insta::assert_snapshot!(error(&patterns, &[]), @"configuration: `transform.redact.patterns` is `51 patterns`, allowed: at most 50 patterns");
    let large = format!("[transform.redact]\npatterns = {:?}", vec![r"\w{99}"; 10]);
    insta::assert_snapshot!(error(&large, &[]), @"configuration: `transform.redact.patterns` is `10 patterns`, allowed: patterns that are compiled to at most 33554432 bytes together");
    let replacement = format!("[transform.redact]\nreplacement = {:?}", "x".repeat(65));
    insta::assert_snapshot!(error(&replacement, &[]), @"configuration: `transform.redact.replacement` is `65 bytes`, allowed: at most 64 bytes");
    let constant = "x".repeat(10_000);
    insta::assert_snapshot!(error(&format!("[transform.enrich]\na = {constant:?}"), &[]), @"configuration: `transform.enrich` is `10008 bytes of JSON`, allowed: at most 10000 bytes");
    insta::assert_snapshot!(error(&format!("[dispatch.constants]\na = {constant:?}"), &[]), @"configuration: `dispatch.constants` is `10008 bytes of JSON`, allowed: at most 10000 bytes");
    insta::assert_snapshot!(error("[tiers]\nallowed = [\"a\", \"a\"]", &[]), @"configuration: `tiers.allowed` is `a`, allowed: each tier once");
    insta::assert_snapshot!(error("[auth]\ncredentials_file = \"\"", &[]), @"configuration: `auth.credentials_file` is ``, allowed: the path of a file");
}

#[test]
fn a_log_filter_must_say_a_level_for_everything() {
    for good in ["info", "DEBUG", "off", "info,ingest_fn=debug", "warn,consumer_fn::archive=trace,hyper=off"]
    {
        from(&format!("[telemetry]\nlog_level = {good:?}"), &[]).unwrap();
    }
    for bad in ["", "loud", "ingest_fn=debug", "info,ingest_fn", "info,,debug", "info=loud", "info ,warn"] {
        let error = error(&format!("[telemetry]\nlog_level = {bad:?}"), &[]);
        assert!(error.starts_with("configuration: `telemetry.log_level`"), "{bad}: {error}");
    }
}

#[test]
fn a_url_of_dispatch_is_one_that_can_be_called() {
    let check = |url: &str| from(&format!("[dispatch]\nurl = {url:?}"), &[]).map(drop);
    for good in [
        "https://target.example.com/graphql",
        "http://localhost:8081/graphql?a=b",
        "http://target_1",
        "http://127.0.0.1:1",
        "https://[::1]:8443/graphql",
    ] {
        check(good).unwrap();
    }
    for bad in [
        "target.example.com",
        "https://",
        "https:///graphql",
        "https://target.example.com:99999/",
        "https://target.example.com:0/",
        "https://target.example.com:/",
        "https://user:secret@target.example.com/",
        "https://tar get/",
        "https://-target/",
        "https://[::1/",
        "https://target.example.com/#part",
        "HTTPS://target.example.com",
    ] {
        let error = check(bad).expect_err(bad).to_string();
        assert!(error.starts_with("configuration: `dispatch.url`") && !error.contains("secret"), "{error}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let shapes = "[tiers]\nalowed = []\n[publish]\nbudget_ms = \"soon\"\n[transform]\nsteps = [\"shout\", \"redact\"]\n";
    insta::assert_snapshot!(error(shapes, &[("TIDEGATE__READS__ENABLED", "maybe")]), @r#"
    configuration: `tiers.alowed`: unknown field `alowed`, expected `allowed` or `default`; did you mean `allowed`?
    configuration: `publish.budget_ms`: invalid type: string "soon", expected a whole number from 0
    configuration: `transform.steps[0]`: unknown variant `shout`, expected one of `redact`, `uppercase`, `enrich`
    configuration: `reads.enabled` (from TIDEGATE__READS__ENABLED): invalid type: string "maybe", expected a boolean
    "#);
    let values = "[limits]\nbody_bytes = 10485761\n[transform.redact]\npatterns = [\"(\", \"fine\", \")\"]\n[telemetry]\nlog_level = \"loud\"\n";
    insta::assert_snapshot!(error(values, &[]), @"
    configuration: `limits.body_bytes` is `10485761`, allowed: 1 to 10485760
    configuration: `transform.redact.patterns[0]` is `(`, allowed: a regular expression (unclosed group)
    configuration: `transform.redact.patterns[2]` is `)`, allowed: a regular expression (unopened group)
    configuration: `telemetry.log_level` is `loud`, allowed: a level (off, error, warn, info, debug, trace), or a filter such as info,ingest_fn=debug
    ");
}

#[test]
fn no_more_than_twenty_keys_are_told_at_once() {
    let keys: Vec<_> = (0..1_000).map(|number| format!("x{number} = 1")).collect();
    assert_eq!(error(&keys.join("\n"), &[]).lines().count(), 20);
}

#[test]
fn an_error_shows_no_secret_of_a_header() {
    for text in [
        "[dispatch.headers]\nAuthorization = \"hush\\u0001\"",
        "[dispatch]\nheaders = \"hush\"",
        "[dispatch.headers]\nAuthorization = { a = \"hush\" }",
    ] {
        let error = error(text, &[]);
        assert!(error.contains("dispatch.headers") && !error.contains("hush"), "{error}");
    }
    let nested = [("TIDEGATE__DISPATCH__HEADERS__A__B", "1")];
    let error = error("[dispatch.headers]\na = \"hush\"", &nested);
    assert!(error.contains("dispatch.headers.a") && !error.contains("hush"), "{error}");
}

#[test]
fn reads_are_on_by_default_on_this_machine_only_and_public_ones_are_named() {
    let config = |text: &str| from(text, &[]).unwrap();
    assert!(config("").reads.on_this_machine());
    assert!(!config("[reads]\nenabled = false").reads.on_this_machine());
    assert!(!config("").as_deployed().unwrap().reads.enabled.unwrap());
    assert!(config("[reads]\nenabled = true\npublic = true").as_deployed().unwrap().reads.enabled.unwrap());
    assert!(
        config("[reads]\nenabled = true\n[auth]\nmode = \"api_key\"")
            .as_deployed()
            .unwrap()
            .reads
            .enabled
            .unwrap()
    );
    let refused = config("[reads]\nenabled = true").as_deployed().unwrap_err();
    insta::assert_snapshot!(refused, @"configuration: `reads.public` is `false`, allowed: true where `reads.enabled` is true on AWS and `auth.mode` is `none`, because callers are not identified: anyone who has the address can read the events of every tenant");
}

#[test]
fn what_an_invocation_reads_fits_the_memory_that_it_has_on_aws() {
    let deployed = |bytes: u64| from(&format!("[limits]\nbatch_bytes = {bytes}"), &[]).unwrap().as_deployed();
    deployed(800_000_000).unwrap();
    insta::assert_snapshot!(deployed(900_000_000).unwrap_err(), @"configuration: `limits.batch_bytes` is `900000000`, allowed: on AWS at most 927465472 with `limits.claim_check_bytes`, half of the consumer's memory");
}

#[test]
fn a_quota_must_leave_room_for_the_largest_body() {
    insta::assert_snapshot!(error("[quotas.tiers]\nfree = { bytes_per_second = 1000, bytes_burst = 10485759 }", &[]), @"configuration: `quotas.tiers.free.bytes_burst` is `10485759`, allowed: 10485760 to 100000000");
    insta::assert_snapshot!(error("[quotas.tenants]\nacme = { requests_per_second = 0 }", &[]), @"configuration: `quotas.tenants.acme.requests_per_second` is `0`, allowed: 1 to 100000000");
    insta::assert_snapshot!(error("[quotas.tenants]\nacme = { requests_burst = 5 }", &[]), @"configuration: `quotas.tenants.acme.requests_burst` is `5`, allowed: only with quotas.tenants.acme.requests_per_second");
    insta::assert_snapshot!(error("[quotas.tiers]\ngold = {}", &[]), @"configuration: `quotas.tiers` is `gold`, allowed: one of tiers.allowed: free, pro, enterprise");
    let small =
        "[limits]\nbody_bytes = 1000\n[quotas.tiers]\nfree = { bytes_per_second = 10, bytes_burst = 1000 }";
    assert_eq!(from(small, &[]).unwrap().quotas.tiers.values().next().unwrap().bytes_burst, Some(1000));
}

#[test]
fn an_auth_section_names_a_mode_and_a_header() {
    insta::assert_snapshot!(error("[auth]\nmode = \"password\"", &[]), @"configuration: `auth.mode`: unknown variant `password`, expected one of `none`, `api_key`, `signature`");
    insta::assert_snapshot!(error("[auth]\norigin_header = \"X Origin\"", &[]), @"configuration: `auth.origin_header` is `X Origin`, allowed: the name of a header, but not Authorization, X-Api-Key, webhook-signature, X-Tenant-ID, X-Customer-Tier, Content-Type, Content-Length, Content-Encoding, accept, host, user-agent, x-forwarded-for, x-forwarded-port, x-forwarded-proto");
    insta::assert_snapshot!(error("[auth]\ntolerance_seconds = 0", &[]), @"configuration: `auth.tolerance_seconds` is `0`, allowed: 1 to 86400");
}

#[test]
fn a_variable_overrides_the_file_and_is_named_in_errors() {
    let config = from(
        "[tiers]\ndefault = \"pro\"",
        &[
            ("TIDEGATE__TIERS__DEFAULT", "free"),
            ("TIDEGATE__TRANSFORM__STEPS", "[\"uppercase\"]"),
            ("OTHER", "x"),
        ],
    )
    .unwrap();
    assert_eq!(config.tiers.default.unwrap().as_str(), "free");
    assert_eq!(config.transform.steps.len(), 1);
    insta::assert_snapshot!(error("", &[("TIDEGATE__PUBLISH__BUDGET_MS", "soon")]), @r#"configuration: `publish.budget_ms` (from TIDEGATE__PUBLISH__BUDGET_MS): invalid type: string "soon", expected a whole number from 0"#);
    insta::assert_snapshot!(error("tiers = 1", &[("TIDEGATE__TIERS__DEFAULT", "free")]), @"configuration: `tiers` is `1`, allowed: a table");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_named_if_it_is_ours_and_ignored_if_not() {
    use std::os::unix::ffi::OsStringExt;
    let given = |pairs: &[(&str, &[u8])]| {
        let pair = |(name, value): &(&str, &[u8])| ((*name).into(), OsString::from_vec(value.to_vec()));
        variables(pairs.iter().map(pair))
    };
    let tier = ("TIDEGATE__TIERS__DEFAULT", &b"pro"[..]);
    let ours = given(&[("LESS_TERMCAP", b"\xff"), tier, ("TIDEGATE_LISTEN", b"\xff")]).unwrap();
    assert_eq!(ours, [("TIDEGATE__TIERS__DEFAULT".to_owned(), "pro".to_owned())]);
    insta::assert_snapshot!(given(&[tier, ("TIDEGATE__TIERS", b"\xff")]).unwrap_err(), @"configuration: the variable `TIDEGATE__TIERS` is not UTF-8");
    let name = OsString::from_vec(b"TIDEGATE__\xff".to_vec());
    insta::assert_snapshot!(variables([(name, "x".into())]).unwrap_err(), @"configuration: the variable `TIDEGATE__�` is not UTF-8");
}

#[test]
fn a_variable_is_named_when_an_element_of_its_value_is_wrong() {
    insta::assert_snapshot!(error("", &[("TIDEGATE__TRANSFORM__STEPS", "[\"shout\"]")]), @"configuration: `transform.steps[0]` (from TIDEGATE__TRANSFORM__STEPS): unknown variant `shout`, expected one of `redact`, `uppercase`, `enrich`");
}

#[test]
fn a_dot_in_a_variables_name_belongs_to_the_name() {
    let config = from("", &[("TIDEGATE__TENANTS__SPREAD__ACME.EU", "4")]).unwrap();
    assert_eq!(
        config.tenants.spread.iter().map(|(tenant, keys)| (tenant.as_str(), *keys)).collect::<Vec<_>>(),
        [("acme.eu", 4)]
    );
}

#[test]
fn a_section_of_a_variable_that_is_no_table_is_named_in_full() {
    insta::assert_snapshot!(error("", &[("TIDEGATE__TIERS", "{ allowed = [\"a\"] }"), ("TIDEGATE__TIERS__ALLOWED__X", "1")]), @r#"configuration: `tiers.allowed` is `["a"]`, allowed: a table"#);
}

#[test]
fn the_variable_of_a_section_is_read_before_those_of_its_keys() {
    let section = ("TIDEGATE__TIERS", "{ allowed = [\"a\", \"b\"] }");
    let key = ("TIDEGATE__TIERS__DEFAULT", "b");
    for environment in [[section, key], [key, section]] {
        assert_eq!(from("", &environment).unwrap().tiers.default.unwrap().as_str(), "b");
    }
}

#[test]
fn enrichment_takes_any_value_that_json_has_and_times_as_text() {
    let config =
        from("[transform.enrich]\nbrand = \"testBrand\"\nlevel = 3\nsince = 2024-01-11T01:42:50Z", &[])
            .unwrap();
    let enrich: Vec<_> = config.transform.enrich.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(enrich, ["brand=\"testBrand\"", "level=3", "since=\"2024-01-11T01:42:50Z\""]);
    insta::assert_snapshot!(error("[transform.enrich]\nlevel = [1.0, -inf]", &[]), @"configuration: `transform.enrich.level`: -inf is no number in JSON");
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Some(Path::new("no/such.toml")), []).unwrap_err().to_string();
    assert!(error.starts_with("the configuration `no/such.toml` cannot be read"), "{error}");
}
