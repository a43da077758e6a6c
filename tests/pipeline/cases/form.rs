//! What the table is made of: a row is a kind of input, a form is one example of it, with all that must come of it.

use serde_json::Value;

/// Stands for the form's own tenant in paths, headers, bodies and expected lines.
const TENANT: &str = "TENANT";

/// Scripts of this page may call the API.
pub(super) const PAGE: &str = "https://page.example";

pub(super) struct Row {
    /// Names it in tenants and in what is printed. Never used again for another row.
    pub(super) number: &'static str,
    pub(super) title: &'static str,
    pub(super) forms: Vec<Form>,
}

/// Which ways a form can take, and why no other.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    Every,
    /// HTTP only.
    Http(&'static str),
    /// HTTP, except through a Function URL.
    Socket {
        function_url: &'static str,
        stream: &'static str,
    },
    FunctionUrl(&'static str),
    /// The stream only.
    Stream(&'static str),
}

pub(super) struct Form {
    pub(super) what: &'static str,
    pub(super) takes: Takes,
    /// If it is named in the form itself.
    own_tenant: Option<&'static str>,
    pub(super) sent: Vec<Sent>,
    /// One for each archive line: JSON with the members that it must have. `null`: it has no such member.
    stored: Vec<&'static str>,
    /// Why events that could be read are in quarantine.
    pub(super) quarantined: Vec<&'static str>,
}

impl Form {
    pub(super) fn new(takes: Takes, what: &'static str, sent: impl Into<Vec<Sent>>) -> Self {
        let sent = sent.into();
        Self { what, takes, own_tenant: None, sent, stored: Vec::new(), quarantined: Vec::new() }
    }

    pub(super) fn stored(mut self, stored: &[&'static str]) -> Self {
        self.stored = stored.to_vec();
        self
    }

    pub(super) fn quarantined(mut self, reason: &'static str) -> Self {
        self.quarantined.push(reason);
        self
    }

    pub(super) fn of_tenant(mut self, tenant: &'static str) -> Self {
        self.own_tenant = Some(tenant);
        self
    }

    /// Its tenant is no other form's.
    pub(super) fn tenant(&self, row: &Row, index: usize) -> String {
        self.own_tenant.map_or_else(|| format!("{}-{:02}", row.number, index + 1), str::to_owned)
    }

    pub(super) fn expected_lines(&self, tenant: &str) -> Vec<Value> {
        self.stored.iter().map(|line| serde_json::from_str(&line.replace(TENANT, tenant)).unwrap()).collect()
    }

    /// How many archive lines it becomes.
    pub(super) fn lines(&self) -> usize {
        self.stored.len()
    }

    /// What is expected of its line, if it becomes one.
    pub(super) fn line(&self) -> Option<&'static str> {
        match self.stored[..] {
            [line] => Some(line),
            _ => None,
        }
    }
}

/// What is done to the bytes of a body.
pub(super) type Wrap = fn(&[u8]) -> Vec<u8>;

/// What of a record goes to quarantine.
#[derive(Clone, Copy)]
enum Unreadable {
    Nothing,
    Whole(&'static str),
    Line(&'static str, &'static str),
}

/// One request, or one record.
pub(super) struct Sent {
    pub(super) method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    /// Whether the test adds the headers of tier and tenant, where `headers` has none.
    is_named: bool,
    body: String,
    wraps: Vec<Wrap>,
    /// The status, and the code of each problem.
    pub(super) answer: String,
    unreadable: Unreadable,
    /// What is changed in a Function URL's event.
    pub(super) twist: Option<fn(&mut Value)>,
}

/// A `POST` that is accepted.
pub(super) fn post(content_type: &'static str, body: impl Into<String>) -> Sent {
    Sent {
        method: "POST",
        path: "/ingest",
        headers: vec![("content-type", content_type.to_owned())],
        is_named: true,
        body: body.into(),
        wraps: Vec::new(),
        answer: "202".to_owned(),
        unreadable: Unreadable::Nothing,
        twist: None,
    }
}

pub(super) fn json(body: impl Into<String>) -> Sent {
    post("application/json", body)
}

pub(super) fn lines(body: impl Into<String>) -> Sent {
    post("application/x-ndjson", body)
}

pub(super) fn text(body: impl Into<String>) -> Sent {
    post("text/plain", body)
}

pub(super) fn preflight(origin: &str) -> Sent {
    let headers = vec![("origin", origin.to_owned()), ("access-control-request-method", "POST".to_owned())];
    Sent { method: "OPTIONS", headers, ..text("") }
}

/// An object with these members, after the form's tenant.
pub(super) fn object(members: &str) -> String {
    format!("{{\"tenant_id\":\"{TENANT}\",{members}}}")
}

impl Sent {
    pub(super) fn to(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    /// Adds a line to the headers.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Without the headers that no browser sends by itself.
    pub(super) fn bare(mut self) -> Self {
        self.is_named = false;
        self
    }

    pub(super) fn wrapped(mut self, wrap: Wrap) -> Self {
        self.wraps.push(wrap);
        self
    }

    pub(super) fn answered(mut self, answer: &str) -> Self {
        answer.clone_into(&mut self.answer);
        self
    }

    /// As a record, the whole goes to quarantine.
    pub(super) fn kept_as(mut self, reason: &'static str) -> Self {
        self.unreadable = Unreadable::Whole(reason);
        self
    }

    /// By HTTP it is answered with this problem; of a record on the stream, the whole goes to quarantine under the same name.
    pub(super) fn refused(self, status: u16, code: &'static str) -> Self {
        self.kept_as(code).answered(&format!("{status} {code}"))
    }

    /// By HTTP one of its events is answered with this problem; of a record on the stream, this line goes to quarantine under
    /// the same name.
    pub(super) fn refused_in_part(mut self, code: &'static str, line: &'static str) -> Self {
        self.unreadable = Unreadable::Line(code, line);
        self.answered(&format!("207 {code}"))
    }

    pub(super) fn twisted(mut self, twist: fn(&mut Value)) -> Self {
        self.twist = Some(twist);
        self
    }

    pub(super) fn path(&self, tenant: &str) -> String {
        self.path.replace(TENANT, tenant)
    }

    pub(super) fn headers(&self, tenant: &str) -> Vec<(&'static str, String)> {
        let mut headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (*name, value.replace(TENANT, tenant))).collect();
        for (name, value) in [("x-customer-tier", "pro"), ("x-tenant-id", tenant)] {
            if self.is_named && headers.iter().all(|(other, _)| *other != name) {
                headers.push((name, value.to_owned()));
            }
        }
        headers
    }

    pub(super) fn body(&self, tenant: &str) -> Vec<u8> {
        let body = self.body.replace(TENANT, tenant).into_bytes();
        self.wraps.iter().fold(body, |body, wrap| wrap(&body))
    }

    /// What of it goes to quarantine if it is a record: the reason and the bytes.
    pub(super) fn unreadable(&self, tenant: &str) -> Option<(&'static str, Vec<u8>)> {
        match self.unreadable {
            Unreadable::Nothing => None,
            Unreadable::Whole(reason) => Some((reason, self.body(tenant))),
            Unreadable::Line(reason, line) => Some((reason, line.as_bytes().to_vec())),
        }
    }
}
