//! The parameters of a list.

use std::cmp::Ordering;

use shared::id::TenantId;
use shared::time::Timestamp;

use super::cursor::Cursor;
use crate::rejection::{Rejection, shown};

/// Events of a page, if the request does not say how many; and at most.
pub(crate) const LIMIT_DEFAULT: usize = 50;
pub(crate) const MOST: usize = 1_000;

/// The parameters that there are.
const KNOWN: [&str; 4] = ["limit", "cursor", "from", "to"];

/// A list that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListRequest {
    pub(crate) tenant: TenantId,
    /// The most events of the page.
    pub(crate) limit: usize,
    /// Events received at this time or later.
    pub(crate) from: Timestamp,
    /// Events received before this time. If it is not after `from`, there are none.
    pub(crate) to: Timestamp,
    pub(crate) cursor: Option<Cursor>,
}

impl ListRequest {
    /// Reads the query of a request, without its `?`. An unknown parameter is refused: a misspelt `from` would give all
    /// events.
    pub(crate) fn read(query: &str, tenant: TenantId) -> Result<Self, Rejection> {
        let mut given: [Option<String>; 4] = Default::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(known) = KNOWN.iter().position(|known| *known == name) else {
                return Err(Rejection::ParameterUnknown { name: shown(&name, 64), known: KNOWN.join(", ") });
            };
            if given[known].replace(value.into_owned()).is_some() {
                return Err(Rejection::ParameterRepeated(KNOWN[known]));
            }
        }
        let [limit, cursor, from, to] = given;
        let limit = match limit {
            None => LIMIT_DEFAULT,
            Some(text) => {
                limit_of(&text).ok_or_else(|| Rejection::LimitInvalid { given: shown(&text, 64) })?
            }
        };
        // As they are given: without one of them, or within a millisecond, the page may have no events, and that is right.
        let order = from.as_deref().zip(to.as_deref()).and_then(|(from, to)| Timestamp::compare(from, to));
        if let (Some(Ordering::Equal | Ordering::Greater), Some(from), Some(to)) = (order, &from, &to) {
            return Err(Rejection::ToNotAfterFrom { from: shown(from, 64), to: shown(to, 64) });
        }
        let invalid_from = |text: &str| Rejection::FromInvalid { given: shown(text, 64) };
        let from = time(from, Timestamp::default(), invalid_from)?;
        let to = time(to, Timestamp::from_unix_ms(i64::MAX), |text| Rejection::ToInvalid {
            given: shown(text, 64),
        })?;
        let cursor = match cursor {
            None => None,
            Some(text) => Some(Cursor::read(&text, &tenant).ok_or(Rejection::CursorInvalid)?),
        };
        Ok(Self { tenant, limit, from, to, cursor })
    }
}

/// Digits only: `parse` also takes a sign.
fn limit_of(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|limit| digits && (1..=MOST).contains(limit))
}

fn time(
    given: Option<String>,
    otherwise: Timestamp,
    invalid: impl FnOnce(&str) -> Rejection,
) -> Result<Timestamp, Rejection> {
    let Some(text) = given else { return Ok(otherwise) };
    Timestamp::first_at(&text).ok_or_else(|| invalid(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reads::port::IndexEntry;
    use shared::id::EventId;

    fn acme() -> TenantId {
        TenantId::parse("acme").unwrap()
    }

    fn read(query: &str) -> ListRequest {
        ListRequest::read(query, acme()).unwrap()
    }

    fn refused(query: &str) -> String {
        let rejection = ListRequest::read(query, acme()).unwrap_err();
        format!("{} {}: {rejection}", rejection.status().as_u16(), rejection.code())
    }

    #[test]
    fn without_parameters_it_is_a_page_of_fifty_of_all_events() {
        let ListRequest { limit, from, to, cursor, .. } = read("");
        assert_eq!((limit, from.unix_ms(), cursor), (50, 0, None));
        assert_eq!(to.to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn times_with_an_offset_and_finer_than_a_millisecond_are_read() {
        let list = read("limit=1000&from=2026-11-21T09:30:00%2B01:00&to=2026-11-21T08:30:00.1234Z");
        assert_eq!(list.limit, 1_000);
        assert_eq!(list.from.to_string(), "2026-11-21T08:30:00.000Z");
        assert_eq!(list.to.to_string(), "2026-11-21T08:30:00.124Z", "an event of .123 is before .1234");
    }

    #[test]
    fn times_beyond_all_events_and_within_a_millisecond_are_no_mistake() {
        for query in [
            "to=1960-01-01T00:00:00Z",
            "from=9999-12-31T23:59:59.999Z",
            "from=1960-01-01T00:00:00Z&to=1961-01-01T00:00:00Z",
            "from=2026-11-21T09:30:00.1231Z&to=2026-11-21T09:30:00.1239Z",
        ] {
            let list = read(query);
            assert!(list.from >= list.to, "{query}");
        }
        insta::assert_snapshot!(refused("from=1961-01-01T00:00:00Z&to=1960-01-01T00:00:00Z"), @"400 to_invalid: `to` is `1960-01-01T00:00:00Z`, not after `from`, `1961-01-01T00:00:00Z`");
    }

    #[test]
    fn a_cursor_of_the_tenant_is_read() {
        let last = IndexEntry { received_at: Timestamp::from_unix_ms(7), id: EventId::parse("x").unwrap() };
        let cursor = Cursor { tenant: acme(), partition: 0, last };
        assert_eq!(read(&format!("cursor={}", cursor.write())).cursor, Some(cursor));
    }

    #[test]
    fn each_bad_parameter_is_refused_by_its_name() {
        insta::assert_snapshot!(refused("limit=0"), @"400 limit_invalid: `limit` is `0`, allowed: 1 to 1000");
        insta::assert_snapshot!(refused("limit=1001"), @"400 limit_invalid: `limit` is `1001`, allowed: 1 to 1000");
        insta::assert_snapshot!(refused("limit=%2B5"), @"400 limit_invalid: `limit` is `+5`, allowed: 1 to 1000");
        insta::assert_snapshot!(refused("limit="), @"400 limit_invalid: `limit` is ``, allowed: 1 to 1000");
        insta::assert_snapshot!(refused("cursor=x"), @"400 cursor_invalid: `cursor` is not the `next_cursor` of a page of this tenant's events");
        insta::assert_snapshot!(refused("from=yesterday"), @"400 from_invalid: `from` is `yesterday`, allowed: a time of RFC 3339 such as 2026-11-21T09:30:00Z (in a query, write `+` as %2B)");
        insta::assert_snapshot!(refused("to=2026-11-21T09:30:00+01:00"), @"400 to_invalid: `to` is `2026-11-21T09:30:00 01:00`, allowed: a time of RFC 3339 such as 2026-11-21T09:30:00Z (in a query, write `+` as %2B)");
        insta::assert_snapshot!(refused("from=2026-11-21T09:30:00Z&to=2026-11-21T09:30:00Z"), @"400 to_invalid: `to` is `2026-11-21T09:30:00Z`, not after `from`, `2026-11-21T09:30:00Z`");
        insta::assert_snapshot!(refused("form=2026-11-21T09:30:00Z"), @"400 parameter_unknown: there is no parameter `form` (known: limit, cursor, from, to)");
        insta::assert_snapshot!(refused("limit=1&limit=2"), @"400 parameter_repeated: the parameter `limit` is given more than once");
    }
}
