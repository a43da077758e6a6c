//! The rows. One form is one entry: what is sent, by which ways, and what must be stored.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::Value;
use shared::gzip::{self, Level};

use super::form::Takes::{Every, FunctionUrl, Http, Socket, Stream};
use super::form::{Form, PAGE, Row, Sent, Wrap, json, lines, object, post, preflight, text};

/// A20 is about a payload of Lambda: it is a test of its own in `cases.rs`. A22 is about answers to what is no request: the tests
/// of `ingest_fn::server` have it.
pub(super) fn table() -> Vec<Row> {
    let row = |number, title, forms| Row { number, title, forms };
    vec![
        row("A1", "What cannot be read", unreadable()),
        row("A2", "Webhooks about one thing", webhooks()),
        row("A3", "CloudEvents", cloudevents()),
        row("A4", "A part of a batch, sent again", batches()),
        row("A5", "The same event, spelled otherwise", spellings()),
        row("A6", "The same message, made anew", messages()),
        row("A7", "Byte order marks", byte_order_marks()),
        row("A8", "JSON lines under other media types", media_types()),
        row("A9", "Bytes after compressed data", padding()),
        row("A10", "Slashes too many", slashes()),
        row("A11", "Half of a surrogate pair", surrogates()),
        row("A12", "Empty ids, numbers as names, character sets", names()),
        row("A13", "Several objects in one body or record", several()),
        row("A14", "Browsers", browsers()),
        row("A15", "Repeated headers", repeated()),
        row("A16", "Times that readers refuse", times()),
        row("A17", "Objects that readers disagree about", objects()),
        row("A18", "Names in flattened text", flattened()),
        row("A19", "Personal data in other spellings", personal()),
        row("A21", "Events of a Function URL that are no requests", events()),
        row("C1", "Compressed bodies that something on the way changed", changed()),
    ]
}

const HEADER: &str = "a record has no headers";
const TYPE: &str = "a record has no media type";
const PATH: &str = "a record has no path";
const TEXT: &str = "a text on the stream names no tenant";
const MANGLED: &str = "AWS replaces bytes that are not UTF-8 before ingest gets them";

