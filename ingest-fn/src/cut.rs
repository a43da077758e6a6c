//! The third stage: a body cut into events. What is wrong with the body as a whole refuses the request; what is wrong
//! with one of several events is that event's own.

use std::collections::HashMap;
use std::str;

use bytes::Bytes;
use serde_json::value::RawValue;
use shared::canonical;
use shared::client_object::ClientObject;
use shared::config::{Config, SimulatedWork};
use shared::fields::Fields;
use shared::format::event_line::Event;
use shared::format::facts::Facts;
use shared::id::{AdmissionId, EventId, Ids, TenantId};
use shared::sequence::{self, Arrays, Piece, TooMany};

use crate::admit::{Admitted, Named, Sender};
use crate::cloudevents;
use crate::media::MediaType;
use crate::otlp;
use crate::rejection::Rejection;

/// How the events came, and so how they are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One event: a JSON object or a text.
    Single,
    /// An array or lines of JSON, even with one event in it.
    Several,
}

/// The events of a request after a stage, in their order. A rejected event stays in its position.
#[derive(Debug)]
pub(crate) struct RequestEvents<T> {
    pub(crate) form: Form,
    pub(crate) events: Vec<Result<T, Rejection>>,
}

impl<T> RequestEvents<T> {
    fn several(events: Vec<Result<T, Rejection>>) -> Result<Self, Rejection> {
        if events.is_empty() { Err(Rejection::BatchEmpty) } else { Ok(Self { form: Form::Several, events }) }
    }

    /// Applies a stage that rejects no event.
    pub(crate) fn map<U>(self, mut stage: impl FnMut(T) -> U) -> RequestEvents<U> {
        self.and_then(|event| Ok(stage(event)))
    }

    /// Applies a stage to each event that is not rejected.
    pub(crate) fn and_then<U>(self, mut stage: impl FnMut(T) -> Result<U, Rejection>) -> RequestEvents<U> {
        let events = self.events.into_iter().map(|event| event.and_then(&mut stage)).collect();
        RequestEvents { form: self.form, events }
    }
}

/// Cuts `body` by its media type.
pub(crate) fn cut(
    sender: &Sender,
    admitted: &Admitted,
    body: &Bytes,
    config: &Config,
    ids: &Ids,
) -> Result<RequestEvents<Event>, Rejection> {
    let maker = EventMaker { sender, admitted, config, ids, work: config.simulated_work() };
    let media_type = admitted.content_type.media_type;
    if let Some(attributes) = &admitted.attributes {
        return maker.one(cloudevents::binary(attributes, media_type, body)?);
    }
    match media_type {
        MediaType::Text if config.cors.text_is_json && sequence::is_json(body) => maker.json(body),
        MediaType::Text | MediaType::Bytes => maker.text(body),
        MediaType::Ndjson => maker.lines(body),
        MediaType::Json | MediaType::CloudEvents => maker.json(body),
        MediaType::Otlp(encoding) => otlp::cut(&maker, encoding, body),
    }
}

/// What all events of a request have in common.
pub(crate) struct EventMaker<'a> {
    sender: &'a Sender,
    admitted: &'a Admitted,
    pub(crate) config: &'a Config,
    pub(crate) ids: &'a Ids,
    work: Option<SimulatedWork>,
}

