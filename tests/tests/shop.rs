//! A shop's database with a CRM bound, and random facts about its contacts.

use chrono::{DateTime, Utc};
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::collections::BTreeMap;

const CRM: &str = "
    CREATE SCHEMA crm;
    CREATE TABLE crm.customer (id bigint PRIMARY KEY, country text, email text, phone text);
    CREATE TABLE crm.sale (customer bigint, at timestamptz, category text, opt_out_offered text, refused boolean);
    CREATE VIEW crm.bound_customer AS SELECT id AS contact_id, country, email, phone FROM crm.customer;
    CREATE VIEW crm.bound_sale AS SELECT customer AS contact_id, at, category, opt_out_offered, refused FROM crm.sale;
    INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true), ('sister', false);
    INSERT INTO consent_data.category (name) VALUES ('shoes'), ('books'), ('tea');
    INSERT INTO consent_data.category (name, parent_id) SELECT 'boots', category_id FROM consent_data.category WHERE name = 'shoes';
    INSERT INTO consent_data.similarity_override (category_a, category_b, is_similar, reason)
    SELECT a.category_id, b.category_id, true, 'worn together'
      FROM consent_data.category a, consent_data.category b WHERE (a.name, b.name) = ('shoes', 'boots');
    SELECT consent.bind_contacts('crm.bound_customer'), consent.bind_purchases('crm.bound_sale');";

/// Kind, category, channel, sender.
type Asked = (&'static str, Option<&'static str>, Option<&'static str>, Option<&'static str>);

/// Each is asked about each contact.
pub const QUESTIONS: &[Asked] = &[
    ("newsletter", None, None, None),
    ("newsletter", Some("shoes"), None, None),
    ("marketing", Some("boots"), Some("email"), None),
    ("marketing", Some("books"), Some("sms"), None),
    ("marketing", Some("tea"), Some("phone_live"), Some("shop")),
    ("newsletter", Some("books"), Some("post"), None),
    ("survey", None, Some("email"), None),
    ("newsletter", Some("shoes"), None, Some("sister")),
    ("mixed", Some("boots"), None, None),
    ("order_confirmation", None, None, None),
];

pub fn start() -> (Cluster, Client) {
    let cluster = Cluster::start(Options::default()).unwrap();
    let client = set_up(&cluster, "bigint");
    (cluster, client)
}

/// The extension in the database `postgres`.
pub fn set_up(cluster: &Cluster, key_type: &str) -> Client {
    let mut client = cluster.connect("postgres", "postgres").unwrap();
    client.batch_execute("SET client_min_messages = warning; CREATE EXTENSION pg_consent").unwrap();
    client.batch_execute(&format!("CALL consent.setup(key_type => '{key_type}')")).unwrap();
    client
}

/// Customers 1 to `contacts`, folded; then random facts of them, and of a few whom the CRM does not have.
pub fn fill(client: &mut Client, contacts: i64, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    client.batch_execute(CRM).unwrap();
    let mut t = client.transaction().unwrap();
    for id in 1..=contacts {
        let country = ["GB", "GB", "FR", "FR", "DE"].choose(&mut random).filter(|_| random.random_bool(0.95));
        // Every tenth shares the address of the one before.
        let email = format!("person{}@example.org", if id % 10 == 0 { id - 1 } else { id });
        let phone = format!("+44 20 7946 {:04}", id % 3000);
        let phone = random.random_bool(0.5).then_some(phone);
        t.execute("INSERT INTO crm.customer VALUES ($1, $2, $3, $4)", &[&id, &country, &email, &phone])
            .unwrap();
        for _ in 0..random.random_range(0..3) {
            let offered = ["yes", "yes", "no", "unknown"].choose(&mut random);
            let category = ["shoes", "boots", "books", "hats"].choose(&mut random);
            let refused = random.random_bool(0.1);
            t.execute(
                "INSERT INTO crm.sale VALUES ($1, $2, $3, $4, $5)",
                &[&id, &instant(&mut random), &category, &offered, &refused],
            )
            .unwrap();
        }
    }
    t.batch_execute("SELECT consent._refold_addresses(); SELECT consent._refold_fold()").unwrap();
    t.batch_execute("SELECT consent._refold_apply(1, 1000000)").unwrap();
    for id in 1..=contacts + contacts / 20 {
        for _ in 0..random.random_range(0..5) {
            record(&mut t, &mut random, id);
        }
    }
    t.commit().unwrap();
}

