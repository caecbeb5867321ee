//! A claim is for the address that will be used.

use super::{NEWSLETTER, calling_hour, claim, queue, start};
use postgres::Client;

fn at(queue: &mut Client, contact: i64, address: &str) -> (bool, String) {
    let answer = claim(queue, contact, &format!("{NEWSLETTER}, address => '{address}'"));
    (answer.allowed, answer.reason().to_owned())
}

fn no(reason: &str) -> (bool, String) {
    (false, reason.to_owned())
}

#[test]
fn nobody_is_written_to_at_an_address_that_is_not_theirs() {
    let (cluster, mut client) = start();
    let mut queue = queue(&cluster);
    assert!(at(&mut queue, 1, " Person1@Example.ORG").0, "whatever the spelling");
    for address in ["person2@example.org", "nobody@example.org", "not an address", "", "+44 20 7946 0001"] {
        assert_eq!(at(&mut queue, 1, address), no("unknown_contact"), "{address}");
    }
    // A phone number in the country's own spelling.
    let hour = calling_hour(&mut client).to_rfc3339();
    for (number, own) in [("01 42 68 52 01", true), ("+33142685201", true), ("01 42 68 52 02", false)] {
        let call = format!("'marketing', channel => 'phone_live', at => '{hour}', address => '{number}'");
        assert_eq!(claim(&mut queue, 201, &call).allowed, own, "{number}");
    }
    assert!(
        claim(&mut queue, 1, "'marketing', 'shoes', channel => 'phone_live'").reason().len() > 4,
        "no phone at all"
    );
    // A service message, too, goes to the person's own address or to none.
    assert!(!claim(&mut queue, 1, "'order_confirmation', address => 'person2@example.org'").allowed);
    assert!(!claim(&mut queue, 1, "'order_confirmation', channel => 'sms'").allowed);
    // Of a decision that was denied for its address, the log does not have that of somebody else.
    let named = "SELECT count(*) FROM consent_data.decision WHERE reason = 'unknown_contact' AND address_hash IS NOT NULL";
    assert_eq!(client.query_one(named, &[]).unwrap().get::<_, i64>(0), 0);
}

#[test]
fn nobody_is_written_to_at_an_address_that_somebody_refused() {
    let (cluster, mut client) = start();
    let mut queue = queue(&cluster);
    client.batch_execute("SELECT consent.opt_out_addresses('{PERSON1@example.org}')").unwrap();
    assert_eq!(at(&mut queue, 1, "person1@example.org"), no("opted_out"));
    // Shared, and refused by the other; no fold since.
    client.batch_execute("UPDATE crm.customer SET email = 'shared@example.org' WHERE id IN (2, 3)").unwrap();
    client.batch_execute("SELECT consent.refold('{2, 3}')").unwrap();
    // Statements sent together have one instant, which would be before the address.
    let agreed = "SELECT consent.opt_in(n, purposes => '{newsletter}', evidence => '{\"form\": 1}') FROM generate_series(2::bigint, 3) n";
    client.batch_execute(agreed).unwrap();
    assert!(at(&mut queue, 2, "shared@example.org").0 && at(&mut queue, 3, "shared@example.org").0);
    client.batch_execute("SELECT consent.opt_out(3::bigint, 'email')").unwrap();
    assert_eq!(at(&mut queue, 2, "shared@example.org"), no("suppressed_address"));
    assert!(claim(&mut queue, 2, "'order_confirmation', address => 'shared@example.org'").allowed);
}

#[test]
fn a_change_of_address_a_moment_ago_is_seen() {
    let (cluster, mut client) = start();
    let mut queue = queue(&cluster);
    client.batch_execute("SELECT consent.opt_out_addresses('{refused@example.org}')").unwrap();
    let mut change = |contact: i64, email: &str| {
        client.execute("UPDATE crm.customer SET email = $2 WHERE id = $1", &[&contact, &email]).unwrap();
    };
    // What was agreed to for the old address is not for the new one, to which it was never sent.
    change(1, "new@example.org");
    assert_eq!(at(&mut queue, 1, "person1@example.org"), no("unknown_contact"));
    assert_eq!(at(&mut queue, 1, "new@example.org"), no("no_basis"));
    assert!(!claim(&mut queue, 1, NEWSLETTER).allowed, "its own, unnamed");
    assert!(claim(&mut queue, 1, "'order_confirmation', address => 'new@example.org'").allowed);
    // What was refused at the new one before denies, of which the state knows nothing yet.
    change(2, "refused@example.org");
    assert_eq!(at(&mut queue, 2, "refused@example.org"), no("opted_out"));
    assert_eq!(claim(&mut queue, 2, NEWSLETTER).reason(), "opted_out");
    // One that can't be read is no address, and the one before is the person's no more.
    change(3, "person3(at)example.org@");
    assert!(
        !at(&mut queue, 3, "person3@example.org").0 && !claim(&mut queue, 3, "'order_confirmation'").allowed
    );
    // Opposite to a claim that holds: the logged address must still be the person's.
    let before = claim(&mut queue, 4, NEWSLETTER);
    assert!(before.allowed);
    change(4, "elsewhere@example.org");
    let (after, changed) = super::recheck(&mut queue, before.id());
    assert_eq!((after.allowed, after.reason(), changed), (false, "unknown_contact", true));
}