impl EventMaker<'_> {
    fn text(&self, body: &[u8]) -> Result<RequestEvents<Event>, Rejection> {
        if body.is_empty() {
            return Err(Rejection::BodyEmpty);
        }
        let text = str::from_utf8(body)?.to_owned();
        let (fields, is_flattened) = (Fields::empty(), false);
        let object = ClientObject { tenant: None, id: None, event_time: None, text, is_flattened, fields };
        self.one(object)
    }

    fn one(&self, object: ClientObject) -> Result<RequestEvents<Event>, Rejection> {
        Ok(RequestEvents { form: Form::Single, events: vec![Ok(self.single(object)?)] })
    }

    fn json(&self, body: &[u8]) -> Result<RequestEvents<Event>, Rejection> {
        let json = sequence::trim(str::from_utf8(body)?);
        match json.as_bytes().first() {
            None => Err(Rejection::BodyEmpty),
            Some(b'[') => self.elements(json),
            Some(_) => match self.object(json) {
                Err(_) if sequence::is_continued(json) => self.lines(json.as_bytes()),
                object => self.one(object?),
            },
        }
    }

    fn lines(&self, body: &[u8]) -> Result<RequestEvents<Event>, Rejection> {
        let limit = self.config.limits.batch_events;
        let mut seen = HashMap::new();
        let read = |json| self.element(str::from_utf8(json)?, &mut seen);
        let event = |piece: Result<Piece<'_, _>, TooMany>| {
            Ok(piece.map_err(|TooMany| Rejection::BatchTooLarge { limit })?.read)
        };
        let events = sequence::pieces(body, Arrays::Whole, limit, read).map(event);
        RequestEvents::several(events.collect::<Result<_, Rejection>>()?)
    }

    fn elements(&self, json: &str) -> Result<RequestEvents<Event>, Rejection> {
        let limit = self.config.limits.batch_events;
        // Any element will do, so the only error that is not about JSON's grammar is that there are too many.
        let elements = sequence::elements(json, limit).map_err(|error| {
            if error.is_data() { Rejection::BatchTooLarge { limit } } else { Rejection::MalformedJson(error) }
        })?;
        let mut seen = HashMap::new();
        let event = |json: &RawValue| self.element(json.get(), &mut seen);
        RequestEvents::several(elements.into_iter().map(event).collect())
    }

    /// Whether each event has a name of its own, which is that of the message.
    fn are_cloudevents(&self) -> bool {
        self.admitted.attributes.is_some() || self.admitted.content_type.media_type == MediaType::CloudEvents
    }

    /// An object whose members name the event, unless a header does.
    fn object(&self, json: &str) -> Result<ClientObject, Rejection> {
        if self.are_cloudevents() {
            return cloudevents::structured(json);
        }
        let id_members = if self.admitted.named.is_some() { &[] } else { &self.config.ids.members[..] };
        Ok(ClientObject::parse(json, id_members)?)
    }

    fn single(&self, object: ClientObject) -> Result<Event, Rejection> {
        let Some(Named { name, is_message }) = &self.admitted.named else { return self.event(object, None) };
        let event = self.event(object, Some(EventId::parse(name.as_str())?))?;
        Ok(Event { is_message: *is_message, ..event })
    }

    /// One of several. A header names the request, so the element's value completes the id: sent again under the same
    /// header it has the same id, also in another place or without the others. `seen` counts equal elements, each of which
    /// is an event of its own: as often as it was sent, it happened.
    fn element(&self, json: &str, seen: &mut HashMap<String, u32>) -> Result<Event, Rejection> {
        let object = self.object(json)?;
        let named = self.admitted.named.as_ref().filter(|_| !self.are_cloudevents());
        let Some(Named { name, .. }) = named else { return self.event(object, None) };
        let digest = canonical::short_digest(json);
        let count = seen.entry(digest.clone()).or_default();
        *count += 1;
        let part = if *count == 1 { digest } else { format!("{digest}.{count}") };
        self.event(object, Some(EventId::of_part(name, &part)?))
    }

    /// `named` is the id that a header gives.
    pub(crate) fn event(&self, object: ClientObject, named: Option<EventId>) -> Result<Event, Rejection> {
        let ClientObject { tenant, id, event_time, text, is_flattened, fields } = object;
        let is_message = named.is_none() && self.are_cloudevents();
        let event = Event {
            facts: Facts {
                tenant: self.tenant(tenant)?,
                id: named.or(id).unwrap_or_else(|| self.ids.next().into()),
                admission_id: AdmissionId(self.ids.next()),
                tier: self.sender.tier.clone(),
                source: self.admitted.source,
                received_at: self.admitted.received_at,
                event_time,
                trace: self.admitted.trace.clone(),
            },
            text,
            fields,
            is_flattened,
            is_message,
            claim_check: None,
            redrive_of: Vec::new(),
        };
        if let Some(work) = self.work {
            work.of(&event.text)?;
        }
        Ok(event)
    }

    /// The sender's tenant, else the event's own, else the default.
    fn tenant(&self, own: Option<TenantId>) -> Result<TenantId, Rejection> {
        if let Some(own) = own {
            self.sender.agrees(&own)?;
            return Ok(own);
        }
        let of_request = self.sender.tenant.clone().or_else(|| self.config.tenants.default.clone());
        of_request.ok_or(Rejection::TenantMissing)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use shared::time::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::admit::{RawRequest, admit, sender};

    fn cut_with(headers: &[(&'static str, &str)], body: &str) -> Result<RequestEvents<Event>, Rejection> {
        let mut map = HeaderMap::new();
        map.insert("x-customer-tier", "pro".parse().unwrap());
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let mut config = Config::default();
        config.limits.batch_events = 3;
        config.limits.body_bytes = 5_000_000;
        let raw = RawRequest { tenant_in_path: None, headers: &map };
        let sender = sender(&raw, None, &config)?;
        let admitted = admit(&raw, &config, Timestamp::from_unix_ms(0))?;
        cut(
            &sender,
            &admitted,
            &Bytes::copy_from_slice(body.as_bytes()),
            &config,
            &Ids::new(|| Uuid::from_u128(7)),
        )
    }

    const JSON: (&str, &str) = ("content-type", "application/json");
    const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
    const TEXT: (&str, &str) = ("content-type", "text/plain");
    const ACME: (&str, &str) = ("x-tenant-id", "acme");

    /// Each event as `tenant/id text`, or its code; or the body's code.
    fn check(headers: &[(&'static str, &str)], body: &str, expected: &[&str]) {
        let found = match cut_with(headers, body) {
            Err(rejection) => vec![format!("body: {}", rejection.code())],
            Ok(batch) => batch.events.iter().map(shown).collect(),
        };
        assert_eq!(found, expected, "{body}");
    }

    fn shown(event: &Result<Event, Rejection>) -> String {
        match event {
            Ok(Event { facts: Facts { tenant, id, .. }, text, .. }) => format!("{tenant}/{id} {text}"),
            Err(rejection) => rejection.code().to_owned(),
        }
    }

    const SEVENTH: &str = "00000000-0000-0000-0000-000000000007";

    #[test]
    fn an_object_is_one_event_and_an_array_is_several() {
        check(&[JSON], r#" {"tenant_id":"a","id":1,"text":"x"} "#, &["a/1 x"]);
        check(
            &[JSON],
            r#"[{"tenant_id":"a","id":1,"text":"x"},{"tenant_id":"b","id":1,"text":"y"}]"#,
            &["a/1 x", "b/1 y"],
        );
        assert_eq!(cut_with(&[JSON, ACME], "{}").unwrap().form, Form::Single);
        assert_eq!(cut_with(&[JSON, ACME], "[{}]").unwrap().form, Form::Several);
    }

    #[test]
    fn lines_are_several_and_blank_ones_do_not_count() {
        check(
            &[NDJSON, ACME],
            "{\"id\":1,\"text\":\"x\"}\n\r\n{\"id\":2,\"text\":\"y\"}\r\n",
            &["acme/1 x", "acme/2 y"],
        );
    }

    #[test]
    fn several_objects_are_several_events_under_any_type_of_json() {
        let (one, two) = (r#"{"id":1,"text":"x"}"#, "{\n \"id\":2,\n \"text\":\"y\"\n}");
        for body in [
            format!("{one}\n{two}\n"),
            format!("{one}{two}"),
            format!("\x1e{one}\n\x1e{two}\n"),
            format!("{one}\0{two}\0"),
            format!("\n{one}\r\n\r\n{two}"),
        ] {
            for media_type in [JSON, NDJSON, ("content-type", "application/json-seq")] {
                check(&[media_type, ACME], &body, &["acme/1 x", "acme/2 y"]);
            }
        }
        for body in [two.to_owned(), format!("\x1e{two}\n"), format!("{two}\0")] {
            check(&[JSON, ACME], &body, &["acme/2 y"]);
            assert_eq!(cut_with(&[JSON, ACME], &body).unwrap().form, Form::Single, "{body:?}");
        }
        check(&[JSON, ACME], &format!("{one}\nbad\n[]"), &["acme/1 x", "malformed_json", "not_an_object"]);
        check(&[JSON, ACME], &format!("{one} bad"), &["body: malformed_json"]);
        check(&[JSON, ACME], &format!("bad\n{one}"), &["body: malformed_json"]);
        check(&[JSON, ACME], "{}{}{}{}", &["body: batch_too_large"]);
        check(
            &[JSON, ACME, ("idempotency-key", "k")],
            "{\"text\":\"\"}{\"text\":\"\"}",
            &["acme/k#6d2aa781100f275b ", "acme/k#6d2aa781100f275b.2 "],
        );
    }

    #[test]
    fn a_text_is_taken_as_it_is() {
        check(&[TEXT, ACME, ("idempotency-key", "k")], " {\"id\":1}\n", &["acme/k  {\"id\":1}\n"]);
        check(&[TEXT], "x", &["body: tenant_missing"]);
        check(&[TEXT, ACME], "", &["body: body_empty"]);
    }

    #[test]
    fn a_header_names_the_event_over_its_body_else_the_body_does_else_the_id_is_new() {
        let object = r#"{"id":"own","text":""}"#;
        check(&[JSON, ACME, ("idempotency-key", "k"), ("webhook-id", "w")], object, &["acme/k "]);
        check(&[JSON, ACME, ("webhook-id", "w"), ("idempotency-key", " ")], object, &["acme/w "]);
        check(&[JSON, ACME], object, &["acme/own "]);
        check(&[JSON, ACME], r#"{"id":"","text":""}"#, &[&format!("acme/{SEVENTH} ")]);
        check(&[JSON, ACME, ("idempotency-key", &"k".repeat(257))], "{}", &["body: event_id_invalid"]);
        // What would be no id is a field like any other.
        let named =
            &cut_with(&[JSON, ACME, ("webhook-id", "w")], r#"{"id":[7],"text":""}"#).unwrap().events[0];
        assert_eq!(named.as_ref().unwrap().fields.as_json(), r#"{"id":[7]}"#);
    }

    #[test]
    fn webhook_id_is_the_message_and_another_header_a_name_that_may_be_used_again() {
        let is_message = |header, body| {
            let events = cut_with(&[JSON, ACME, (header, "n")], body).unwrap().events;
            events[0].as_ref().unwrap().is_message
        };
        assert!(is_message("webhook-id", "{}"));
        assert!(!is_message("idempotency-key", "{}"));
        assert!(!is_message("webhook-id", "[{}]"), "the ids of a batch are by content");
    }

    fn ids(headers: &[(&'static str, &str)], body: &str) -> Vec<String> {
        let events = cut_with(headers, body).unwrap().events;
        let id = |event: &Result<Event, Rejection>| match event {
            Ok(event) => event.facts.id.to_string(),
            Err(rejection) => rejection.code().to_owned(),
        };
        events.iter().map(id).collect()
    }

    #[test]
    fn in_a_batch_an_element_has_the_same_id_wherever_it_is_and_however_it_is_spelled() {
        let keyed = [JSON, ACME, ("idempotency-key", "k")];
        let [a, bad, c] = &ids(&keyed, r#"[{"id":1,"x":{"a":1,"b":2}},5,{"id":2}]"#)[..] else { panic!() };
        assert!(a.starts_with("k#") && a.len() == 18 && bad == "not_an_object" && c != a, "{a} {bad} {c}");
        assert_eq!(ids(&keyed, r#"[ {"id":2.0} ]"#), [c.as_str()]);
        assert_eq!(ids(&keyed, r#"[{"id":3},{"x":{"b":2,"\u0061":1e0},"id":1}]"#)[1], *a);
        assert_eq!(ids(&[NDJSON, ACME, ("webhook-id", "k")], "{\"id\": 2}\n"), [c.as_str()]);
        let others = ids(&[JSON, ACME, ("idempotency-key", "other")], r#"[{"id":2}]"#);
        assert_ne!(others, [c.as_str()]);
    }

    #[test]
    fn equal_elements_of_a_batch_are_as_many_events() {
        let keyed = [JSON, ACME, ("idempotency-key", "k")];
        let found = ids(&keyed, r#"[{"a":1},{"a":1.0},{"a":1}]"#);
        assert_eq!(found, [found[0].clone(), format!("{}.2", found[0]), format!("{}.3", found[0])]);
        assert_eq!(
            ids(&keyed, r#"[{"a":1},{"a":1.0},{"a":1}]"#),
            found,
            "and so are they when the batch is sent again"
        );
        let unkeyed = ids(&[JSON, ACME], r#"[{"id":"x"},{"id":"x"}]"#);
        assert_eq!(unkeyed, ["x", "x"], "without the header their own id counts");
    }

    #[test]
    fn an_event_may_not_name_another_tenant_than_its_request() {
        check(
            &[JSON, ACME],
            r#"[{"tenant_id":"beta"},{"tenant_id":"acme","id":1,"text":""}]"#,
            &["tenant_conflict", "acme/1 "],
        );
        check(&[JSON, ACME], r#"{"tenant_id":"beta"}"#, &["body: tenant_conflict"]);
        check(&[JSON], r#"[{"text":"x"}]"#, &["tenant_missing"]);
    }

    #[test]
    fn one_bad_event_among_several_is_its_own() {
        check(
            &[JSON, ACME],
            r#"[{"id":1,"text":"x"},5,{"id":[]}]"#,
            &["acme/1 x", "not_an_object", "event_id_invalid"],
        );
        check(
            &[NDJSON, ACME],
            "{\"id\":1,\"text\":\"x\"}\n{\"id\n[]",
            &["acme/1 x", "malformed_json", "not_an_object"],
        );
    }

    #[test]
    fn what_is_wrong_with_the_body_refuses_it() {
        for (body, code) in [
            ("", "body: body_empty"),
            (" \n", "body: body_empty"),
            ("{", "body: malformed_json"),
            ("5", "body: not_an_object"),
            ("hello", "body: malformed_json"),
            ("[{}] x", "body: malformed_json"),
            ("[{},", "body: malformed_json"),
            ("[]", "body: batch_empty"),
            ("[{},{},{},{}", "body: batch_too_large"),
        ] {
            check(&[JSON, ACME], body, &[code]);
        }
        check(&[NDJSON, ACME], "\n \n", &["body: batch_empty"]);
        check(&[NDJSON, ACME], "1\n2\n\n3\n4", &["body: batch_too_large"]);
    }

    #[test]
    fn the_value_of_an_element_that_is_no_object_is_not_quoted() {
        let body = format!("[\"{}\"]", "secret".repeat(1_000));
        let batch = cut_with(&[JSON, ACME], &body).unwrap();
        assert_eq!(batch.events[0].as_ref().unwrap_err().to_string(), "it is JSON, but not an object");
    }
}
