//! The traffic follows from the seed, and has what it promises.

use std::collections::BTreeMap;

use super::*;

fn traffic(run: &str, seed: u64) -> Traffic {
    Traffic::new(run, seed, 20, Vec::new(), &Config::default()).unwrap()
}

/// All that is sent of a request.
fn bytes(request: &Request) -> String {
    format!("{:?}", request.call)
}

#[test]
fn the_same_seed_and_run_send_the_same_bytes_and_others_do_not() {
    let [one, again, seed, run] =
        [("r", 1), ("r", 1), ("r", 2), ("s", 1)].map(|(run, seed)| traffic(run, seed));
    let mut differ = [0, 0];
    for number in 0..500 {
        let first = bytes(&one.request(number));
        assert_eq!(first, bytes(&again.request(number)));
        differ[0] += usize::from(first != bytes(&seed.request(number)));
        differ[1] += usize::from(first != bytes(&run.request(number)));
    }
    // Empty bodies and the like are the same in each run.
    assert!(differ.iter().all(|differ| *differ > 450), "{differ:?}");
}

#[test]
fn an_id_is_sent_first_by_the_request_that_it_names() {
    let traffic = traffic("r", 1);
    let mut repeated = 0;
    for number in 0..2_000 {
        let request = traffic.request(number);
        assert!(request.of <= number);
        repeated += usize::from(request.of != number);
        for (index, event) in request.events.iter().enumerate() {
            assert_eq!(traffic.place(event.id.as_str()), Some((request.of, index)));
            assert_eq!(traffic.event(request.of, index).as_ref(), Some(event), "sent again, it is the same");
        }
    }
    assert!((50..150).contains(&repeated), "{repeated} of 2000 are repeated");
    assert_eq!(traffic.place("r-1-0#0123456789abcdef"), None);
    assert_eq!(traffic.place("r-2-1-0"), None, "of the run `r-2`");
}

#[test]
fn every_kind_is_there_and_few_tenants_send_most() {
    let traffic = traffic("r", 1);
    let (mut expected, mut tenants) = (BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
    for number in 0..5_000 {
        let request = traffic.request(number);
        *expected.entry(format!("{:?}", request.expected)).or_default() += 1;
        for event in request.events {
            *tenants.entry(event.tenant.to_string()).or_default() += 1;
        }
    }
    assert_eq!(expected.len(), 9, "{expected:?}");
    assert_eq!(tenants.len(), 20);
    let sent = |name: &str| tenants[name];
    assert!(
        sent("tenant-001") > sent("tenant-002") && sent("tenant-002") > 4 * sent("tenant-020"),
        "{tenants:?}"
    );
}

#[test]
fn with_keys_tenant_and_tier_are_those_of_the_key() {
    let keys = ["acme=key-1", "beta=key-2"].map(|key| Key::parse(key).unwrap()).to_vec();
    assert_eq!(format!("{keys:?}"), "[acme=…, beta=…]", "a key is not shown");
    let traffic = Traffic::new("r", 1, 20, keys, &Config::default()).unwrap();
    for number in 0..500 {
        let request = traffic.request(number);
        let sent = bytes(&request);
        assert!(sent.contains("key-1") != sent.contains("key-2"), "{sent}");
        let tenant = if sent.contains("key-1") { "acme" } else { "beta" };
        assert!(request.events.iter().all(|event| event.tenant.as_str() == tenant && event.tier.is_none()));
        assert_eq!(
            sent.contains("X-Customer-Tier"),
            request.expected == Expected::Refused(403, "credential_mismatch")
        );
    }
    assert!(Key::parse("acme").is_err() && Key::parse("acme=").is_err() && Key::parse("acme=a b").is_err());
}

#[test]
fn a_run_that_cannot_begin_an_id_is_refused() {
    for run in ["", "a b", "a#", &"x".repeat(101)] {
        assert!(Traffic::new(run, 1, 1, Vec::new(), &Config::default()).is_err(), "{run}");
    }
}
