//! A file of refusals means what the same facts recorded one by one mean, here and in the next database.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::io::{Read, Write};

/// A database with a CRM of `contacts`, folded; every tenth shares the address of the one before.
fn database(cluster: &Cluster, name: &str, contacts: i64) -> Client {
    cluster
        .connect("postgres", "postgres")
        .unwrap()
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .unwrap();
    let mut client = cluster.connect(name, "postgres").unwrap();
    client
        .batch_execute(&format!(
            "SET client_min_messages = error; CREATE EXTENSION pg_consent; CALL consent.setup();
             INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true), ('sister', false);
             INSERT INTO consent_data.category (name) VALUES ('shoes'), ('books'), ('tea'), ('boots');
             CREATE TABLE customer (id bigint PRIMARY KEY, country text, email text, phone text);
             CREATE TABLE sale (customer bigint, at timestamptz, category text, opt_out_offered text);
             CREATE VIEW bound_customer AS SELECT id AS contact_id, country, email, phone FROM customer;
             CREATE VIEW bound_sale AS SELECT customer AS contact_id, at, category, opt_out_offered FROM sale;
             INSERT INTO customer SELECT n, 'GB', 'person' || n - (n % 10 = 0)::int || '@example.org',
                    '+44 20 7946 0' || lpad((n % 1000)::text, 3, '0') FROM generate_series(1, {contacts}) n;
             INSERT INTO sale SELECT n, '2026-01-15 12:00Z', 'shoes', 'yes' FROM generate_series(1, {contacts}) n;
             SELECT consent.bind_contacts('bound_customer'), consent.bind_purchases('bound_sale');"
        ))
        .unwrap();
    shop::refold_all(&mut client);
    client
}

/// Copies a CSV file with a header into a new table whose columns are all text.
fn copy(client: &mut Client, table: &str, csv: &str) {
    let columns = csv.lines().next().unwrap().replace(',', " text, ");
    client.batch_execute(&format!("CREATE TABLE {table} ({columns} text)")).unwrap();
    let mut writer = client.copy_in(&format!("COPY {table} FROM STDIN WITH (FORMAT csv, HEADER)")).unwrap();
    writer.write_all(csv.as_bytes()).unwrap();
    writer.finish().unwrap();
}

fn exported(client: &mut Client, query: &str) -> String {
    let mut csv = String::new();
    let copy = format!("COPY ({query}) TO STDOUT WITH (FORMAT csv, HEADER)");
    client.copy_out(&copy).unwrap().read_to_string(&mut csv).unwrap();
    csv
}

/// The numbers of rows accepted, duplicate and rejected.
fn import(client: &mut Client, what: &str, table: &str) -> [i64; 3] {
    let call = format!(
        "SELECT count(*) FILTER (WHERE outcome = 'accepted'), count(*) FILTER (WHERE outcome = 'duplicate'),
                count(*) FILTER (WHERE outcome = 'rejected')
           FROM consent.import_{what}('{table}', '{{\"from\": \"Mailchimp\", \"timezone\": \"Europe/Paris\"}}')"
    );
    let row = client.query_one(&call, &[]).unwrap();
    [row.get(0), row.get(1), row.get(2)]
}

fn drain(client: &mut Client) {
    client.batch_execute("ANALYZE").unwrap();
    client.batch_execute("SELECT consent.refold_pending(1000000)").unwrap();
}

fn rows(client: &mut Client, sql: &str) -> Vec<String> {
    client.query(sql, &[]).unwrap().iter().map(|r| r.get(0)).collect()
}

#[test]
fn no_refusal_of_a_large_file_is_lost_or_counted_twice() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = database(&cluster, "large", 5000);
    let mut csv = String::from("address,at,reason\n");
    for n in 1..=20_000 {
        csv.push_str(&match n % 100 {
            0 => "not an address,,\n".to_owned(),
            1 => format!("person{n}@example.org,03/04/2024,\n"),
            2 => format!("PERSON{}@Example.org,2024-03-01T10:00:00Z,\"spelt, otherwise\"\n", n + 1),
            _ => format!("person{n}@example.org,2024-03-01 10:00:00Z,\n"),
        });
    }
    copy(&mut client, "file", &csv);
    assert_eq!(import(&mut client, "suppressions", "file"), [19_400, 200, 400]);
    assert_eq!(import(&mut client, "suppressions", "file"), [0, 19_600, 400]);
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.event"), 19_400);
    drain(&mut client);
    // Everybody but those whom a rejected or otherwise spelt row named, and whoever shares an address with them.
    let wrong = shop::number(
        &mut client,
        "SELECT count(*) FROM customer c
          WHERE consent.can_send(c.id, 'newsletter', 'shoes') <> (substring(c.email from 7 for length(c.email) - 18)::int % 100 IN (0, 1, 2))",
    );
    assert_eq!(wrong, 0);
}

