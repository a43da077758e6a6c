//! CloudEvents: structured, in batches, and in binary mode.

use http::Request;
use serde_json::{Value, json};
use shared::format::event_line::Event;
use shared::format::facts::Source;

use crate::lambda;
use crate::server::{ACME, Server, post, post_to};

const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json; charset=utf-8");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");
const CONTEXT: &str = r#""specversion":"1.0","type":"t","source":"/s","id":"1""#;
const HEADERS: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-type", "t"), ("ce-source", "/s"), ("ce-id", "1")];

/// The event that a body in structured mode becomes.
async fn structured(members: &str) -> Event {
    let server = Server::new();
    let answer = server.send(post(&[STRUCTURED, ACME], format!("{{{CONTEXT}{members}}}"))).await;
    assert_eq!((answer.status.as_u16(), &answer.json["event_id"]), (202, &"/s|1".into()), "{answer:?}");
    server.events().remove(0)
}

/// The event that a body in binary mode becomes.
async fn binary(headers: &[(&str, &str)], body: &'static [u8]) -> Event {
    let server = Server::new();
    let answer = server.send(post(&[&HEADERS[..], &[ACME], headers].concat(), body)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    server.events().remove(0)
}

/// Text, fields without the four attributes that all have, and whether the text was made from the fields.
fn shown(event: &Event) -> (&str, Value, bool) {
    let mut fields: Value = serde_json::from_str(event.fields.as_json()).unwrap();
    let context = fields["cloudevent"].as_object_mut().unwrap();
    for (name, value) in [("specversion", "1.0"), ("type", "t"), ("source", "/s"), ("id", "1")] {
        assert_eq!(context.remove(name), Some(value.into()));
    }
    assert!(event.is_message);
    (&event.text, fields, event.is_flattened)
}

#[tokio::test]
async fn data_is_the_content_and_the_attributes_are_in_a_field() {
    let event =
        structured(r#","subject":"x","ext":5,"data":{"id":7,"text":"hello","timestamp":"now"}"#).await;
    let fields = json!({"id": 7, "timestamp": "now", "cloudevent": {"subject": "x", "ext": 5}});
    assert_eq!(shown(&event), ("hello", fields, false));
    assert_eq!((event.facts.source, event.facts.event_time), (Source::JsonUpload, None));

    let flat = structured(r#","data":{"b":[1,2],"a":{"c":null}}"#).await;
    let fields = json!({"b": [1, 2], "a": {"c": null}, "cloudevent": {}});
    assert_eq!(shown(&flat), ("a.c=null\nb[0]=1\nb[1]=2", fields, true));
    for (data, text, context, is_flattened) in [
        (
            r#","data":"plain","datacontenttype":"text/x""#,
            "plain",
            json!({"datacontenttype": "text/x"}),
            false,
        ),
        (r#","data":[1,{"a":2}]"#, "data[0]=1\ndata[1].a=2", json!({"data": [1, {"a": 2}]}), true),
        (r#","data":5"#, "data=5", json!({"data": 5}), true),
        (r#","data":null,"data_base64":null"#, "data=null", json!({"data": null}), true),
        ("", "", json!({}), true),
        (
            r#","text":"an attribute","tenant_id":5"#,
            "",
            json!({"text": "an attribute", "tenant_id": 5}),
            true,
        ),
    ] {
        let event = structured(data).await;
        assert_eq!(shown(&event), (text, json!({"cloudevent": context}), is_flattened), "{data}");
    }
}

#[tokio::test]
async fn a_member_of_the_data_with_the_name_of_the_context_is_not_lost() {
    for name in ["cloudevent", "\\u0063loudevent"] {
        let event = structured(&format!(r#","data":{{"text":"x","{name}":{{"a":1}},"b":2}}"#)).await;
        let data = json!({"cloudevent": {"a": 1}, "b": 2});
        assert_eq!(shown(&event), ("x", json!({"cloudevent": {"data": data}}), false));
    }
}

#[tokio::test]
async fn data_in_base64_is_read_by_its_type_and_else_stays() {
    for (media_type, base64, text, context) in [
        (r#""text/plain""#, "aGVsbG8=", "hello", json!({"datacontenttype": "text/plain"})),
        (r#""application/json""#, "eyJhIjoxfQ", "a=1", json!({"datacontenttype": "application/json"})),
        ("null", "ImpzJG9uIg==", "js$on", json!({"datacontenttype": null})),
        (r#""text/plain""#, "/w==", "", json!({"datacontenttype": "text/plain", "data_base64": "/w=="})),
        (
            r#""application/json""#,
            "ew==",
            "",
            json!({"datacontenttype": "application/json", "data_base64": "ew=="}),
        ),
        (
            r#""image/png""#,
            "aGVs\nbG8=",
            "",
            json!({"datacontenttype": "image/png", "data_base64": "aGVs\nbG8="}),
        ),
    ] {
        let base64 = serde_json::to_string(base64).unwrap();
        let event = structured(&format!(r#","datacontenttype":{media_type},"data_base64":{base64}"#)).await;
        let (found, mut fields, _) = shown(&event);
        assert_eq!((found, fields["cloudevent"].take()), (text, context), "{media_type} {base64}");
    }
}

#[tokio::test]
async fn binary_mode_is_read_as_structured_mode_is() {
    let json = ("content-type", "application/json");
    for (media_type, body, members) in [
        ("application/json", &br#"{"text":"x","a":[1]}"#[..], r#""data":{"text":"x","a":[1]}"#),
        ("application/vnd.x+json; charset=utf-8", br#" [1,"\ud800"] "#, r#""data":[1,"\ud800"]"#),
        ("application/json", b"\"a text\"", r#""data":"a text""#),
        ("text/plain", b" a\ntext", r#""data":" a\ntext""#),
        ("application/xml", b"<a/>", r#""data":"<a/>""#),
        ("application/x-ndjson", b"{}\n{}\n", r#""data":"{}\n{}\n""#),
        ("application/octet-stream", b"\xff\xfe\x00a", r#""data_base64":"//4AYQ==""#),
        ("application/json", b"", r#""subject":null"#),
    ] {
        let mut one = binary(&[("content-type", media_type)], body).await;
        let mut other = structured(&format!(r#","datacontenttype":"{media_type}",{members}"#)).await;
        let is_text = one.facts.source == Source::TextUpload;
        assert_eq!(
            is_text,
            media_type.contains("text") || media_type.contains("xml") || media_type.contains("ndjson")
        );
        one.facts = other.facts.clone();
        if body.is_empty() {
            other.fields = one.fields.clone();
        }
        assert_eq!(one, other);
    }
    // The attributes of the headers do not end where a body says so, and JSON needs no type.
    let answer = Server::new().send(post(&[&HEADERS[..], &[ACME, json]].concat(), r#"1},"id":2"#)).await;
    assert_eq!(answer.shown(), "400 malformed_json");
    assert_eq!(binary(&[], b"{\"a\":1}").await.text, "a=1");
    assert_eq!(binary(&[], b"").await.text, "");
}

#[tokio::test]
async fn the_values_of_headers_are_decoded_and_a_repeated_one_counts_once() {
    for (headers, expected) in [
        (&[("ce-subject", "Euro%20%E2%82%AC%20%f0%9f%98%80")][..], Some("Euro € 😀")),
        (&[("ce-subject", r#""a \"b\" \\ 100%25""#)], Some(r#"a "b" \ 100%"#)),
        (&[("ce-subject", "größe")], Some("größe")),
        (&[("ce-subject", "a,b")], Some("a,b")),
        (&[("ce-subject", "7%2C7")], Some("7,7")),
        (&[("ce-subject", "a"), ("ce-subject", "a")], Some("a")),
        (&[("ce-subject", "a"), ("ce-subject", "b")], Some("a,b")),
        (&[("ce-subject", "")], None),
    ] {
        let event = binary(headers, b"{}").await;
        let (_, fields, _) = shown(&event);
        assert_eq!(fields["cloudevent"].get("subject").and_then(Value::as_str), expected, "{headers:?}");
    }
    let refused = post(&[&HEADERS[..], &[ACME, ("ce-subject", "%C0%A0")]].concat(), "{}");
    let answer = Server::new().send(refused).await;
    assert_eq!(
        (answer.shown(), &answer.json["detail"]),
        ("400 header_not_text".to_owned(), &"the header `ce-subject` is not UTF-8 text".into())
    );
}

#[tokio::test]
async fn in_lambda_a_repeated_header_is_the_same_as_in_a_container() {
    for (first, second) in [("1", "1"), ("1", "2"), ("a,b", "c")] {
        let server = Server::new();
        let joined = format!("{first},{second}");
        let headers = [HEADERS[0], HEADERS[1], HEADERS[2], ("ce-id", &joined), ("x-tenant-id", "acme")];
        lambda::invoke(&server, lambda::event("{}", false, &headers)).await;
        let headers = [HEADERS[0], HEADERS[1], HEADERS[2], ("ce-id", first), ("ce-id", second), ACME];
        server.send(post(&headers, "{}")).await;
        let events = server.events();
        assert_eq!(events[0].facts.id, events[1].facts.id);
    }
}

#[tokio::test]
async fn source_and_id_name_the_event_and_a_header_before_them() {
    let key = ("idempotency-key", "k");
    let server = Server::new();
    let body = format!(r#"{{{CONTEXT},"data":{{"id":"own"}}}}"#);
    for headers in
        [&[STRUCTURED, ACME][..], &[STRUCTURED, ACME, key], &[STRUCTURED, ACME, ("webhook-id", "w")]]
    {
        server.send(post(headers, body.clone())).await;
    }
    server.send(post(&[&HEADERS[..], &[ACME, key]].concat(), "{}")).await;
    let named: Vec<_> =
        server.events().iter().map(|event| (event.facts.id.to_string(), event.is_message)).collect();
    let expected = [("/s|1", true), ("k", false), ("w", true), ("k", false)];
    assert_eq!(named, expected.map(|(id, is_message)| (id.to_owned(), is_message)));
}

#[tokio::test]
async fn in_a_batch_each_event_has_its_own_name_and_a_bad_one_is_its_own() {
    let server = Server::new();
    let body = format!(
        r#"[{{{CONTEXT},"data":{{"tenant_id":"acme"}}}},{{"specversion":"1.0"}},5,{{{CONTEXT},"data":{{"tenant_id":"beta"}}}}]"#
    );
    let answer = server.send(post(&[BATCH, ("idempotency-key", "k")], body)).await;
    assert_eq!(answer.status, 207);
    let outcomes = answer.json["events"].as_array().unwrap().iter();
    let shown: Vec<_> = outcomes.map(|event| event.get("event_id").unwrap_or(&event["code"])).collect();
    assert_eq!(shown, ["/s|1", "cloudevent_invalid", "not_an_object", "/s|1"]);
    let events = server.events();
    assert_eq!(events[1].facts.tenant.as_str(), "beta");
    assert!(events.iter().all(|event| event.is_message));

    let webhook = post_to("/v1/webhooks/acme/events/new", &[BATCH], format!("[{{{CONTEXT}}}]"));
    assert_eq!(server.send(webhook).await.json["accepted"], 1);
    assert_eq!(server.events()[2].facts.source, Source::Webhook);
}

#[tokio::test]
async fn time_is_the_time_of_the_event_if_every_reader_can_read_it() {
    let time = |event: &Event| event.facts.event_time.map(|time| time.to_string());
    let data = r#""data":{"timestamp":"2020-01-01T00:00:00Z","text":""}"#;
    let event = structured(&format!(r#","time":"2018-04-05T19:31:00+02:00",{data}"#)).await;
    assert_eq!(time(&event).unwrap(), "2018-04-05T17:31:00Z");
    let context = json!({"time": "2018-04-05T19:31:00+02:00"});
    assert_eq!(shown(&event).1, json!({"timestamp": "2020-01-01T00:00:00Z", "cloudevent": context}));

    let event = structured(&format!(r#","time":"2016-12-31T23:59:60Z",{data}"#)).await;
    assert_eq!(time(&event).unwrap(), "2020-01-01T00:00:00Z");
    assert_eq!(shown(&event).1, json!({"cloudevent": {"time": "2016-12-31T23:59:60Z"}}));
    let event = binary(&[("ce-time", "2018-04-05T17:31:00.5Z")], b"{}").await;
    assert_eq!(time(&event).unwrap(), "2018-04-05T17:31:00.500Z");
}

#[tokio::test]
async fn what_is_no_cloudevent_is_refused_by_name() {
    let server = Server::new();
    let detail = async |request: Request<_>, code: &str| {
        let answer = server.send(request).await;
        answer.assert_problem();
        assert_eq!(answer.shown(), code);
        answer.json["detail"].as_str().unwrap().to_owned()
    };
    for name in ["specversion", "type", "source", "id"] {
        for replaced in ["null", "\"\"", "5"] {
            let mut event: Value = serde_json::from_str(&format!("{{{CONTEXT}}}")).unwrap();
            event[name] = serde_json::from_str(replaced).unwrap();
            let found = detail(post(&[STRUCTURED, ACME], event.to_string()), "400 cloudevent_invalid").await;
            assert_eq!(found, format!("a CloudEvent needs `{name}`, a text that is not empty"));
        }
        let others: Vec<_> =
            HEADERS.into_iter().filter(|(header, _)| header != &format!("ce-{name}")).collect();
        let found = detail(post(&[&others[..], &[ACME]].concat(), "{}"), "400 cloudevent_invalid").await;
        assert_eq!(found, format!("a CloudEvent needs `{name}`, a text that is not empty"));
    }
    let version = r#"{"specversion":"0.3","type":"t","source":"/s","id":"1"}"#;
    insta::assert_snapshot!(detail(post(&[STRUCTURED, ACME], version), "400 cloudevent_invalid").await, @"`specversion` is `0.3`, allowed: 1.0 and other versions 1.x");
    let both = format!(r#"{{{CONTEXT},"data":1,"data_base64":"MQ=="}}"#);
    insta::assert_snapshot!(detail(post(&[STRUCTURED, ACME], both), "400 cloudevent_invalid").await, @"a CloudEvent has `data` or `data_base64`, not both");
    let base64 = format!(r#"{{{CONTEXT},"data_base64":"?"}}"#);
    insta::assert_snapshot!(detail(post(&[STRUCTURED, ACME], base64), "400 cloudevent_invalid").await, @"`data_base64` is not base64");
    let avro = post(&[("content-type", "application/cloudevents+avro"), ACME], "x");
    insta::assert_snapshot!(detail(avro, "415 media_type_unsupported").await, @"media type `application/cloudevents+avro` cannot be read (accepted: application/json, application/x-ndjson, text/plain)");
    // An array or a number is one level deeper where it is stored.
    for (depth, expected) in [(118, 202), (119, 400)] {
        let data = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let answer = server.send(post(&[STRUCTURED, ACME], format!(r#"{{{CONTEXT},"data":{data}}}"#))).await;
        assert_eq!(answer.status, expected, "{depth}: {answer:?}");
    }
    assert_eq!(server.events().len(), 1);
}

#[tokio::test]
async fn headers_in_structured_mode_change_nothing_and_one_attribute_makes_no_cloudevent() {
    let server = Server::new();
    let headers = [STRUCTURED, ACME, ("ce-id", "other"), ("ce-source", "/other")];
    assert_eq!(server.send(post(&headers, format!("{{{CONTEXT}}}"))).await.json["event_id"], "/s|1");
    let headers = [("content-type", "application/json"), ACME, ("ce-subject", "%ff")];
    assert_eq!(server.send(post(&headers, r#"{"id":"plain"}"#)).await.json["event_id"], "plain");
}
