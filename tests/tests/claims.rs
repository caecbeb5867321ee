//! Claims: no limit is exceeded however many senders claim at once, nobody is written to at an address that is not theirs or
//! was refused, and what is refused between a claim and its sending stops the message.

mod addresses;
mod limits;
mod log;
mod repeats;

use crate::shop;
use chrono::{DateTime, Utc};
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::{Client, GenericClient};

/// Customers 1 to 200 who bought shoes and could refuse; 201 to 220 are French, with a phone, and agreed to calls. Nothing of the
/// CRM is watched: what changes there is seen by looking.
const CRM: &str = "
    CREATE SCHEMA crm;
    CREATE TABLE crm.customer (id bigint PRIMARY KEY, country text, email text, phone text);
    CREATE TABLE crm.sale (customer bigint, at timestamptz, category text);
    CREATE INDEX ON crm.sale (customer);
    CREATE VIEW crm.bound_customer AS SELECT id AS contact_id, country, email, phone FROM crm.customer;
    CREATE VIEW crm.bound_sale AS SELECT customer AS contact_id, at, category, 'yes'::text AS opt_out_offered FROM crm.sale;
    INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true), ('sister', false);
    INSERT INTO consent_data.category (name) VALUES ('shoes'), ('books');
    INSERT INTO crm.customer SELECT n, 'GB', format('person%s@example.org', n), NULL FROM generate_series(1, 200) n;
    INSERT INTO crm.sale SELECT n, now() - interval '1 month', 'shoes' FROM generate_series(1, 200) n;
    INSERT INTO crm.customer SELECT n, 'FR', format('person%s@example.org', n), format('+33 1 42 68 5%s', n) FROM generate_series(201, 220) n;
    SELECT consent.bind_contacts('crm.bound_customer'), consent.bind_purchases('crm.bound_sale', sender => 'shop');";

/// Needs no other right than to ask, and to say what became of it.
const SENDERS: &str = "CREATE ROLE queue LOGIN IN ROLE consent_decide, consent_record;";

pub fn start() -> (Cluster, Client) {
    // A claim that waits for another on a busy machine still gets its turn.
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "bigint");
    client.batch_execute(CRM).unwrap();
    client.batch_execute(SENDERS).unwrap();
    shop::refold_all(&mut client);
    let calls = "SELECT consent.opt_in(n, '{phone_live}', evidence => '{\"form\": 1}') FROM generate_series(201::bigint, 220) n";
    client.batch_execute(calls).unwrap();
    (cluster, client)
}

pub fn queue(cluster: &Cluster) -> Client {
    cluster.connect("postgres", "queue").unwrap()
}

pub fn limit(client: &mut Client, most: i32, per: &str) {
    let sql = "INSERT INTO consent_data.frequency_cap (max_messages, per, reason) VALUES ($1, $2, 'the house rule')";
    client.execute(sql, &[&most, &per]).unwrap();
}

#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub id: Option<i64>,
    pub allowed: bool,
    pub reason: Option<String>,
    pub rule: Option<String>,
    pub cap: Option<String>,
    pub not_before: Option<DateTime<Utc>>,
}

impl Answer {
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or("none")
    }

    pub fn cap(&self) -> &str {
        self.cap.as_deref().unwrap_or("none")
    }

    pub fn id(&self) -> i64 {
        self.id.expect("a logged decision")
    }

    /// Somebody else had the contact's lock for too long.
    pub fn is_busy(&self) -> bool {
        self.cap() == "busy"
    }
}

/// `arguments` are those of claim_send after the contact.
pub fn claim(client: &mut impl GenericClient, contact: i64, arguments: &str) -> Answer {
    let sql = format!(
        "SELECT decision_id, allowed, reason, rule, cap, not_before FROM consent.claim_send({contact}::bigint, {arguments})"
    );
    let r = client.query_one(&sql, &[]).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    Answer {
        id: r.get(0),
        allowed: r.get(1),
        reason: r.get(2),
        rule: r.get(3),
        cap: r.get(4),
        not_before: r.get(5),
    }
}

/// The first hour from a Sunday on at which a call to somebody in France is lawful.
pub fn calling_hour(client: &mut Client) -> DateTime<Utc> {
    let sunday = "date_trunc('week', now() AT TIME ZONE 'Europe/Paris') AT TIME ZONE 'Europe/Paris' + interval '13 days 12 hours'";
    let sql = format!(
        "SELECT not_before FROM consent.explain_send(220::bigint, 'marketing', channel => 'phone_live', at => {sunday}) WHERE reason = 'quiet_hours'"
    );
    client.query_one(&sql, &[]).unwrap().get(0)
}

pub const NEWSLETTER: &str = "'newsletter', 'shoes'";

/// Asked again; with whether the answer is another than then.
pub fn recheck(client: &mut impl GenericClient, id: i64) -> (Answer, bool) {
    let sql = "SELECT recheck_id, allowed, reason, rule, not_before, changed FROM consent.recheck($1)";
    let r = client.query_one(sql, &[&id]).unwrap();
    (
        Answer {
            id: r.get(0),
            allowed: r.get(1),
            reason: r.get(2),
            rule: r.get(3),
            cap: None,
            not_before: r.get(4),
        },
        r.get(5),
    )
}

pub fn note(client: &mut impl GenericClient, id: i64, outcome: &str) -> Result<bool, String> {
    let noted = client.query_one("SELECT consent.claim_outcome($1::bigint, $2)", &[&id, &outcome]);
    noted.map(|r| r.get(0)).map_err(|e| e.code().map_or_else(String::new, |c| c.code().to_owned()))
}

pub fn counted(client: &mut Client, contact: i64) -> i64 {
    shop::number(
        client,
        &format!("SELECT count(*) FROM consent_data.counted_claim WHERE contact_id = {contact}"),
    )
}