/// Rows of refusals of all kinds, some without a date, by contact, by address or both.
fn refusals(random: &mut ChaCha8Rng, n: usize) -> String {
    let mut csv = String::from("contact,address,channel,at,kind,category,sender,scope,register,via,reason\n");
    for _ in 0..n {
        let kind =
            *["opt_out", "opt_out", "", "objection", "erasure_request", "opt_in_refused", "register_listed"]
                .choose(random)
                .unwrap();
        let opts_out = matches!(kind, "" | "opt_out");
        let phone = matches!(kind, "register_listed" | "opt_out") && random.random_bool(0.4);
        let who = random.random_range(1..320);
        let named = random.random_bool(0.6) || kind == "opt_in_refused";
        let address = match (phone, kind) {
            _ if named && random.random_bool(0.7) => String::new(),
            (true, _) | (_, "register_listed") => format!("+44 20 7946 0{who:03}"),
            _ => format!("Person{who}@example.org"),
        };
        let channel = match kind {
            _ if phone => ["sms", "phone_live sms"].choose(random).unwrap(),
            "register_listed" => "sms",
            "opt_out" => ["", "any", "email", "email sms"].choose(random).unwrap(),
            _ => "",
        };
        let contact = if named { who.to_string() } else { String::new() };
        let day = random.random_range(1..28);
        let at = ["", "2024-05-{}", "2023-02-{}T12:00:00+02:00"]
            .choose(random)
            .unwrap()
            .replace("{}", &format!("{day:02}"));
        let category = ["", "shoes", "books"].choose(random).filter(|_| opts_out).unwrap_or(&"");
        let sender = ["", "shop", "sister"].choose(random).unwrap();
        let scope = ["", "marketing", "all"].choose(random).filter(|_| opts_out).unwrap_or(&"");
        let register = if kind == "register_listed" { "TPS" } else { "" };
        let via = ["", "reply", "system"].choose(random).unwrap();
        csv.push_str(&format!(
            "{contact},{address},{channel},{at},{kind},{category},{sender},{scope},{register},{via},why\n"
        ));
    }
    csv
}

fn opt_ins(random: &mut ChaCha8Rng, n: usize) -> String {
    let mut csv = String::from(
        "contact,channels,purposes,method,category,sender,at,evidence,expires,confirmed_at,names_sender\n",
    );
    for _ in 0..n {
        let who = random.random_range(1..320);
        let channels = ["", "email", "email sms", "phone_live"].choose(random).unwrap();
        let purposes = ["", "newsletter", "marketing newsletter"].choose(random).unwrap();
        let method = ["", "active", "oral", "pre_ticked"].choose(random).unwrap();
        let category = ["", "shoes"].choose(random).unwrap();
        let sender = ["", "sister"].choose(random).unwrap();
        let evidence = ["", "\"{\"\"form\"\": 1}\""].choose(random).unwrap();
        let expires = ["", "never", "2035-01-01"].choose(random).unwrap();
        let confirmed = ["", "2024-06-01T00:00:00Z"].choose(random).unwrap();
        let names = ["", "yes", "0"].choose(random).unwrap();
        let day = random.random_range(1..28);
        csv.push_str(&format!(
            "{who},{channels},{purposes},{method},{category},{sender},2024-05-{day:02},{evidence},{expires},{confirmed},{names}\n"
        ));
    }
    csv
}

/// Like `assert_eq`, but shows only the first that differ.
fn same(left: &[String], right: &[String], when: &str) {
    assert_eq!(left.len(), right.len(), "{when}");
    for (l, r) in left.iter().zip(right) {
        assert_eq!(l, r, "{when}");
    }
}

const STATES: &str = "SELECT contact_id || ' ' || consent.state_json(state)::text FROM consent_data.contact_state ORDER BY contact_id";
const BOUND: &str = "SELECT encode(a.address_hash, 'hex') || to_jsonb(e) - '{event_id,detail,entered_at,salt}'::text[] FROM consent_data.address_event a
                       JOIN consent_data.event e USING (event_id) ORDER BY 1";

