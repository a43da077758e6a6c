//! The third stage: a body cut into events. What is wrong with the body as a whole refuses the request; what is wrong
//! with one of several events is that event's own.

use std::cell::Cell;
use std::str;

use bytes::Bytes;
use serde_json::value::RawValue;
use shared::client_object::ClientObject;
use shared::config::{Config, SimulatedWork};
use shared::fields::Fields;
use shared::format::event_line::Event;
use shared::format::facts::Facts;
use shared::id::{AdmissionId, EventId, Ids, TenantId};
use shared::sequence::{self, Arrays, Piece, TooMany};

use crate::admit::{Admitted, Sender};
use crate::media::MediaType;
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
    match admitted.content_type.media_type {
        MediaType::Text if config.cors.text_is_json && sequence::is_json(body) => maker.json(body),
        MediaType::Text => maker.text(body),
        MediaType::Ndjson => maker.lines(body),
        MediaType::Json => maker.json(body),
    }
}

/// What all events of a request have in common.
struct EventMaker<'a> {
    sender: &'a Sender,
    admitted: &'a Admitted,
    config: &'a Config,
    ids: &'a Ids,
    work: Option<SimulatedWork>,
}

impl EventMaker<'_> {
    fn text(&self, body: &[u8]) -> Result<RequestEvents<Event>, Rejection> {
        if body.is_empty() {
            return Err(Rejection::BodyEmpty);
        }
        let text = str::from_utf8(body)?.to_owned();
        let object = ClientObject { tenant: None, id: None, event_time: None, text, fields: Fields::empty() };
        Ok(RequestEvents { form: Form::Single, events: vec![Ok(self.event(object, None)?)] })
    }

    fn json(&self, body: &[u8]) -> Result<RequestEvents<Event>, Rejection> {
        let json = sequence::trim(str::from_utf8(body)?);
        match json.as_bytes().first() {
            None => Err(Rejection::BodyEmpty),
            Some(b'[') => self.elements(json),
            Some(_) => match ClientObject::parse(json) {
                Err(_) if sequence::is_continued(json) => self.lines(json.as_bytes()),
                object => {
                    let event = self.event(object?, None)?;
                    Ok(RequestEvents { form: Form::Single, events: vec![Ok(event)] })
                }
            },
        }
    }

    fn lines(&self, body: &[u8]) -> Result<RequestEvents<Event>, Rejection> {
        let limit = self.config.limits.batch_events;
        let index = Cell::new(0);
        let read = |json| self.event(ClientObject::parse(str::from_utf8(json)?)?, Some(index.get()));
        let event = |piece: Result<Piece<'_, _>, TooMany>| {
            index.set(index.get() + 1);
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
        let event =
            |(index, json): (usize, &RawValue)| self.event(ClientObject::parse(json.get())?, Some(index));
        RequestEvents::several(elements.into_iter().enumerate().map(event).collect())
    }

    /// `index` is the event's index in its request; `None` for a single one.
    fn event(&self, object: ClientObject, index: Option<usize>) -> Result<Event, Rejection> {
        let ClientObject { tenant, id, event_time, text, fields } = object;
        let event = Event {
            facts: Facts {
                tenant: self.tenant(tenant)?,
                id: id.map_or_else(|| self.id(index), Ok)?,
                admission_id: AdmissionId(self.ids.next()),
                tier: self.sender.tier.clone(),
                source: self.admitted.source,
                received_at: self.admitted.received_at,
                event_time,
                trace: self.admitted.trace.clone(),
            },
            text,
            fields,
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

    /// The id of an event that brings none. By the idempotency key a retry of the same request gives the same ids.
    fn id(&self, index: Option<usize>) -> Result<EventId, Rejection> {
        match (&self.admitted.idempotency_key, index) {
            (None, _) => Ok(self.ids.next().into()),
            (Some(key), None) => Ok(EventId::parse(key.as_str())?),
            (Some(key), Some(index)) => Ok(EventId::parse(format!("{key}#{index}"))?),
        }
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
            &["acme/k#0 ", "acme/k#1 "],
        );
    }

    #[test]
    fn a_text_is_taken_as_it_is() {
        check(&[TEXT, ACME, ("idempotency-key", "k")], " {\"id\":1}\n", &["acme/k  {\"id\":1}\n"]);
        check(&[TEXT], "x", &["body: tenant_missing"]);
        check(&[TEXT, ACME], "", &["body: body_empty"]);
    }

    #[test]
    fn an_id_is_the_events_own_else_by_the_key_else_new() {
        check(
            &[JSON, ACME, ("idempotency-key", "k")],
            r#"[{"id":"own","text":""},{"text":""}]"#,
            &["acme/own ", "acme/k#1 "],
        );
        check(&[JSON, ACME, ("webhook-id", "w")], r#"{"text":""}"#, &["acme/w "]);
        check(&[JSON, ACME], r#"{"text":""}"#, &[&format!("acme/{SEVENTH} ")]);
        check(&[JSON, ACME, ("idempotency-key", &"k".repeat(257))], "{}", &["body: event_id_invalid"]);
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
