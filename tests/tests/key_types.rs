//! Contacts may be keyed by uuid or text; no overload of a function may look for another contact than the one named.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;

const CRM: &str = "
    INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true);
    CREATE SCHEMA crm;
    CREATE TABLE crm.customer (id KEY PRIMARY KEY, email text);
    CREATE VIEW crm.bound AS SELECT id AS contact_id, 'GB'::text AS country, email FROM crm.customer;
    SELECT consent.bind_contacts('crm.bound');";

/// Each key may be written to, and to nobody else's opt-out.
fn check(client: &mut Client, key_type: &str, keys: &[&str]) {
    client.batch_execute(&CRM.replace("KEY PRIMARY", &format!("{key_type} PRIMARY"))).unwrap();
    for (n, key) in keys.iter().enumerate() {
        client
            .execute(
                &format!("INSERT INTO crm.customer VALUES ($1::text::{key_type}, $2)"),
                &[key, &format!("person{n}@example.org")],
            )
            .unwrap();
    }
    shop::refold_all(client);
    let ask = |client: &mut Client, key: &str| -> [bool; 4] {
        let row = client
            .query_one(
                &format!(
                    "SELECT consent.can_send($1::text::{key_type}, 'newsletter'), consent.can_send($1::text, 'newsletter'),
                            (SELECT allowed FROM consent.explain_send($1::text::{key_type}, 'newsletter')),
                            EXISTS (SELECT FROM crm.customer c JOIN consent.audience('newsletter') a ON a.contact_id = c.id
                                     WHERE c.id = $1::text::{key_type})"
                ),
                &[&key],
            )
            .unwrap();
        [0, 1, 2, 3].map(|i| row.get(i))
    };
    for key in keys {
        assert_eq!(ask(client, key), [false; 4], "{key}: nothing said yet");
        let opt_in = format!(
            "SELECT consent.opt_in($1::text::{key_type}, evidence => '{{\"form\": 1}}', at => '2026-01-01Z')"
        );
        client.execute(&opt_in, &[key]).unwrap();
        assert_eq!(ask(client, key), [true; 4], "{key}: opted in");
    }
    let opted_out = keys[0];
    client.execute(&format!("SELECT consent.opt_out($1::text::{key_type})"), &[&opted_out]).unwrap();
    for key in keys {
        assert_eq!(ask(client, key), [*key != opted_out; 4], "{key}: after the opt-out of {opted_out}");
    }
    client
        .batch_execute(
            "SELECT consent.refold(ARRAY(SELECT contact_id::text FROM consent_data.contact_state))",
        )
        .unwrap();
    shop::refold_all(client);
    for key in keys {
        assert_eq!(ask(client, key), [*key != opted_out; 4], "{key}: after a refold");
    }
}

#[test]
fn no_uuid_is_mistaken_for_another_key() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "uuid");
    let keys = [
        "00000000-0000-0000-0000-000000000001",
        "00000000-0000-0000-0000-000000000002",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ];
    check(&mut client, "uuid", &keys);
    let row = client
        .query_one(
            "SELECT consent.can_send(2::bigint, 'newsletter'), consent.can_send('2', 'newsletter'), consent.can_send('', 'newsletter'),
                    consent.can_send('{FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF}', 'newsletter'),
                    consent.can_send('ffffffffffffffffffffffffffffffff', 'newsletter')",
            &[],
        )
        .unwrap();
    assert_eq!([0, 1, 2, 3, 4].map(|i| row.get::<_, bool>(i)), [false, false, false, true, true]);
    let error = client.batch_execute("SELECT consent.opt_out(2::bigint)").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "22023");
    let error = client.batch_execute("SELECT consent.opt_out('someone')").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "22023");
}

#[test]
fn no_text_key_is_mistaken_for_another() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "text");
    let long = "k".repeat(500);
    let keys = ["c1", "C1", "c1 ", " c1", "c", "Jörg", "O'Neill; --", "5", "{a,b}", "é", "e\u{301}", &long];
    check(&mut client, "text", &keys);
    let uuid = "00000000-0000-0000-0000-00000000000a";
    client.execute("SELECT consent.opt_in($1::text, evidence => '{\"form\": 1}')", &[&uuid]).unwrap();
    client.execute("INSERT INTO crm.customer VALUES ($1, NULL)", &[&uuid]).unwrap();
    client.execute("SELECT consent.refold(ARRAY[$1])", &[&uuid]).unwrap();
    let row = client
        .query_one(
            "SELECT consent.can_send(5::bigint, 'newsletter'), consent.can_send(6::bigint, 'newsletter'),
                    consent.can_send($1::text::uuid, 'newsletter'), consent.can_send('', 'newsletter')",
            &[&uuid],
        )
        .unwrap();
    assert_eq!([0, 1, 2, 3].map(|i| row.get::<_, bool>(i)), [true, false, true, false]);
}