fn unreadable() -> Vec<Form> {
    let known = "a request says what its body is";
    let events: String = (0..200).map(|n| object(&format!("\"id\":{n},\"text\":\"x\"")) + "\n").collect();
    let twice = lines(events).wrapped(gzip).wrapped(gzip).kept_as("unrecognised");
    let binary = lines("TENANT").wrapped(noise).wrapped(gzip).kept_as("unrecognised");
    let log = text("  INFO one\n    at two\n\tthree \n").kept_as("unrecognised");
    let bad = "  not json \t\r";
    let among = format!("{}\n{bad}\n{}\n", object(r#""id":1,"text":"x""#), object(r#""id":2,"text":"y""#));
    let latin = lines(object(r#""text":"é""#)).wrapped(latin1).refused(422, "not_utf8");
    let cut = lines(object(r#""id":1,"text":"x""#))
        .with("content-encoding", "gzip")
        .wrapped(gzip)
        .wrapped(without_end);
    vec![
        Form::new(Stream(known), "200 events, compressed twice", [twice]),
        Form::new(Stream(known), "compressed bytes that are no text", [binary]),
        Form::new(Stream(known), "an indented log", [log]),
        refused(
            "text in braces, over several lines",
            json("{ not\n  json }\n  of TENANT\n"),
            400,
            "malformed_json",
        ),
        Form::new(
            Every,
            "a line that is no JSON between two objects",
            [lines(among).refused_in_part("malformed_json", bad)],
        )
        .stored(&[r#"{"id":"1"}"#, r#"{"id":"2"}"#]),
        Form::new(Every, "an object that is not UTF-8", [latin]),
        Form::new(Every, "gzip that was cut off", [cut.refused(400, "body_corrupt")]),
        refused("nothing but white space", json(" \r\n"), 400, "body_empty"),
        refused("an array with a number in it", json("[5]"), 422, "not_an_object"),
        refused(
            "an object that nests 121 levels deep",
            json(object(&format!("\"a\":{}{}", "[".repeat(120), "]".repeat(120)))),
            400,
            "json_unreadable",
        ),
        refused("an id that is a list", json(object(r#""id":[],"text":"x""#)), 400, "event_id_invalid"),
        refused(
            "a tenant that is a list",
            json(r#"{"tenant_id":["TENANT"],"text":"x"}"#),
            400,
            "tenant_invalid",
        ),
        refused(
            "a tenant with a blank in it",
            json(r#"{"tenant_id":"TENANT or another","text":"x"}"#),
            400,
            "tenant_invalid",
        ),
        Form::new(
            Every,
            "an object without a tenant",
            [json(r#"{"id":"of TENANT","text":"x"}"#)
                .bare()
                .with("x-customer-tier", "pro")
                .refused(400, "tenant_missing")],
        ),
    ]
}

fn refused(what: &'static str, sent: Sent, status: u16, code: &'static str) -> Form {
    Form::new(Every, what, [sent.refused(status, code)])
}

fn webhooks() -> Vec<Form> {
    let order = |message, status| {
        let body = format!(r#"{{"id":820982911946154508,"status":"{status}"}}"#);
        json(body).to("/v1/webhooks/TENANT/events/new").with("webhook-id", message)
    };
    let orders = [order("msg_1", "pending"), order("msg_2", "paid"), order("msg_3", "shipped")];
    let reused = [1, 2].map(|n| json(object(&format!(r#""id":"order","text":"{n}""#))));
    vec![
        Form::new(Http(HEADER), "three messages about one order, each with its `webhook-id`", orders).stored(
            &[
                r#"{"id":"msg_1","fields":{"id":820982911946154508,"status":"pending"}}"#,
                r#"{"id":"msg_2","fields":{"id":820982911946154508,"status":"paid"}}"#,
                r#"{"id":"msg_3","fields":{"id":820982911946154508,"status":"shipped"}}"#,
            ],
        ),
        Form::new(Every, "the same `id` with another text", reused)
            .stored(&[r#"{"id":"order","text":"1"}"#])
            .quarantined("id_reused"),
    ]
}

fn cloudevents() -> Vec<Form> {
    let event = |source: &str, kind: &str, data: &str| {
        format!(
            r#"{{"specversion":"1.0","type":"{kind}","source":"{source}","id":"A-1","time":"2024-01-11T10:15:00Z","data":{data}}}"#
        )
    };
    let structured = |event: String| post("application/cloudevents+json", event);
    let binary = || {
        let attributes =
            [("ce-specversion", "1.0"), ("ce-type", "paid"), ("ce-source", "/shop"), ("ce-id", "A-1")];
        attributes
            .into_iter()
            .fold(json(r#"{"text":"x","id":7}"#), |sent, (name, value)| sent.with(name, value))
    };
    let sources = ["/shop", "/bank"].map(|source| structured(event(source, "paid", r#"{"text":"x"}"#)));
    let changed = ["x", "y"].map(|text| structured(event("/shop", "paid", &format!("{text:?}"))));
    let batch = format!(
        "[{},{}]",
        event("/shop", "paid", r#""x""#),
        r#"{"specversion":"1.0","type":"paid","id":"A-2"}"#
    );
    vec![
        Form::new(Http(TYPE), "the same `id` of two sources", sources).stored(&[
            r#"{"id":"/shop|A-1","text":"x","event_time":"2024-01-11T10:15:00Z"}"#,
            r#"{"id":"/bank|A-1","text":"x","event_time":"2024-01-11T10:15:00Z"}"#,
        ]),
        Form::new(Http(TYPE), "the same `id` and source with other data", changed)
            .stored(&[r#"{"id":"/shop|A-1","text":"x"}"#]),
        Form::new(Http(HEADER), "in `ce-` headers, sent twice", [binary(), binary()]).stored(&[
            r#"{"id":"/shop|A-1","text":"x","fields":{"id":7,"cloudevent":{"specversion":"1.0","type":"paid","source":"/shop","id":"A-1","datacontenttype":"application/json"}}}"#,
        ]),
        Form::new(
            Http(TYPE),
            "a batch in which one has no source",
            [post("application/cloudevents-batch+json", batch).answered("207 cloudevent_invalid")],
        )
        .stored(&[r#"{"id":"/shop|A-1","text":"x"}"#]),
        Form::new(
            Http(TYPE),
            "of a version that is not 1",
            [structured(event("/shop", "paid", "1").replace("\"1.0\"", "\"0.3\"")).answered("400 cloudevent_invalid")],
        ),
    ]
}

fn batches() -> Vec<Form> {
    let keyed = |body: &str| json(body).with("idempotency-key", "k1");
    let batch = || keyed(r#"[{"n":1},{"n":2,"tenant_id":[]},{"n":3}]"#).answered("207 tenant_invalid");
    let all = &[r#"{"fields":{"n":1}}"#, r#"{"fields":{"n":3}}"#, r#"{"fields":{"n":2}}"#];
    vec![
        Form::new(
            Http(HEADER),
            "a batch with a bad event in it; then that one corrected, in an array, under the same key",
            [batch(), keyed(r#"[{"n":2}]"#)],
        )
        .stored(all),
        Form::new(
            Http(HEADER),
            "the same, the corrected one as a single object",
            [batch(), keyed(r#"{"n":2}"#)],
        )
        .stored(all),
        Form::new(
            Http(HEADER),
            "the whole batch again, the bad one corrected",
            [batch(), keyed(r#"[{"n":1},{"n":2},{"n":3}]"#)],
        )
        .stored(all),
    ]
}

fn spellings() -> Vec<Form> {
    let twice = |what, first: &str, second: &str| {
        Form::new(Every, what, [json(object(first)), json(object(second))]).stored(&[r#"{"id":"1"}"#])
    };
    vec![
        twice(
            "members in another order",
            r#""id":1,"text":"x","a":1,"b":[2]"#,
            r#""b":[2],"a":1,"text":"x","id":1"#,
        ),
        twice("`1.0` for `1`, `1e2` for `100`", r#""id":1,"a":1,"b":100"#, r#""id":1.0,"a":1.0,"b":1e2"#),
        twice(
            "`\\u0063` for `c`, in a name and a text",
            r#""id":1,"c":1,"text":"c""#,
            r#""id":1,"\u0063":1,"text":"\u0063""#,
        ),
        twice("white space", r#""id":1,"a":{"b":[1,2]}"#, r#" "id" : 1 , "a" : { "b" : [ 1, 2 ] } "#),
        twice(
            "a number of 25 digits",
            r#""id":1,"a":0.1234567890123456789012345"#,
            r#""id":1,"a":1.234567890123456789012345e-1"#,
        ),
    ]
}

fn messages() -> Vec<Form> {
    let message =
        |name, created: &str| json(format!(r#"{{"createdAt":"{created}","text":"x"}}"#)).with(name, "msg_1");
    let created = ["2024-01-11T10:00:00Z", "2024-01-11T10:00:05Z"];
    vec![
        Form::new(
            Http(HEADER),
            "the same `webhook-id` with another `createdAt`",
            created.map(|at| message("webhook-id", at)),
        )
        .stored(&[r#"{"id":"msg_1","fields":{"createdAt":"2024-01-11T10:00:00Z"}}"#]),
        Form::new(
            Http(HEADER),
            "the same `Idempotency-Key` with another `createdAt`",
            created.map(|at| message("idempotency-key", at)),
        )
        .stored(&[r#"{"id":"msg_1","fields":{"createdAt":"2024-01-11T10:00:00Z"}}"#])
        .quarantined("id_reused"),
    ]
}

fn byte_order_marks() -> Vec<Form> {
    let marked = |body: String| format!("\u{feff}{body}");
    let one = || object(r#""id":1,"text":"x""#);
    let two = format!("{}\n{}\n", one(), object(r#""id":2,"text":"y""#));
    vec![
        Form::new(Every, "before a JSON object", [json(marked(one()))]).stored(&[r#"{"id":"1","text":"x"}"#]),
        Form::new(Every, "before JSON lines", [lines(marked(two))])
            .stored(&[r#"{"id":"1"}"#, r#"{"id":"2"}"#]),
        Form::new(Http(TEXT), "before a text", [text(marked("x".to_owned()))]).stored(&[r#"{"text":"x"}"#]),
        Form::new(
            Http("the stream is UTF-8"),
            "of UTF-16, before JSON lines",
            [lines(marked(one())).wrapped(utf16)],
        )
        .stored(&[r#"{"id":"1","text":"x"}"#]),
    ]
}

fn media_types() -> Vec<Form> {
    let two = || format!("{}\n{}\n", object(r#""id":1,"text":"x""#), object(r#""id":2,"text":"y""#));
    let both = &[r#"{"id":"1","text":"x"}"#, r#"{"id":"2","text":"y"}"#];
    let mut forms = vec![Form::new(Every, "`application/json`", [json(two())]).stored(both)];
    for (what, media_type) in [
        ("`application/jsonl`", "application/jsonl"),
        ("`application/x-jsonlines`", "application/x-jsonlines"),
        ("`application/ndjson`", "application/ndjson"),
        ("`text/x-ndjson`", "text/x-ndjson"),
        ("`text/json`", "text/json"),
    ] {
        forms.push(Form::new(Http(TYPE), what, [post(media_type, two())]).stored(both));
    }
    let csv = post("text/csv", "a,b").answered("415 media_type_unsupported");
    forms.push(Form::new(Http(TYPE), "`text/csv`", [csv]));
    forms
}

fn padding() -> Vec<Form> {
    let one = || lines(object(r#""id":1,"text":"x""#));
    let compressed = |coding, wrap: Wrap| one().with("content-encoding", coding).wrapped(wrap);
    let taken = |what, sent: Sent| Form::new(Every, what, [sent]).stored(&[r#"{"id":"1","text":"x"}"#]);
    vec![
        taken("gzip", compressed("gzip", gzip)),
        taken("gzip, then zeros", compressed("gzip", gzip).wrapped(padded)),
        taken("zlib, then zeros", compressed("deflate", zlib).wrapped(padded)),
        refused(
            "gzip, then something else",
            compressed("gzip", gzip).wrapped(|bytes| [bytes, b"x"].concat()),
            400,
            "body_corrupt",
        ),
    ]
}

fn slashes() -> Vec<Form> {
    let taken = |what, path| {
        Form::new(Http(PATH), what, [json(r#"{"id":1,"text":"x"}"#).to(path)]).stored(&[r#"{"id":"1"}"#])
    };
    vec![
        taken("`/ingest/`", "/ingest/"),
        taken("`//ingest`", "//ingest"),
        taken("`//events//`", "//events//"),
        taken("`/v1//webhooks/acme/events/new/`", "/v1//webhooks/TENANT/events/new/"),
    ]
}

fn surrogates() -> Vec<Form> {
    vec![
        Form::new(Every, "at the end of a text", [json(object(r#""id":1,"text":"ab\ud83d""#))])
            .stored(&[r#"{"text":"ab\ufffd"}"#]),
        Form::new(
            Every,
            "in a name and a value",
            [json(object(r#""id":1,"text":"x","\ude00":"\ud83d\ud83d\ude00""#))],
        )
        .stored(&[r#"{"fields":{"\ufffd":"\ufffd😀"}}"#]),
    ]
}

fn names() -> Vec<Form> {
    let charset = "a record has no charset";
    let latin = "application/json; charset=ISO-8859-1";
    vec![
        Form::new(
            Every,
            "an empty `event_id` beside an `id`",
            [json(object(r#""event_id":"","id":"7","text":"x""#))],
        )
        .stored(&[r#"{"id":"7","fields":{"event_id":""}}"#]),
        Form::new(Every, "an `id` that is `null`", [json(object(r#""id":null,"text":"x""#))])
            .stored(&[r#"{"fields":{"id":null}}"#]),
        Form::new(Every, "a tenant that is a number", [json(r#"{"tenant_id":42,"id":7.0,"text":"x"}"#)])
            .of_tenant("42")
            .stored(&[r#"{"tenant":"42","id":"7"}"#]),
        Form::new(
            Http(HEADER),
            "an empty `Idempotency-Key`",
            [json(object(r#""id":"7","text":"x""#)).with("idempotency-key", "")],
        )
        .stored(&[r#"{"id":"7","fields":null}"#]),
        Form::new(Http(charset), "ASCII as ISO-8859-1", [post(latin, object(r#""id":"7","text":"x""#))])
            .stored(&[r#"{"id":"7"}"#]),
        Form::new(
            Http(charset),
            "an ASCII text as ISO-8859-1",
            [post("text/plain; charset=iso-8859-1", "x")],
        )
        .stored(&[r#"{"text":"x"}"#]),
        Form::new(
            Socket { function_url: MANGLED, stream: charset },
            "an é as ISO-8859-1",
            [post(latin, object(r#""id":"7","text":"é""#)).wrapped(latin1)],
        )
        .stored(&[r#"{"id":"7","text":"é"}"#]),
    ]
}

fn several() -> Vec<Form> {
    let [one, two] = [r#""id":1,"text":"x""#, r#""id":2,"text":"y""#].map(object);
    let both = |what, sent: Sent| {
        Form::new(Every, what, [sent]).stored(&[r#"{"id":"1","text":"x"}"#, r#"{"id":"2","text":"y"}"#])
    };
    vec![
        both("an array", json(format!("[{one},{two}]"))),
        both("nothing between them", json(format!("{one}{two}"))),
        both("NUL after each", json(format!("{one}\0{two}\0"))),
        both("RS before each", post("application/json-seq", format!("\x1e{one}\n\x1e{two}\n"))),
        both(
            "over several lines",
            json(format!("{}\n{}", one.replace(',', ",\n "), two.replace(',', ",\n "))),
        ),
        both("zlib", lines(format!("{one}\n{two}\n")).with("content-encoding", "deflate").wrapped(zlib)),
    ]
}

fn browsers() -> Vec<Form> {
    let browser = "browsers speak HTTP";
    let beacon = |body: String| {
        post("text/plain;charset=UTF-8", body).bare().with("origin", PAGE).answered("202 for the page")
    };
    vec![
        Form::new(
            Http(browser),
            "a preflight of an allowed page",
            [preflight(PAGE).answered("204 for the page")],
        ),
        Form::new(
            Http(browser),
            "a preflight of another page",
            [preflight("https://other.example").answered("405 method_not_allowed")],
        ),
        Form::new(
            Http(browser),
            "`sendBeacon` with JSON, which is `text/plain`",
            [beacon(object(r#""id":1,"text":"x","a":1"#))],
        )
        .stored(&[r#"{"id":"1","text":"x","fields":{"a":1}}"#]),
        Form::new(
            Http(browser),
            "`sendBeacon` with a text, to a webhook's path",
            [beacon("{x}".to_owned()).to("/v1/webhooks/TENANT/events/new")],
        )
        .stored(&[r#"{"text":"{x}"}"#]),
    ]
}

fn repeated() -> Vec<Form> {
    let one = || json(object(r#""id":"own","text":"x""#));
    let twice = |name, values: [&str; 2]| one().with(name, values[0]).with(name, values[1]);
    let same = |what, name, value, stored| {
        Form::new(Http(HEADER), what, [twice(name, [value, value])]).stored(stored)
    };
    let different =
        |what, name, values, answer| Form::new(Http(HEADER), what, [twice(name, values).answered(answer)]);
    vec![
        same(
            "`X-Customer-Tier: enterprise` twice",
            "x-customer-tier",
            "enterprise",
            &[r#"{"id":"own","tier":"enterprise"}"#],
        ),
        different(
            "`X-Customer-Tier: free` and `enterprise`",
            "x-customer-tier",
            ["free", "enterprise"],
            "400 tier_conflict",
        ),
        same("`X-Tenant-ID` twice", "x-tenant-id", "TENANT", &[r#"{"id":"own"}"#]),
        different(
            "`X-Tenant-ID` with two tenants",
            "x-tenant-id",
            ["TENANT", "another"],
            "400 tenant_conflict",
        ),
        same("`Idempotency-Key: k` twice", "idempotency-key", "k", &[r#"{"id":"k"}"#]),
        different("`Idempotency-Key: k` and `l`", "idempotency-key", ["k", "l"], "400 event_id_conflict"),
        same("`webhook-id: k` twice", "webhook-id", "k", &[r#"{"id":"k"}"#]),
        Form::new(Http(HEADER), "`Content-Type` twice", [one().with("content-type", "application/json")])
            .stored(&[r#"{"id":"own"}"#]),
        Form::new(
            Http(HEADER),
            "`Content-Type` with two types",
            [one().with("content-type", "text/plain").answered("415 media_type_unsupported")],
        ),
        Form::new(
            Http(HEADER),
            "`Content-Encoding: gzip` twice",
            [twice("content-encoding", ["gzip", "gzip"]).answered("415 content_encoding_unsupported")],
        ),
    ]
}

/// What an object with `"text":"x"` and these members becomes. The file of lines has the whole of it.
fn read(what: &'static str, members: &str, line: &'static str) -> Form {
    Form::new(Every, what, [json(object(&format!("\"text\":\"x\",{members}")))]).stored(&[line])
}

fn times() -> Vec<Form> {
    vec![
        read(
            "a 61st second that there never was",
            r#""timestamp":"2024-01-11T10:15:60Z""#,
            r#"{"event_time":null,"fields":{"timestamp":"2024-01-11T10:15:60Z"}}"#,
        ),
        read(
            "a leap second",
            r#""timestamp":"2016-12-31T23:59:60Z""#,
            r#"{"event_time":null,"fields":{"timestamp":"2016-12-31T23:59:60Z"}}"#,
        ),
        read("year 0", r#""timestamp":"0000-06-01T00:00:00Z""#, r#"{"event_time":null}"#),
        read(
            "year 10000, by its offset",
            r#""timestamp":"9999-12-31T23:30:00-01:00""#,
            r#"{"event_time":null}"#,
        ),
        read(
            "year 1",
            r#""timestamp":"0001-01-01T00:00:00Z""#,
            r#"{"event_time":"0001-01-01T00:00:00Z","fields":null}"#,
        ),
        read(
            "the last nanosecond of year 9999",
            r#""timestamp":"9999-12-31T23:59:59.999999999Z""#,
            r#"{"event_time":"9999-12-31T23:59:59.999999999Z"}"#,
        ),
        read(
            "an offset of 23:59, and `t`",
            r#""timestamp":"2024-01-11t10:15:30.25+23:59""#,
            r#"{"event_time":"2024-01-10T10:16:30.250Z"}"#,
        ),
        read(
            "lower case",
            r#""timestamp":"2024-01-11t10:15:30z""#,
            r#"{"event_time":"2024-01-11T10:15:30Z"}"#,
        ),
        read(
            "seconds before 1970",
            r#""timestamp":-62135596800"#,
            r#"{"event_time":"0001-01-01T00:00:00Z"}"#,
        ),
    ]
}

fn objects() -> Vec<Form> {
    let digits = "7".repeat(5_000);
    let many: Vec<_> = (0..50).map(|n| format!("\"n{}\":{n},", n % 20)).collect();
    vec![
        read("a name twice, at several depths", r#""a":1,"b":{"c":1,"d":{"e":[1],"e":[{"f":1,"f":2}]},"c":3},"\u0061":2"#, r#"{"fields":{"b":{"d":{"e":[{"f":2}]},"c":3},"a":2}}"#),
        Form::new(Every, "several texts and ids", [json(object(r#""text":"one","text":"two","message":"three","id":1,"id":2"#))])
            .stored(&[r#"{"id":"2","text":"two","fields":{"message":"three"}}"#]),
        read("a name twice, 118 levels deep", &format!("\"deep\":{}{{\"a\":1,\"a\":2}}{}", "[".repeat(118), "]".repeat(118)), "{}"),
        read("a name again among many", &format!("\"m\":{{{}\"n7\":-1}}", many.concat()), "{}"),
        read("`URL` and `url`", r#""URL":"upper","url":"lower","nested":{"Id":1,"ID":2,"id":3}"#, r#"{"fields":{"URL":"upper","url":"lower","nested":{"Id":1,"ID":2,"id":3}}}"#),
        read("strange names", r#""":1,"a.b":2,"a\nb":3,"\"":4,"\\":5,"é":6,"e\u0301":7,"\u0000":8,"\ud83d\ude00":9,"$":10,"' OR 1":11"#, "{}"),
        read("names of columns of ours", r#""v":9,"shard":"forged","position":{"v":1},"claim_check":{"key":"k"},"dt":"x","fields":{"a":1}"#, r#"{"v":1,"fields":{"v":9,"shard":"forged","position":{"v":1},"claim_check":{"key":"k"},"dt":"x","fields":{"a":1}}}"#),
        read("integers of 64 bits, and -0", r#""n":[0,-1,9007199254740993,820982911946154508,9223372036854775807,-9223372036854775808],"minus":-0"#, "{}"),
        read("fractions", r#""n":[0.1,1.0,1e2,-0.0,1.7976931348623157e308,5e-324,0e99999,0.1234567890123456789012345]"#, "{}"),
        read("numbers beyond 64 bits or an `f64`", r#""n":[9223372036854775808,18446744073709551615,1e400,-1e400,1e-400,1e99999999999999999999]"#, r#"{"fields":{"n":["9223372036854775808","18446744073709551615","1e400","-1e400","1e-400","1e99999999999999999999"]}}"#),
        read("numbers of 5,000 digits", &format!("\"i\":{digits},\"f\":{digits}.5,\"s\":0.{digits},\"e\":1e-{digits}"), "{}"),
        Form::new(Every, "control characters and other signs in a text", [json(object(r#""text":"\u0000\u0001\n\r\t\u007f\u0085\u2028\u2029\ufeff\ufffe\uffff\ud83d\ude00\\\"/\/</script>""#))]).stored(&["{}"]),
        Form::new(Every, "white space", [json(format!(" {} \r\n", object(r#" "text" : "x" , "a" : [ 1 , { } , [ ] , null , true ] "#)))])
            .stored(&[r#"{"fields":{"a":[1,{},[],null,true]}}"#]),
    ]
}

fn flattened() -> Vec<Form> {
    let flat = |what, members: &str, line| Form::new(Every, what, [json(object(members))]).stored(&[line]);
    vec![
        flat("a newline in a name", r#""a\nadmin":"true","b":1"#, r#"{"text":"\"a\\nadmin\"=true\nb=1"}"#),
        flat(
            "a newline, a full stop or nothing in a name",
            r#""a\nadmin":"true","b":"\u2028c=1","b.c":2,"":{"":3}"#,
            r#"{"text":"\"a\\nadmin\"=true\n\"b.c\"=2\n.=3\nb=\"\\u2028c=1\""}"#,
        ),
        flat(
            "`=` in a name, and a newline in a value",
            r#""a=1":{"b":"x\nadmin=true"}"#,
            r#"{"text":"\"a=1\".b=\"x\\nadmin=true\""}"#,
        ),
    ]
}

fn personal() -> Vec<Form> {
    let redacted = |what, text: &str| {
        Form::new(Every, what, [json(object(&format!(r#""id":1,"text":"of {text} today""#)))])
            .stored(&[r#"{"text":"of [REDACTED] today"}"#])
    };
    vec![
        redacted("a phone number with no-break spaces", "555\u{a0}555\u{a0}0199"),
        redacted("a phone number with U+2011 hyphens", "555\u{2011}555\u{2011}0199"),
        redacted("`josé@example.com`", "josé@example.com"),
        redacted("`müller@example.de`", "müller@example.de"),
        redacted("`jo%40example.com`", "jo%40example.com"),
        redacted("`4111.1111.1111.1111`", "4111.1111.1111.1111"),
        Form::new(
            Every,
            "`4111.1111.1111.1112`, which is no card",
            [json(object(r#""id":1,"text":"4111.1111.1111.1112""#))],
        )
        .stored(&[r#"{"text":"4111.1111.1111.1112"}"#]),
    ]
}

fn events() -> Vec<Form> {
    let refused = |what, twist: fn(&mut Value)| {
        let sent = json(object(r#""id":1,"text":"x""#)).twisted(twist).answered("400 request_malformed");
        Form::new(FunctionUrl("it is about the event that Lambda makes of a request"), what, [sent])
    };
    vec![
        refused("a quote in the query", |event| event["rawQueryString"] = r#"a="b""#.into()),
        refused("a blank in the query", |event| event["rawQueryString"] = "a=b c".into()),
        refused("base64 on two lines", |event| {
            event["body"] = "eyJ0ZW5hbnRfaWQi\nOiJhY21lIn0=".into();
            event["isBase64Encoded"] = true.into();
        }),
    ]
}

fn changed() -> Vec<Form> {
    let one = || object(r#""id":1,"text":"x""#);
    let two = |between| format!("{}{between}{}", one(), object(r#""id":2,"text":"y""#));
    let first = &[r#"{"id":"1","text":"x"}"#];
    let both = &[r#"{"id":"1","text":"x"}"#, r#"{"id":"2","text":"y"}"#];
    let coded = |sent: Sent, coding| sent.with("content-encoding", coding);
    let zipped = |sent| coded(sent, "gzip").wrapped(gzip);
    let mangled = |what, sent: Sent| {
        let whole = "other ways pass bytes on as they are";
        Form::new(FunctionUrl(whole), what, [sent.answered("400 body_mangled")])
    };
    let left = |what, coding, sent, stored: &[&'static str]| {
        Form::new(Http(HEADER), what, [coded(sent, coding)]).stored(stored)
    };
    vec![
        Form::new(
            Socket { function_url: MANGLED, stream: HEADER },
            "gzip as `application/json`",
            [zipped(json(one()))],
        )
        .stored(first),
        mangled("gzip as `application/json`", zipped(json(one()))),
        mangled("`x-gzip` as `application/json`", coded(json(one()), "x-gzip").wrapped(gzip)),
        mangled("JSON lines, gzip as `text/json`", zipped(post("text/json", two("\n")))),
        mangled("a text, zlib as `text/plain`", coded(text("of TENANT, a text"), "deflate").wrapped(zlib)),
        mangled("gzip as `application/json` without `Content-Encoding`", json(one()).wrapped(gzip)),
        mangled(
            "gzip after a line of JSON, as `application/json`",
            zipped(json(two("\n"))).wrapped(|bytes| [b"{\"id\":1}\n", bytes].concat()),
        ),
        Form::new(
            Http(TYPE),
            "an array, gzip as `application/vnd.api+json`",
            [zipped(post("application/vnd.api+json", format!("[{}]", two(","))))],
        )
        .stored(both),
        left("JSON that is not compressed, as gzip", "gzip", json(one()), first),
        left("JSON lines that are not compressed, as zstd", "zstd", lines(two("\n")), both),
        left("an array that is not compressed, as zlib", "deflate", json(format!("[{}]", two(","))), both),
        left("a text that is not compressed, as gzip", "gzip", text("x"), &[r#"{"text":"x"}"#]),
        left(
            "JSON with U+FFFD that is not compressed, as gzip",
            "gzip",
            json(object("\"id\":1,\"text\":\"\u{fffd}\"")),
            &[r#"{"text":"\ufffd"}"#],
        ),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    gzip::compress(bytes, Level::FAST)
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0; 512]].concat()
}

fn without_end(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() - 9].to_vec()
}

/// Bytes that are no text.
fn noise(_: &[u8]) -> Vec<u8> {
    (0..9_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

/// From UTF-8, of characters that ISO-8859-1 has.
fn latin1(bytes: &[u8]) -> Vec<u8> {
    let text = str::from_utf8(bytes).unwrap();
    text.chars().map(|letter| u8::try_from(letter).unwrap()).collect()
}

fn utf16(bytes: &[u8]) -> Vec<u8> {
    str::from_utf8(bytes).unwrap().encode_utf16().flat_map(u16::to_le_bytes).collect()
}
