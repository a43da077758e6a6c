//! The trace headers of requests: W3C's `traceparent`, and X-Ray's `X-Amzn-Trace-Id`, which a Function URL adds to each request.
//! An event carries the header of its request. Where the request is traced, the header names our span of it as the parent, so
//! that the reader of the event continues there.

use std::fmt;

use crate::id::AdmissionId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub u64);

/// A span, and the trace that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanContext {
    pub trace: u128,
    pub span: SpanId,
}

/// The span of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    pub context: SpanContext,
    /// The sender's, if it named one.
    pub parent: Option<SpanId>,
    /// The trace header that the request's events carry.
    pub header: String,
}

/// Whether two trace headers are of one trace. The span that they name is another one after each process.
pub fn is_same_trace(one: &str, other: &str) -> bool {
    let trace = |header| Given::read(header).map(|given| given.trace);
    trace(one).is_some_and(|one| trace(other) == Some(one))
}

impl SpanContext {
    /// The span that a trace header names, if its trace is recorded.
    pub fn recorded(header: &str) -> Option<Self> {
        let given = Given::read(header)?;
        let span = given.parent.filter(|_| given.is_recorded == Some(true))?;
        Some(Self { trace: given.trace, span })
    }

    /// The span of a record. `admission` is that of its first traced event, so both who puts the record on the stream and who reads
    /// it derive the same.
    pub fn of_record(first: Self, admission: AdmissionId) -> Self {
        let (high, low) = admission.0.as_u64_pair();
        // Two fixed bits of the id are in each half; 0 is no id of a span.
        let id = (high.rotate_left(32) ^ low).max(1);
        Self { trace: first.trace, span: SpanId(id) }
    }

    /// A span of a trace of its own.
    pub fn new_trace() -> Self {
        Self {
            trace: u128::from(fastrand::u64(1..)) << 64 | u128::from(fastrand::u64(..)),
            span: SpanId::random(),
        }
    }

    /// Another span of this trace.
    pub fn sibling(self) -> Self {
        Self { span: SpanId::random(), ..self }
    }
}

impl SpanId {
    fn random() -> Self {
        Self(fastrand::u64(1..))
    }
}

impl Begun {
    /// A sender that recorded its trace has this part of it recorded; one that decided against it has not. Of all others the
    /// share is traced: `chance` is from 0 to 1. X-Ray's `Sampled=0` is Lambda's decision, not the sender's.
    pub(super) fn new(
        header: Option<&str>,
        share: f64,
        chance: f64,
        mut random: impl FnMut() -> u64,
    ) -> Option<Self> {
        let given = header.and_then(Given::read);
        let decided = given.as_ref().and_then(|given| given.is_recorded);
        if !decided.unwrap_or(chance < share) {
            return None;
        }
        let span = SpanId(random());
        let trace = given.as_ref().map(|given| given.trace);
        let trace = trace.unwrap_or_else(|| u128::from(random()) << 64 | u128::from(random()));
        let header = match &given {
            Some(Given { root: Some(root), .. }) => format!("Root={root};Parent={span};Sampled=1"),
            _ => format!("00-{trace:032x}-{span}-01"),
        };
        Some(Self {
            context: SpanContext { trace, span },
            parent: given.and_then(|given| given.parent),
            header,
        })
    }
}

/// What a trace header says.
struct Given<'a> {
    trace: u128,
    parent: Option<SpanId>,
    /// `None` where the sender did not decide.
    is_recorded: Option<bool>,
    /// Of X-Ray's header.
    root: Option<&'a str>,
}

impl<'a> Given<'a> {
    fn read(header: &'a str) -> Option<Self> {
        Self::of_w3c(header).or_else(|| Self::of_x_ray(header))
    }

    /// `00-{trace}-{parent}-{flags}`; a later version may have more (<https://www.w3.org/TR/trace-context/#versioning-of-traceparent>).
    fn of_w3c(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_known = hex(version, 2)? != 0xff && (version != "00" || parts.next().is_none());
        let trace = hex(trace, 32).filter(|trace| *trace != 0)?;
        let parent = u64::try_from(hex(parent, 16)?).ok().filter(|parent| *parent != 0)?;
        let is_recorded = hex(flags, 2)? & 1 == 1;
        is_known.then_some(Self {
            trace,
            parent: Some(SpanId(parent)),
            is_recorded: Some(is_recorded),
            root: None,
        })
    }

    /// `Root=1-{8 digits}-{24 digits};Parent={16 digits};Sampled={0 or 1}`, in any order, of which all but `Root` may be missing.
    fn of_x_ray(header: &'a str) -> Option<Self> {
        let member = |name: &str| {
            let mut members = header.split(';').filter_map(|member| member.trim().split_once('='));
            members.find(|(other, _)| *other == name).map(|(_, value)| value)
        };
        let root = member("Root")?;
        let (time, unique) = root.strip_prefix("1-")?.split_once('-')?;
        let trace = hex(time, 8)? << 96 | hex(unique, 24)?;
        let parent = member("Parent").and_then(|parent| u64::try_from(hex(parent, 16)?).ok());
        Some(Self {
            trace,
            parent: parent.filter(|parent| *parent != 0).map(SpanId),
            is_recorded: (member("Sampled") == Some("1")).then_some(true),
            root: Some(root),
        })
    }
}

/// A number of exactly so many digits, in lower case as both formats ask.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == digits && is_hex).then(|| u128::from_str_radix(text, 16).ok())?
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W3C: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const X_RAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    fn begun(header: Option<&str>, share: f64) -> Option<Begun> {
        let mut next = 0;
        Begun::new(header, share, 0.5, || {
            next += 1;
            next
        })
    }

    #[test]
    fn a_traced_request_continues_its_senders_trace_and_its_events_name_our_span() {
        let w3c = begun(Some(W3C), 0.0).unwrap();
        assert_eq!(w3c.header, "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01");
        assert_eq!(w3c.parent, Some(SpanId(0xb7ad_6b71_6920_3331)));
        assert_eq!(SpanContext::recorded(&w3c.header), Some(w3c.context));
        let x_ray = begun(Some(X_RAY), 0.0).unwrap();
        assert_eq!(
            x_ray.header,
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0000000000000001;Sampled=1"
        );
        assert_eq!(SpanContext::recorded(&x_ray.header), Some(x_ray.context));
        assert_eq!(x_ray.context.trace, 0x5759_e988_bd86_2e3f_e1be_46a9_9427_2793);
    }

    #[test]
    fn the_sender_decides_whether_it_is_traced_and_otherwise_the_share_does() {
        let is_traced = |header: Option<&str>, share| begun(header, share).is_some();
        let not_recorded = W3C.replace("-01", "-00");
        assert!(!is_traced(Some(&not_recorded), 1.0));
        for open in [
            None,
            Some("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0"),
            Some("no header"),
        ] {
            assert!(is_traced(open, 0.6) && !is_traced(open, 0.4), "{open:?}");
        }
        assert_eq!(
            begun(None, 1.0).unwrap().header,
            "00-00000000000000020000000000000003-0000000000000001-01"
        );
    }

    #[test]
    fn a_header_that_is_none_or_not_recorded_names_no_span() {
        for none in [
            "",
            "00-a-b-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8",
            "Root=1-5759e988;Parent=53995c3f42cd8ad8;Sampled=1",
        ] {
            assert_eq!(SpanContext::recorded(none), None, "{none}");
        }
        assert!(SpanContext::recorded(&W3C.replacen("00", "01", 1)).is_some(), "of a later version");
    }
}