#[test]
fn no_row_means_less_than_the_same_fact_recorded() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut imported = database(&cluster, "imported", 300);
    let mut recorded = database(&cluster, "recorded", 300);
    let mut random = ChaCha8Rng::seed_from_u64(13);
    // Consents first: an import of refusals on record would reject them.
    for (table, what, csv) in [
        ("given", "consents", opt_ins(&mut random, 300)),
        ("refused", "suppressions", refusals(&mut random, 600)),
    ] {
        copy(&mut imported, table, &csv);
        let [accepted, _, rejected] = import(&mut imported, what, table);
        assert!(accepted > 250 && rejected == 0, "{table}: {accepted} accepted, {rejected} rejected");
    }
    let facts = imported
        .query(
            "SELECT e.contact_id::text, e.kind, e.at, e.channels, c.name, s.name, e.purposes, e.detail, e.evidence, f.address, e.reason, e.recorded_at
               FROM consent_data.event e
               JOIN consent_data.sender s USING (sender_id) LEFT JOIN consent_data.category c USING (category_id)
               LEFT JOIN (SELECT row_number() OVER () AS line, nullif(address, '') AS address FROM refused) f
                 ON f.line = (e.detail->'provenance'->>'line')::bigint AND e.kind NOT LIKE 'opt_in' AND e.kind <> 'opt_in_confirmed'
              ORDER BY e.event_id",
            &[],
        )
        .unwrap();
    for f in &facts {
        recorded
            .execute(
                "SELECT consent.record_event($1::text, $2, $3, $4, $5, $6, purposes => $7, detail => $8, evidence => $9,
                                             address => $10, reason => $11, recorded_at => $12)",
                &[
                    &f.get::<_, Option<&str>>(0),
                    &f.get::<_, &str>(1),
                    &f.get::<_, chrono::DateTime<chrono::Utc>>(2),
                    &f.get::<_, Option<Vec<String>>>(3),
                    &f.get::<_, Option<&str>>(4),
                    &f.get::<_, &str>(5),
                    &f.get::<_, Option<Vec<String>>>(6),
                    &f.get::<_, Option<serde_json::Value>>(7),
                    &f.get::<_, Option<serde_json::Value>>(8),
                    &f.get::<_, Option<&str>>(9),
                    &f.get::<_, Option<&str>>(10),
                    &f.get::<_, chrono::DateTime<chrono::Utc>>(11),
                ],
            )
            .unwrap_or_else(|e| panic!("{}: {e:?}", f.get::<_, &str>(1)));
    }
    drain(&mut imported);
    let states = rows(&mut imported, STATES);
    assert!(states.len() >= 300);
    same(&states, &rows(&mut recorded, STATES), "after the drain");
    shop::refold_all(&mut imported);
    shop::refold_all(&mut recorded);
    same(&states, &rows(&mut imported, STATES), "after a refold");
    same(&states, &rows(&mut recorded, STATES), "after a refold of what was recorded");
    same(&rows(&mut imported, BOUND), &rows(&mut recorded, BOUND), "addresses");

    // Round trip: nothing new here, and in another database with the key nobody is written to who is not here.
    let suppressions = exported(
        &mut imported,
        "SELECT * FROM consent.export_suppressions(NULL) UNION ALL SELECT * FROM consent.export_suppressions(NULL, 'sister')",
    );
    let consents = exported(
        &mut imported,
        "SELECT * FROM consent.export_consents() UNION ALL SELECT * FROM consent.export_consents('sister')",
    );
    let mut other = database(&cluster, "other", 400);
    for (table, what, csv) in [("given2", "consents", consents), ("refused2", "suppressions", suppressions)] {
        copy(&mut imported, table, &csv);
        let n = csv.lines().count() as i64 - 1;
        assert_eq!(import(&mut imported, what, table), [0, n, 0], "{what} again");
        copy(&mut other, table, &csv);
        assert_eq!(import(&mut other, what, table)[2], 0, "{what} elsewhere");
    }
    drain(&mut other);
    // The same people are there under their keys; 301 to 400 are new, some with addresses that were refused.
    imported.batch_execute("INSERT INTO customer SELECT n, 'GB', 'person' || n || '@example.org', NULL FROM generate_series(301, 400) n;
        INSERT INTO sale SELECT n, '2026-01-15 12:00Z', 'shoes', 'yes' FROM generate_series(301, 400) n").unwrap();
    shop::refold_all(&mut imported);
    let at = shop::now(&mut imported);
    let (here, there) = (shop::answers(&mut imported, at), shop::answers(&mut other, at));
    let denied_here: Vec<_> = here.iter().filter(|(_, a)| a.starts_with("false")).collect();
    assert!(denied_here.len() > 500 && here.values().any(|a| a.starts_with("true")));
    for (question, answer) in denied_here {
        let same = there.get(question).is_none_or(|a| a.starts_with("false"));
        assert!(same, "{question:?}: {answer} here, {} there", there[question]);
    }
}
