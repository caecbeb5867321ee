//! The way out of a message: nobody's opt-out is lost, whatever became of them since, and nobody else can make one.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::{Client, Row};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::os::unix::fs::{MetadataExt, chown};
use std::process::Command;

/// Contacts 1 to 30, each with an opt-in of last year.
const CRM: &str = "
    INSERT INTO consent_data.sender (name, is_default, unsubscribe_url) VALUES ('shop', true, 'https://shop.example/u/{token}'),
        ('sister', false, NULL);
    INSERT INTO consent_data.category (name) VALUES ('shoes'), ('tea');
    CREATE SCHEMA crm;
    CREATE TABLE crm.customer (id KEY PRIMARY KEY, email text);
    CREATE VIEW crm.bound AS SELECT id AS contact_id, 'GB'::text AS country, email FROM crm.customer;
    SELECT consent.bind_contacts('crm.bound');";

fn key(n: i64, key_type: &str) -> String {
    match key_type {
        "uuid" => format!("00000000-0000-0000-0000-{n:012x}"),
        "text" => format!("crm:{n}"),
        _ => n.to_string(),
    }
}

fn start(key_type: &str) -> (Cluster, Client) {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, key_type);
    client.batch_execute(&CRM.replace("KEY PRIMARY", &format!("{key_type} PRIMARY"))).unwrap();
    for n in 1..=30 {
        appear(&mut client, &key(n, key_type), n);
    }
    (cluster, client)
}

/// The CRM has the contact, with the address of person `n`, and an opt-in that is older than anything else.
fn appear(client: &mut Client, contact: &str, n: i64) {
    let kind: String = client.query_one("SELECT key_type FROM consent_data.setting", &[]).unwrap().get(0);
    let insert = format!("INSERT INTO crm.customer VALUES ($1::text::{kind}, $2) ON CONFLICT DO NOTHING");
    client.execute(&insert, &[&contact, &format!("person{n}@example.org")]).unwrap();
    let opt_in = "SELECT consent.opt_in($1::text, evidence => '{\"form\": 1}', at => '2025-06-01Z')";
    client.execute(opt_in, &[&contact]).unwrap();
    client.execute("SELECT consent.refold(ARRAY[$1])", &[&contact]).unwrap();
}

fn token(client: &mut Client, contact: &str) -> String {
    client.query_one("SELECT consent.unsubscribe_token($1::text)", &[&contact]).unwrap().get(0)
}

fn click(client: &mut Client, token: &str) -> Option<i64> {
    client.query_one("SELECT event_id FROM consent.unsubscribe($1)", &[&token]).unwrap().get(0)
}

fn may(client: &mut Client, contact: &str) -> bool {
    let answers = client
        .query_one(
            "SELECT consent.can_send($1::text, 'newsletter'),
                    EXISTS (SELECT FROM consent.audience('newsletter') a WHERE a.contact_id::text = $1)",
            &[&contact],
        )
        .unwrap();
    let (by_key, in_audience): (bool, bool) = (answers.get(0), answers.get(1));
    assert!(by_key || !in_audience, "{contact} is in the audience and may not be written to");
    by_key
}

fn events(client: &mut Client) -> i64 {
    shop::number(client, "SELECT count(*) FROM consent_data.event WHERE kind = 'opt_out'")
}

/// Whatever an error tells: state, message, detail, hint, and where it was raised.
fn told(error: &postgres::Error) -> Vec<String> {
    let e = error.as_db_error().unwrap();
    let optional = [e.detail(), e.hint(), e.where_()].map(|t| t.unwrap_or_default().to_owned());
    [e.code().code().to_owned(), e.message().to_owned()].into_iter().chain(optional).collect()
}

