//! Where a list continues: after an event. A cursor says nothing about which tenant is read: the request does. So a forged
//! one continues the list of the request's own tenant somewhere else.

use shared::id::{EventId, TenantId};
use shared::time::Timestamp;

use super::port::IndexEntry;

const VERSION: u8 = 1;

/// The last event of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) tenant: TenantId,
    /// Which of the tenant's partitions of the index it is in, by number.
    pub(crate) partition: usize,
    pub(crate) last: IndexEntry,
}

impl Cursor {
    pub(crate) fn write(&self) -> String {
        let IndexEntry { received_at, id } = &self.last;
        let cursor = (VERSION, &self.tenant, received_at.unix_ms(), self.partition, id);
        let json = serde_json::to_vec(&cursor).expect("a cursor always serialises");
        base64_simd::URL_SAFE_NO_PAD.encode_to_string(json)
    }

    /// `None` if it is none of the tenant's list.
    pub(crate) fn read(text: &str, tenant: &TenantId) -> Option<Self> {
        let json = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
        let (version, named, at, partition, id): (u8, TenantId, i64, usize, EventId) =
            serde_json::from_slice(&json).ok()?;
        let last = IndexEntry { received_at: Timestamp::from_unix_ms(at), id };
        (version == VERSION && named == *tenant).then_some(Self { tenant: named, partition, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        let id = EventId::parse("a/b ü").unwrap();
        let last = IndexEntry { received_at: Timestamp::from_unix_ms(1_795_253_400_123), id };
        Cursor { tenant: TenantId::parse("acme").unwrap(), partition: 3, last }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_only_for_its_tenant() {
        let written = cursor().write();
        assert_eq!(written, "WzEsImFjbWUiLDE3OTUyNTM0MDAxMjMsMywiYS9iIMO8Il0", "clients have stored it");
        assert_eq!(Cursor::read(&written, &cursor().tenant), Some(cursor()));
        assert_eq!(Cursor::read(&written, &TenantId::parse("beta").unwrap()), None);
    }

    #[test]
    fn anything_else_is_no_cursor() {
        let tenant = cursor().tenant;
        for forged in [
            r#"[2,"acme",1,0,"x"]"#,
            r#"[1,"acme",1,0]"#,
            r#"[1,"acme",1,-1,"x"]"#,
            r#"[1,"acme",1,0,""]"#,
            r#"[1,"../acme",1,0,"x"]"#,
            "{}",
        ] {
            assert_eq!(Cursor::read(&base64_simd::URL_SAFE_NO_PAD.encode_to_string(forged), &tenant), None);
        }
        for text in ["", "%", "tenants/acme", "é"] {
            assert_eq!(Cursor::read(text, &tenant), None);
        }
    }
}