fn instant(random: &mut ChaCha8Rng) -> DateTime<Utc> {
    let start = DateTime::parse_from_rfc3339("2021-01-01T00:00:00Z").unwrap().to_utc();
    start + chrono::Duration::seconds(random.random_range(0..5 * 365 * 86400))
}

const KINDS: &[&str] = &[
    "opt_in",
    "opt_in",
    "opt_in",
    "opt_in_confirmed",
    "opt_out",
    "opt_out",
    "opt_out",
    "objection",
    "erasure_request",
    "purchase",
    "purchase",
    "enquiry",
    "basket",
    "free_account",
    "subscription_start",
    "subscription_end",
    "click",
    "login",
    "open",
    "bounce",
    "imported_list",
    "opt_in_refused",
    "legal_hold",
    "legal_hold_released",
    "register_listed",
    "register_delisted",
];

fn record(t: &mut postgres::Transaction<'_>, random: &mut ChaCha8Rng, contact: i64) {
    let kind = *KINDS.choose(random).unwrap();
    let channels: Option<Vec<&str>> = match random.random_range(0..4) {
        0 => None,
        1 => Some(vec!["any"]),
        2 => Some(vec!["email", "sms"]),
        _ => Some(vec![["email", "sms", "phone_live", "post"].choose(random).unwrap()]),
    };
    let category = ["shoes", "boots", "books"].choose(random).filter(|_| random.random_bool(0.6)).copied();
    let mut detail = json!({});
    match kind {
        "opt_in" => {
            detail["method"] =
                json!(["active", "active", "oral", "pre_ticked", "third_party"].choose(random));
            detail["double_opt_in"] = json!(random.random_bool(0.2));
            if random.random_bool(0.3) {
                detail["expires"] = json!(instant(random).to_rfc3339());
            }
        }
        "opt_out" => {
            let scope = if category.is_some() && random.random_bool(0.5) { "category" } else { "all" };
            detail["scope"] = json!(scope);
            detail["via"] = json!(["link", "reply", "system"].choose(random));
        }
        "register_listed" | "register_delisted" => {
            detail["register"] = json!(["TPS", "BLOCTEL"].choose(random))
        }
        _ => {}
    }
    let purposes: Option<Vec<&str>> =
        (kind == "opt_in").then(|| vec![*["marketing", "newsletter", "survey"].choose(random).unwrap()]);
    let evidence = random.random_bool(0.8).then(|| json!({"form": 1, "script": 2}));
    let offered = ["yes", "no"].choose(random);
    let sender = random.random_bool(0.2).then_some("sister");
    let at = instant(random);
    let recorded = random.random_bool(0.5).then(|| at + chrono::Duration::days(random.random_range(0..100)));
    t.execute(
        "SELECT consent.record_event($1::bigint, $2, $3, $4, $5, $6, $7, purposes => $8, detail => $9, evidence => $10,
                                     recorded_at => $11)",
        &[&contact, &kind, &at, &channels, &category, &sender, &offered, &purposes, &detail, &evidence, &recorded],
    )
    .unwrap_or_else(|e| panic!("{kind}: {e:?}"));
}

/// Every answer about every contact, in full, as of `at`.
pub fn answers(client: &mut Client, at: DateTime<Utc>) -> BTreeMap<(i64, usize), String> {
    let mut all = BTreeMap::new();
    for (n, (kind, category, channel, sender)) in QUESTIONS.iter().enumerate() {
        let rows = client
            .query(
                "SELECT s.contact_id, consent.can_send(s.contact_id, $1, $2, $3, $4, $5) || ' ' || (to_jsonb(e) - 'freshness')::text
                   FROM consent_data.contact_state s,
                        consent.explain_send(s.contact_id, $1, $2, $3, $4, $5) e",
                &[kind, category, channel, sender, &at],
            )
            .unwrap();
        all.extend(rows.iter().map(|r| ((r.get(0), n), r.get(1))));
    }
    all
}

pub fn now(client: &mut Client) -> DateTime<Utc> {
    client.query_one("SELECT now()", &[]).unwrap().get(0)
}

pub fn number(client: &mut Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).unwrap().get(0)
}

pub fn refold_all(client: &mut Client) {
    client.batch_execute("SELECT consent._refold_addresses()").unwrap();
    client.batch_execute("SELECT consent._refold_fold(); SELECT consent._refold_apply(1, 1000000)").unwrap();
    client.batch_execute("SELECT consent._refold_finish()").unwrap();
}
