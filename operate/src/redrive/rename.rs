//! `--as-new`: an event that has the id of another one is stored under an id of its own.

use shared::digest::sha256;
use shared::format::claim_check::ClaimCheck;
use shared::format::event_line::Event;
use shared::id::EventId;
use shared::limits;
use shared::objects::ObjectStore;

/// How many digits of a hash tell events of one id apart.
const DIGITS: usize = 16;

/// The event under its new id. The line of a head is stored again, at the key that belongs to the new id; `None` if it
/// does not exist any more.
pub(super) async fn renamed(
    event: Event,
    claim_check: Option<&ClaimCheck>,
    objects: &impl ObjectStore,
) -> anyhow::Result<Option<Event>> {
    let id = new_id(&event);
    if event.claim_check.is_none() {
        return Ok(Some(with_id(event, id)));
    }
    let Some(claim_check) = claim_check else { return Ok(None) };
    let mut parts = Vec::new();
    for key in claim_check.part_keys() {
        let Some(part) = objects.get(&key).await? else { return Ok(None) };
        parts.push(part);
    }
    let whole = claim_check.line(&parts).ok().and_then(|line| serde_json::from_slice(&line).ok());
    let Some(whole) = whole else { return Ok(None) };
    let mut whole = with_id(whole, id);
    for (key, part) in whole.check_in(&whole.line()) {
        objects.put(&key, part).await?;
    }
    whole.redrive_of = event.redrive_of;
    Ok(Some(whole))
}

/// `{id}#{16 digits}`. The digits follow from id and content, so the same event has the same new id however often it is
/// redriven, or was sent. Of an id that leaves no room for them, it is the beginning.
pub(crate) fn new_id(event: &Event) -> EventId {
    let id = event.facts.id.as_str();
    // Two messages of one name are the same event, whatever their content.
    let content = if event.is_message { String::new() } else { event.content_hash() };
    let digest = &sha256(format!("{id}\n{content}").as_bytes())[..DIGITS];
    let room = limits::EVENT_ID_BYTES - "#".len() - DIGITS;
    EventId::of_part(&id[..id.floor_char_boundary(room)], digest).expect("the beginning of an id, and digits")
}

fn with_id(mut event: Event, id: EventId) -> Event {
    event.facts.id = id;
    event
}

#[cfg(test)]
mod tests {
    use shared::objects::memory::MemoryObjects;

    use super::*;

    fn event(id: &str, text: &str) -> Event {
        let line = r#"{"v":1,"id":"i","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","text":"","fields":{"a":1},"redrive_of":[]}"#;
        let event: Event = serde_json::from_str(line).unwrap();
        with_id(Event { text: text.to_owned(), ..event }, EventId::parse(id).unwrap())
    }

    #[test]
    fn a_new_id_follows_from_id_and_content_and_shows_the_old_one() {
        let id = new_id(&event("order-1", "paid"));
        assert!(id.as_str().starts_with("order-1#") && id.as_str().len() == "order-1#".len() + 16, "{id}");
        assert_eq!(new_id(&event("order-1", "paid")), id);
        assert_ne!(new_id(&event("order-1", "shipped")), id);
        let long = |last: &str| new_id(&event(&format!("{}{last}", "é".repeat(127)), "x"));
        assert!(long("a").as_str().starts_with("éé") && long("a").as_str().len() <= limits::EVENT_ID_BYTES);
        assert_ne!(long("a"), long("b"));
        let message = |text| new_id(&Event { is_message: true, ..event("msg_1", text) });
        assert_eq!(message("one"), message("another"));
    }

    #[tokio::test]
    async fn a_large_event_is_stored_again_under_its_new_id() {
        let objects = MemoryObjects::default();
        let whole = event("large", "text");
        let mut head = whole.clone();
        let parts = head.check_in(&whole.line());
        let claim_check = head.claim_check.clone();
        let rename =
            async |head: &Event| renamed(head.clone(), claim_check.as_ref(), &objects).await.unwrap();
        assert_eq!(rename(&head).await, None, "its line does not exist");

        for (key, part) in parts {
            objects.add(&key, part);
        }
        let new = rename(&head).await.unwrap();
        let (id, claim_check) = (new_id(&whole), new.claim_check.unwrap());
        assert_eq!(new.facts.id, id);
        let own_key = |sha256: &str| shared::format::key::claim(&whole.facts.tenant, &id, sha256);
        claim_check.check(own_key, 10_000).unwrap();
        let part = objects.get(&claim_check.key).await.unwrap().unwrap();
        let stored: Event = serde_json::from_slice(&claim_check.line(&[part]).unwrap()).unwrap();
        assert_eq!(stored, with_id(whole, id));
    }
}
