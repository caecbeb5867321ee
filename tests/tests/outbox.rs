//! Who refused is owed a confirmation; whoever sends it is woken when the refusal is committed, and not before.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;
use std::time::Duration;

fn notified(listener: &mut Client) -> Vec<String> {
    let mut notifications = listener.notifications();
    let arrived = notifications.timeout_iter(Duration::from_millis(500));
    arrived.map(|n| Ok(n.payload().to_owned())).collect().unwrap()
}

#[test]
fn no_refusal_is_confirmed_before_it_is_committed_or_not_at_all() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "bigint");
    client.batch_execute("INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true)").unwrap();
    let mut listener = cluster.connect("postgres", "postgres").unwrap();
    listener.batch_execute("LISTEN consent_outbox").unwrap();

    let mut t = client.transaction().unwrap();
    t.batch_execute("SELECT consent.opt_out(1::bigint)").unwrap();
    assert!(notified(&mut listener).is_empty(), "not committed");
    t.rollback().unwrap();
    assert!(notified(&mut listener).is_empty(), "rolled back");

    let event: i64 = client.query_one("SELECT consent.opt_out(1::bigint)", &[]).unwrap().get(0);
    assert_eq!(notified(&mut listener), [event.to_string()]);
    let owed = client
        .query_one("SELECT contact_id, event_id FROM consent_data.outbox WHERE sent_at IS NULL", &[])
        .unwrap();
    assert_eq!((owed.get::<_, i64>(0), owed.get::<_, i64>(1)), (1, event));

    // A clean-up of the operator's own is nobody's refusal.
    client.batch_execute("SELECT consent.opt_out(2::bigint, via => 'system')").unwrap();
    assert!(notified(&mut listener).is_empty());
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.outbox"), 1);
}