#[test]
fn no_sql_of_the_document_fails() {
    let (cluster, mut client) = start("bigint");
    client.batch_execute("CREATE ROLE web LOGIN; GRANT consent_record TO web").unwrap();
    let document = include_str!("../../docs/unsubscribe.md");
    let blocks: Vec<&str> = document
        .split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```").map(|(sql, _)| sql))
        .collect();
    assert_eq!(blocks.len(), 4);
    let mut web = cluster.connect("postgres", "web").unwrap();
    for block in blocks {
        let admins: Vec<&str> =
            block.split_inclusive(";\n").filter(|s| s.starts_with("UPDATE consent_data.sender")).collect();
        client.batch_execute(&admins.concat()).unwrap();
        let all: String = block.split_inclusive(";\n").filter(|s| !admins.contains(s)).collect();
        web.batch_execute(&all).unwrap_or_else(|e| panic!("{e:?} in:\n{all}"));
    }
    let token = token(&mut client, "1");
    for statement in [
        "EXECUTE headers (1, 'person1@example.org')".to_owned(),
        "EXECUTE link (1, 'shoes')".to_owned(),
        format!("EXECUTE page ('{token}')"),
        format!("EXECUTE chosen ('{token}', 'shoes')"),
        format!("EXECUTE one_click ('{token}')"),
        format!("EXECUTE everything ('{token}')"),
        "EXECUTE choices (1)".to_owned(),
        "EXECUTE chose (2, '{tea}', '{shoes}', 4, '{\"form\": \"preferences/2\"}')".to_owned(),
    ] {
        web.batch_execute(&statement).unwrap_or_else(|e| panic!("{e:?} in {statement}"));
    }
    assert!(!may(&mut client, "1"));
    assert_eq!(events(&mut client), 4);
}

#[test]
fn no_fate_of_a_contact_makes_its_link_useless() {
    let (_cluster, mut client) = start("bigint");
    let fates: &[(i64, &str)] = &[
        (1, "SELECT 1"),
        (2, "SELECT consent.rotate_key(); SELECT consent.rotate_key(); SELECT consent.rotate_key()"),
        (3, "DELETE FROM crm.customer WHERE id = 3; SELECT consent.refold('{3}')"),
        (4, "SELECT consent.erase(4::bigint, 'request'); DELETE FROM crm.customer WHERE id = 4;
             SELECT consent._forget_addresses(), consent.refold('{4}')"),
        // What retention does.
        (5, "SELECT consent._erase_contact('5', '{5}', consent._key_hash('5'), 'retention', false);
             DELETE FROM crm.customer WHERE id = 5; DELETE FROM consent_data.contact_address WHERE contact_id = 5;
             SELECT consent.refold('{5}')"),
        (6, "DELETE FROM crm.customer WHERE id = 6; SELECT consent.erase(6::bigint, 'request')"),
        (7, "SELECT consent.merge_contacts(7::bigint, 17::bigint); DELETE FROM crm.customer WHERE id = 7; SELECT consent.refold('{7}')"),
        (8, "UPDATE crm.customer SET email = 'other@example.org' WHERE id = 8; SELECT consent.refold('{8}')"),
        (9, "SELECT consent.rotate_key(); SELECT consent.erase(9::bigint, 'request'); DELETE FROM crm.customer WHERE id = 9;
             SELECT consent._forget_addresses(), consent.refold('{9}'), consent.rotate_key()"),
        // What is refused on one of two merged records binds the other, also when retention has taken the first.
        (10, "SELECT consent.merge_contacts(10::bigint, 18::bigint);
              SELECT consent._erase_contact('10', '{10}', consent._key_hash('10'), 'retention', false);
              DELETE FROM crm.customer WHERE id = 10; DELETE FROM consent_data.contact_address WHERE contact_id = 10;
              SELECT consent.refold('{10}')"),
    ];
    let tokens: Vec<String> = fates.iter().map(|(n, _)| token(&mut client, &n.to_string())).collect();
    for ((n, fate), token) in fates.iter().zip(&tokens) {
        let contact = n.to_string();
        assert!(may(&mut client, &contact), "{n} before");
        client.batch_execute(fate).unwrap();
        assert!(may(&mut client, "30"), "somebody else, after `{fate}`");
        let before = events(&mut client);
        let event = click(&mut client, token).unwrap();
        assert!(events(&mut client) > before, "{fate}");
        assert_eq!(click(&mut client, token), Some(event), "a second click after `{fate}`");

        // The key comes back, and the address under another.
        let again = (1000 + n).to_string();
        let erased = fate.contains("erase");
        let named = shop::number(
            &mut client,
            &format!("SELECT count(*) FROM consent_data.event WHERE contact_id = {n} AND kind = 'opt_out'"),
        );
        assert_eq!(named, i64::from(!erased), "an erased key is not written down: {fate}");
        if erased {
            let tables = ["outbox", "pending", "contact_address", "contact_state"];
            for table in tables {
                let kept = format!("SELECT count(*) FROM consent_data.{table} WHERE contact_id = {n}");
                assert_eq!(shop::number(&mut client, &kept), 0, "{table} after `{fate}`");
            }
            let by_hash = format!(
                "SELECT count(*) FROM consent_data.event WHERE event_id = {event} AND erased_as = consent._key_hash('{n}')
                    AND contact_id IS NULL AND address_hash IS NULL AND detail = '{{\"scope\": \"all\", \"via\": \"one_click\"}}'"
            );
            assert_eq!(shop::number(&mut client, &by_hash), 1, "{fate}");
        }
        for contact in [&contact, &again] {
            appear(&mut client, contact, *n);
            assert!(!may(&mut client, contact), "{contact} is back after `{fate}`");
        }
        shop::refold_all(&mut client);
        for contact in [&contact, &again] {
            assert!(!may(&mut client, contact), "{contact} after `{fate}` and a refold of everybody");
        }
    }
    for merged in ["17", "18"] {
        assert!(!may(&mut client, merged), "{merged}, into whom another was merged");
    }
    for n in 19..=30 {
        assert!(may(&mut client, &n.to_string()), "{n}, who did not click");
    }
    // The same arguments, the same link; and another one under the newest key.
    let (a, b) = (token(&mut client, "20"), token(&mut client, "20"));
    assert!(a == b && a.len() < 200 && a != token(&mut client, "21"));
    client.batch_execute("SELECT consent.rotate_key()").unwrap();
    assert_ne!(a, token(&mut client, "20"));
}

#[test]
fn no_dump_and_restore_makes_a_link_useless() {
    let (cluster, mut client) = start("bigint");
    let old = token(&mut client, "1");
    client.batch_execute("SELECT consent.rotate_key()").unwrap();
    let new = token(&mut client, "2");
    let dump = Command::new(cluster.bin("pg_dump")).envs(cluster.env()).output().unwrap();
    assert!(dump.status.success());
    // A key that the dump does not know of yet.
    client.batch_execute("SELECT consent.rotate_key()").unwrap();
    let later = token(&mut client, "3");

    let other = Cluster::start(Options::default()).unwrap();
    let file = std::env::temp_dir().join(format!("pg_consent-unsubscribe-{}.sql", std::process::id()));
    std::fs::write(&file, dump.stdout).unwrap();
    let out = Command::new(other.bin("psql"))
        .args(["-qX", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(&file)
        .envs(other.env())
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let owner = std::fs::metadata(other.data_dir()).unwrap();
    for name in ["pg_consent.key", "pg_consent.key.2", "pg_consent.key.3"] {
        let key = other.data_dir().join(name);
        std::fs::copy(cluster.data_dir().join(name), &key).unwrap();
        chown(&key, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let mut restored = other.connect("postgres", "postgres").unwrap();
    restored.batch_execute("SET client_min_messages = warning; CALL consent.setup()").unwrap();
    shop::refold_all(&mut restored);
    for (contact, token) in [("1", &old), ("2", &new), ("3", &later)] {
        assert!(may(&mut restored, contact), "{contact} before");
        assert!(click(&mut restored, token).is_some());
        assert!(!may(&mut restored, contact), "{contact} after");
    }
    assert!(may(&mut restored, "4"));
}

#[test]
fn no_forged_token_does_or_tells_anything() {
    let (cluster, mut client) = start("bigint");
    let token = token(&mut client, "1");
    let mut forged: Vec<String> = (0..token.len()).map(|n| token[..n].to_owned()).collect();
    for (i, c) in token.char_indices() {
        for other in ['A', 'z', '-', '=', '\'', 'é'].into_iter().filter(|o| *o != c) {
            let mut changed = token.clone();
            changed.replace_range(i..=i, &other.to_string());
            forged.push(changed);
        }
    }
    let mut random = ChaCha8Rng::seed_from_u64(8058);
    for n in 0..300 {
        let byte = |_| {
            char::from(
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                    [random.random_range(0..64)],
            )
        };
        let noise: String = (0..n).map(byte).collect();
        // As if it were one of this version and generation.
        forged.push(format!("{}{noise}", &token[..2]));
        forged.push(noise);
    }
    forged.extend(["A".repeat(100_000), format!("{token}{token}"), "\u{0}".trim_matches('\0').to_owned()]);
    // Another database with the same key file, and one with another key.
    client.batch_execute("CREATE DATABASE sibling").unwrap();
    let mut sibling = cluster.connect("sibling", "postgres").unwrap();
    sibling
        .batch_execute("SET client_min_messages = warning; CREATE EXTENSION pg_consent; CALL consent.setup()")
        .unwrap();
    sibling
        .batch_execute("INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true)")
        .unwrap();
    forged.push(self::token(&mut sibling, "1"));
    let stranger = Cluster::start(Options::default()).unwrap();
    let mut stranger = shop::set_up(&stranger, "bigint");
    stranger
        .batch_execute("INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true)")
        .unwrap();
    forged.push(self::token(&mut stranger, "1"));

    let held = "SELECT (SELECT count(*) FROM consent_data.event) + (SELECT count(*) FROM consent_data.outbox)
                     + (SELECT count(*) FROM consent_data.unread_token) + (SELECT count(*) FROM consent_data.pending)
                     + (SELECT count(*) FROM consent_data.address) + (SELECT sum(rev) FROM consent_data.contact_state)::bigint";
    let before = shop::number(&mut client, held);
    for function in ["unsubscribe", "read_token"] {
        let refused = client.query(&format!("SELECT * FROM consent.{function}(NULL)"), &[]).unwrap_err();
        let refused = told(&refused);
        assert_eq!((&*refused[0], &*refused[1]), ("22023", "the unsubscribe token is not valid"));
        for text in &forged {
            let error = client.query(&format!("SELECT * FROM consent.{function}($1)"), &[text]).unwrap_err();
            assert_eq!(told(&error), refused, "{function} of `{text}`");
        }
    }
    assert_eq!(shop::number(&mut client, held), before, "{} forged tokens changed something", forged.len());
    assert!(forged.len() > 1000);
    assert!(click(&mut client, &format!("\n {token} \r\n")).is_some(), "as broken lines leave it");
}

#[test]
fn no_page_that_is_only_looked_at_opts_anybody_out() {
    let (_cluster, mut client) = start("bigint");
    let token = token(&mut client, "1");
    let read = |client: &mut Client| -> (String, String, Option<String>, bool) {
        let row = client.query_one("SELECT * FROM consent.read_token($1)", &[&token]).unwrap();
        (row.get(0), row.get(1), row.get(2), row.get(3))
    };
    let before = events(&mut client);
    client.batch_execute("SET default_transaction_read_only = on").unwrap();
    assert_eq!(read(&mut client), ("shop".into(), "email".into(), None, false));
    // A click needs a transaction that may write, and says so before it looks at anything.
    let click = "SELECT * FROM consent.unsubscribe($1)";
    let refused = [&*token, "nonsense"].map(|t| told(&client.query(click, &[&t]).unwrap_err()));
    assert_eq!(refused[0], refused[1]);
    assert_eq!(refused[0][0], "25006");
    client.batch_execute("SET default_transaction_read_only = off").unwrap();
    assert_eq!(events(&mut client), before);
    assert!(may(&mut client, "1"));
    client.query(click, &[&token]).unwrap();
    client.batch_execute("SET default_transaction_read_only = on").unwrap();
    assert!(read(&mut client).3, "refused now");
}

#[test]
fn eight_clicks_at_once_are_one_opt_out_and_one_after_an_opt_in_is_another() {
    let (cluster, mut client) = start("bigint");
    let token = token(&mut client, "1");
    let answer = |client: &mut Client| -> String {
        let row: Row =
            client.query_one("SELECT to_jsonb(u)::text FROM consent.unsubscribe($1) u", &[&token]).unwrap();
        row.get(0)
    };
    let answers: Vec<String> = std::thread::scope(|threads| {
        let clicks: Vec<_> = (0..8)
            .map(|_| {
                let mut client = cluster.connect("postgres", "postgres").unwrap();
                threads.spawn(move || answer(&mut client))
            })
            .collect();
        clicks.into_iter().map(|c| c.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
    assert_eq!(events(&mut client), 1);
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.outbox"), 1);
    assert!(!may(&mut client, "1"));

    client.batch_execute("SELECT consent.opt_in(1::bigint, evidence => '{\"form\": 2}')").unwrap();
    assert!(may(&mut client, "1"), "the person came back");
    assert_ne!(answer(&mut client), answers[0]);
    assert!(!may(&mut client, "1"), "and left again");
    assert_eq!(answer(&mut client), answer(&mut client));
    assert_eq!(events(&mut client), 2);
}

#[test]
fn no_opt_out_is_lost_while_its_key_is_missing() {
    let (cluster, mut client) = start("bigint");
    let first = token(&mut client, "1");
    client.batch_execute("SELECT consent.rotate_key()").unwrap();
    let second = token(&mut client, "2");
    let mut forged = token(&mut client, "3");
    forged.replace_range(20..21, if &forged[20..21] == "A" { "B" } else { "A" });
    let (here, away) = (cluster.data_dir().join("pg_consent.key.2"), cluster.data_dir().join("away"));
    std::fs::rename(&here, &away).unwrap();

    let mut client = cluster.connect("postgres", "postgres").unwrap();
    let page = client.query_one("SELECT sender, refused FROM consent.read_token($1)", &[&second]).unwrap();
    assert_eq!((page.get::<_, Option<String>>(0), page.get::<_, bool>(1)), (None, false));
    // To the outside a good one, a repeated one and a forged one are the same.
    for token in [&second, &second, &forged] {
        assert_eq!(click(&mut client, token), None);
    }
    assert!(click(&mut client, &first).is_some(), "one whose key is there needs no other");
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.unread_token"), 2);
    assert!(!may(&mut client, "2") && !may(&mut client, "4"), "nothing goes out without the key");

    std::fs::rename(&away, &here).unwrap();
    let mut client = cluster.connect("postgres", "postgres").unwrap();
    assert!(!may(&mut client, "2"), "nor with it, before the opt-outs are recorded");
    client.batch_execute("SELECT consent.refold_pending()").unwrap();
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.unread_token"), 0);
    for (contact, expected) in [("1", false), ("2", false), ("3", true), ("4", true)] {
        assert_eq!(may(&mut client, contact), expected, "{contact} at last");
    }
    let since = "SELECT count(*) FROM consent_data.event WHERE contact_id = 2 AND kind = 'opt_out' AND at < recorded_at - interval '1 millisecond'";
    assert_eq!(shop::number(&mut client, since), 1, "dated when it came");
}

#[test]
fn no_broken_view_of_the_crm_keeps_anybody_from_opting_out() {
    let (_cluster, mut client) = start("bigint");
    let token = token(&mut client, "1");
    client
        .batch_execute("CREATE OR REPLACE VIEW crm.bound AS SELECT id AS contact_id, 'GB'::text AS country, (1 / (id - id))::text AS email FROM crm.customer")
        .unwrap();
    assert!(click(&mut client, &token).is_some());
    assert!(!may(&mut client, "1"));
    client
        .batch_execute("CREATE OR REPLACE VIEW crm.bound AS SELECT id AS contact_id, 'GB'::text AS country, email FROM crm.customer")
        .unwrap();
    appear(&mut client, "101", 1);
    shop::refold_all(&mut client);
    assert!(!may(&mut client, "1") && !may(&mut client, "101") && may(&mut client, "2"));
}

#[test]
fn every_kind_of_key_finds_its_way_out() {
    for key_type in ["uuid", "text"] {
        let (_cluster, mut client) = start(key_type);
        let contact = key(1, key_type);
        let typed = format!(
            "SELECT consent.unsubscribe_token($1::text::{key_type}), consent.unsubscribe_token($1::text)"
        );
        let row = client.query_one(&typed, &[&contact]).unwrap();
        let (token, same): (String, String) = (row.get(0), row.get(1));
        assert_eq!(token, same);
        assert!(token.len() < 200, "{} characters", token.len());
        assert!(click(&mut client, &token).is_some());
        assert!(!may(&mut client, &contact) && may(&mut client, &key(2, key_type)), "{key_type}");
        let long = format!("crm:{}", "k".repeat(900));
        if key_type == "text" {
            appear(&mut client, &long, 99);
            let token = self::token(&mut client, &long);
            assert!(click(&mut client, &token).is_some());
            assert!(!may(&mut client, &long));
        }
    }
}

#[test]
fn no_header_that_a_mailbox_provider_would_not_take() {
    let (_cluster, mut client) = start("bigint");
    let headers = |client: &mut Client| -> serde_json::Value {
        let text = "SELECT consent.list_unsubscribe_headers(1::bigint)::text";
        serde_json::from_str(&client.query_one(text, &[]).unwrap().get::<_, String>(0)).unwrap()
    };
    let token = token(&mut client, "1");
    // RFC 8058, section 8.1: one https URI, and the other header word for word.
    let alone = headers(&mut client);
    assert_eq!(alone["List-Unsubscribe"], format!("<https://shop.example/u/{token}>"));
    assert_eq!(alone["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click");
    assert_eq!(alone.as_object().unwrap().len(), 2);
    // RFC 2369, section 3.2: several URIs in angle brackets, with commas between.
    let set = |client: &mut Client, column: &str, value: &str| {
        client.execute(&format!("UPDATE consent_data.sender SET {column} = $1 WHERE is_default"), &[&value])
    };
    set(&mut client, "unsubscribe_url", "https://shop.example:8443/leave?t={token}&l=en").unwrap();
    set(&mut client, "unsubscribe_mailto", "mailto:leave@shop.example?subject={token}").unwrap();
    let both = headers(&mut client);
    assert_eq!(
        both["List-Unsubscribe"],
        format!(
            "<https://shop.example:8443/leave?t={token}&l=en>, <mailto:leave@shop.example?subject={token}>"
        )
    );
    for url in [
        "http://shop.example/u/{token}",
        "https://shop.example/u",
        "https://shop.example/u/{token}/{token}",
        "https://shop.example/{other}/{token}",
        "https://shop.example/#{token}",
        "https://shop.example/u/{token}\r\nBcc: everybody@shop.example",
        "https://shop.example/u/{token}\n",
        "https://shop.example/u/{token}>, <https://other.example",
        "https://shop.example/u /{token}",
        "https:///{token}",
        "https://{token}/",
        "https://someone@shop.example/{token}",
        &format!("https://shop.example/{}{{token}}", "a".repeat(500)),
    ] {
        let refused = set(&mut client, "unsubscribe_url", url).unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "23514", "{url}");
    }
    for mailto in [
        "leave@shop.example",
        "mailto:leave@shop.example?subject=a b",
        "mailto:leave@shop.example>\r\n",
        "mailto:{token}@shop.example",
        "mailto:leave@shop.example?subject={token}{token}",
        "mailto:leave@shop.example?subject={other}",
    ] {
        let refused = set(&mut client, "unsubscribe_mailto", mailto).unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "23514", "{mailto}");
    }
    let refused =
        client.query("SELECT consent.list_unsubscribe_headers(1::bigint, 'sister')", &[]).unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "55000", "no page is configured");
    let refused = client
        .query("SELECT consent.list_unsubscribe_headers(1::bigint, channel => 'sms')", &[])
        .unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "22023");
}
